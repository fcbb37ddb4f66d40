"""`tenant limits`: shows and changes the limits of a tenant."""

import click
from collections.abc import Mapping
from dataclasses import asdict
from rich.table import Table
from scheduler_api.commands.common import (
    AS_JSON,
    GONE,
    TENANT_ARGUMENT,
    open_cell,
    plain_table,
    print_json,
    print_table,
    user,
)
from scheduler_api.commands.environment import settings_of
from scheduler_api.core.errors import NotFound
from scheduler_api.core.tenants import usage
from scheduler_api.core.tenants.limits import Limits
from scheduler_api.dialects import outbound
from typing import Any

DEFAULT = "default"
MAX_DIGITS = 15


class Limit(click.ParamType[int | None]):
    """A number, 0 for no limit, or `default`, which is None."""

    name = "N|default"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        """Read the value of an option."""
        text = str(value)
        if text == DEFAULT:
            return None
        if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
            self.fail(f"expected a number, 0 for no limit, or {DEFAULT}", param, ctx)
        return int(text)


@click.command("limits")
@TENANT_ARGUMENT
@click.option("--requests-per-s", type=Limit(), help="API requests per second.")
@click.option("--pending-events", type=Limit(), help="Unfinished events, schedules.")
@click.option("--stored-bytes", type=Limit(), help="Bytes of content.")
@AS_JSON
@click.pass_context
def set_limits(
    ctx: click.Context, /, tenant_id: str, *, as_json: bool, **values: int | None
) -> None:
    """Show the limits of a tenant, or change some of them. 0 means no limit."""
    settings, typed = settings_of(ctx), click.core.ParameterSource.COMMANDLINE
    changes = {
        name: value
        for name, value in values.items()
        if ctx.get_parameter_source(name) is typed
    }
    cell = open_cell(settings)
    limits = outbound.tenant_limits(cell, settings)
    if changes:
        try:
            limits.set(tenant_id, changes, by=user())
        except NotFound as err:
            raise click.ClickException(GONE) from err
    owners = limits.owners(tenant_id)
    if "stored_bytes" in changes and limits.of(tenant_id).stored_bytes:
        usage.recount(cell, tenant_id, owners)
    used = {
        "pending_events": usage.pending(cell, owners),
        "stored_bytes": usage.stored_bytes(cell, tenant_id),
    }
    if as_json:
        print_json({"limits": _json(limits, tenant_id, used)})
    else:
        print_table(_table(limits, tenant_id, used))


def _json(
    limits: Limits, tenant_id: str, used: Mapping[str, int | None]
) -> dict[str, object]:
    own = limits.own(tenant_id)
    return {
        name: {"value": value or None, "isOwn": name in own, "used": used.get(name)}
        for name, value in asdict(limits.of(tenant_id)).items()
    }


def _table(limits: Limits, tenant_id: str, used: Mapping[str, int | None]) -> Table:
    own = limits.own(tenant_id)
    table = plain_table("limit", "value", "set for", "used")
    for name, value in asdict(limits.of(tenant_id)).items():
        source = "this tenant" if name in own else "all tenants"
        table.add_row(name, str(value or "none"), source, _text(used.get(name)))
    return table


def _text(used: int | None) -> str:
    return "-" if used is None else str(used)
