"""`events`: lists, shows, cancels and follows events."""

import click
from collections.abc import Sequence
from rich.table import Column, Table
from scheduler_api.commands.common import (
    AS_JSON,
    ONE_TENANT,
    api_of,
    open_cell,
    owners_of_all,
    plain_table,
    print_json,
    print_table,
    printable,
    to_seconds,
)
from scheduler_api.commands.environment import settings_of
from scheduler_api.commands.event_cancel import cancel
from scheduler_api.commands.event_filters import (
    choosing_options,
    event_filter,
)
from scheduler_api.commands.event_report import show
from scheduler_api.commands.follow import follow
from scheduler_api.core import public_ids
from scheduler_api.core.queries.event_pages import (
    EventPage,
    EventPages,
    Status,
    Summary,
)
from scheduler_api.core.queries.positions import (
    Position,
    format_position,
    read_position,
)
from scheduler_api.core.queries.sentences import count
from scheduler_api.core.timestamps import duration, to_iso
from scheduler_api.dialects import outbound
from typing import Any

MAX_LISTED = 1_000
# An id is copied more easily if it is not folded. A UUID has so many characters.
MAX_ID_WIDTH = 36
STATUS_WIDTH = 10
UNFINISHED = (Status.SCHEDULED, Status.DUE)


@click.group("events")
def events() -> None:
    """List, show, cancel and follow events."""


def _read_after(
    _ctx: click.Context, _param: click.Parameter, text: str | None
) -> Position | None:
    found = read_position(text) if text else None
    if text and found is None:
        raise click.BadParameter("take the position that `events list` has printed")
    return found


@events.command("list")
@ONE_TENANT
@click.option(
    "--status",
    type=click.Choice([each.value for each in Status]),
    help="Only these; default: all but the scheduled ones.",
)
@choosing_options("Due or ended")
@click.option(
    "--count",
    "size",
    type=click.IntRange(1, MAX_LISTED),
    default=50,
    show_default=True,
    help="How many at most.",
)
@click.option(
    "--after",
    metavar="POSITION",
    callback=_read_after,
    help="Continue after this position, which the previous list has printed.",
)
@AS_JSON
@click.pass_context
def list_events(
    ctx: click.Context,
    /,
    *,
    tenant_id: str | None,
    size: int,
    after: Position | None,
    as_json: bool,
    **chosen: Any,
) -> None:
    """List events, the newest first; scheduled ones begin with the next.

    The time of an event is when it ended, or else when it is due for the first time.
    """
    settings = settings_of(ctx)
    cell = open_cell(settings)
    now_ms = cell.now_ms()
    owners = owners_of_all(settings, tenant_id)
    found = EventPages(cell, outbound.LABELS).read(
        *(owners, event_filter(chosen)),
        now_ms=now_ms,
        after=after,
        size=size,
    )
    if as_json:
        print_json(_to_json(found))
        return
    print_table(_table(found.events, now_ms))
    if found.next is not None:
        _print_position(found, found.next)


def _table(found: Sequence[Summary], now_ms: int) -> Table:
    ids = [public_ids.event_id(each.owner, each.id) for each in found]
    are_short = all(len(each) <= MAX_ID_WIDTH for each in ids)
    table = plain_table(
        Column("time", no_wrap=True),
        Column("event", no_wrap=are_short, overflow="fold"),
        Column("status", min_width=STATUS_WIDTH),
        Column("destination", overflow="fold"),
    )
    for name, each in zip(ids, found, strict=True):
        table.add_row(
            to_seconds(each.at_ms),
            name,
            _status(each, now_ms),
            printable(each.content.url) if each.content else "unreadable",
        )
    return table


def _status(event: Summary, now_ms: int) -> str:
    """Return the status in words, with the number of attempts if it says something."""
    words: str = event.status
    if event.status is Status.DUE:
        if event.is_sent:
            words = "being sent"
        elif event.waits_at:
            words = "held"
        elif event.next_ms > now_ms:
            words = f"retry in {duration(event.next_ms - now_ms)}"
    if event.attempts > 1 or (event.attempts and event.status is Status.DUE):
        words += f", {count(event.attempts, 'attempt')}"
    return words


def _print_position(found: EventPage, last: Position) -> None:
    """Print how to continue, where it is not in the way of programs."""
    if found.is_searched:
        click.echo(f"searched as far as {to_seconds(last.at_ms)}", err=True)
    click.echo(f"continue with: --after {format_position(last)}", err=True)


def _to_json(found: EventPage) -> dict[str, object]:
    return {
        "events": [
            {
                "id": public_ids.event_id(each.owner, each.id),
                "tenant": each.owner.tenant,
                "api": api_of(each.owner),
                "status": each.status,
                "at": to_iso(each.at_ms),
                "created": to_iso(each.created_ms),
                "next": to_iso(each.next_ms) if each.status in UNFINISHED else None,
                "attempts": each.attempts,
                "reason": each.reason or None,
                "isWaiting": bool(each.waits_at),
                "isSent": each.is_sent,
                "destination": each.content.url if each.content else None,
            }
            for each in found.events
        ],
        "next": None if found.next is None else format_position(found.next),
    }


for command in (show, cancel, follow):
    events.add_command(command)
