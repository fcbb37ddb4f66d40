"""What a shell completes from the store: tenants, and names of gates."""

import click
import os
import redis
from click.shell_completion import CompletionItem
from collections.abc import Callable
from pathlib import Path
from scheduler_api.commands.environment import Environment
from scheduler_api.core.model import Owner
from scheduler_api.core.queries.name_pages import read_names
from scheduler_api.core.settings.engine import SettingsError
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.connection import connect
from scheduler_api.dialects import outbound
from scheduler_api.settings import Settings

TIMEOUT_S = 1.0
# Names are read of this many tenants, unless one is given.
MAX_TENANTS = 20
Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def complete_tenants(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the ids of tenants, with their names as help; none without a store."""
    try:
        settings, cell = _open(ctx)
        accounts = outbound.tenants(cell, settings).accounts()
    except (SettingsError, click.BadParameter, redis.RedisError):
        return []
    return [
        CompletionItem(each.id, help=each.name)
        for each in accounts
        if each.id.startswith(incomplete)
    ]


def complete_names(index: Callable[[str, str], str]) -> Complete:
    """Return a function that completes names of the owners' indexes.

    Args:
        index: as for `read_names`.
    """

    def complete(
        ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        try:
            settings, cell = _open(ctx)
            owners = _owners(settings, cell, ctx.params.get("tenant_id"))
            found = read_names(cell, index, owners, contains=incomplete).found
        except (SettingsError, click.BadParameter, redis.RedisError):
            return []
        return [
            CompletionItem(each.name)
            for each in found
            if each.name.startswith(incomplete)
        ]

    return complete


def _open(ctx: click.Context) -> tuple[Settings, Cell]:
    """Return the settings and the cell.

    Nothing has made an `Environment`, because a completion runs no command.
    """
    folder: Path | None = ctx.find_root().params.get("folder")
    settings = Environment(os.environ, folder).settings
    client = connect(settings.store_url, timeout_s=TIMEOUT_S)
    return settings, Cell(client, settings.prefix)


def _owners(settings: Settings, cell: Cell, tenant_id: str | None) -> list[Owner]:
    tenants = [tenant_id] if tenant_id else outbound.tenants(cell, settings).all_ids()
    named = tenants[:MAX_TENANTS]
    return [owner for tenant in named for owner in outbound.owners_of(tenant)]
