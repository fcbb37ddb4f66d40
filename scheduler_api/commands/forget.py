"""`forget`: erases one event or schedule."""

import click
from collections.abc import Sequence
from scheduler_api.commands.common import open_cell, tenant_option, user
from scheduler_api.commands.environment import pass_settings
from scheduler_api.core.model import Owner
from scheduler_api.core.queries.ids import Found
from scheduler_api.core.queries.sentences import count
from scheduler_api.core.recovery.erasure import Erasure
from scheduler_api.core.store import audit
from scheduler_api.core.store.audit import Change
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.reads import (
    named_schedule,
    owner_of_event,
    owner_of_schedule,
)
from scheduler_api.dialects import outbound
from scheduler_api.dialects.dialect import Dialect
from scheduler_api.settings import Settings

DIALECTS = {dialect.label: dialect for dialect in outbound.DIALECTS}


@click.command()
@click.argument("name", metavar="ID")
@tenant_option("Only of this tenant; needed if ID is the name of a schedule.")
@click.option(
    "--dialect",
    type=click.Choice([*DIALECTS]),
    help="Only of this API; needed if several have this ID.",
)
@pass_settings
def forget(
    settings: Settings, name: str, tenant_id: str | None, dialect: str | None
) -> None:
    """Erase an event or a schedule, with its content, log and callbacks.

    ID is the id that clients use. What is still to be sent is cancelled; what is being
    sent is erased by a second call, after the attempt has ended.
    """
    cell = open_cell(settings)
    found = _find_one(cell, name, tenant_id, dialect)
    change = Change(found.owner.tenant, user(), "event.forget", name)
    audit.write(cell, change, before={"exists": True}, after={"cancelled": True})
    erasure = Erasure(cell)
    if found.is_schedule:
        erased = erasure.forget_schedule(found.owner, found.id, name=name)
    else:
        erased = erasure.forget_event(found.owner, found.id)
    if erased.running:
        raise click.ClickException(
            f"{erased.running} attempts are running; their events are cancelled. Run"
            " this again when the attempts have ended"
        )
    audit.write(cell, change, before={"cancelled": True}, after=None)
    click.echo(f"erased {name}, {count(erased.events, 'event')} in all")


def _find_one(cell: Cell, name: str, tenant_id: str | None, label: str | None) -> Found:
    """Return what has this id; refuse to guess if it is not the only one.

    Other commands also take deduplication ids. These are erased first, so the repeat of
    an interrupted call would not find the rest.
    """
    dialects = outbound.DIALECTS if label is None else (DIALECTS[label],)
    found = {
        dialect.label: match
        for dialect in dialects
        if (match := _find(cell, dialect, name, tenant_id))
    }
    if len(found) > 1:
        raise click.ClickException(
            f"{name} is an id of {' and '.join(found)}: add --dialect"
        )
    if found:
        [match] = found.values()
        return match
    unfinished = _find_unfinished(cell, dialects, name, tenant_id)
    if unfinished is None:
        hint = "" if tenant_id else "; the name of a schedule needs --tenant"
        raise click.ClickException(f"there is no event or schedule {name}{hint}")
    return unfinished


def _find(
    cell: Cell, dialect: Dialect, name: str, tenant_id: str | None
) -> Found | None:
    stored = dialect.public_ids.stored(name)
    found = None if stored is None else _find_stored(cell, stored)
    if found is None and tenant_id is not None:
        found = _find_named(cell, Owner(tenant_id, dialect.name), name)
    if found is None or found.owner.dialect != dialect.name:
        return None
    return found if tenant_id in (None, found.owner.tenant) else None


def _find_unfinished(
    cell: Cell, dialects: Sequence[Dialect], name: str, tenant_id: str | None
) -> Found | None:
    """Return a schedule whose erasure was interrupted."""
    names = [dialect.name for dialect in dialects]
    for owner, schedule_id in Erasure(cell).unfinished(name):
        if owner.dialect in names and tenant_id in (None, owner.tenant):
            return Found(owner, schedule_id, is_schedule=True)
    return None


def _find_stored(cell: Cell, stored: str) -> Found | None:
    owner = owner_of_event(cell, stored)
    if owner is not None:
        return Found(owner, stored, is_schedule=False)
    owner = owner_of_schedule(cell, stored)
    return None if owner is None else Found(owner, stored, is_schedule=True)


def _find_named(cell: Cell, owner: Owner, name: str) -> Found | None:
    schedule_id = named_schedule(cell, owner, name)
    return None if schedule_id is None else Found(owner, schedule_id, is_schedule=True)
