"""What `queue` and `flow` share: they find gates by name, pause and resume them."""

import click
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from scheduler_api.commands.common import (
    UNREADABLE,
    iso_or_none,
    open_cell,
    owners_of_all,
    plain_table,
    print_json,
    print_table,
    printable,
    to_seconds,
    user,
)
from scheduler_api.core import public_ids
from scheduler_api.core.errors import LimitReached, NotFound, StoreFull
from scheduler_api.core.flow_control.flow_keys import Flow, FlowKeys
from scheduler_api.core.flow_control.holding import Holding
from scheduler_api.core.flow_control.queues import Queue, Queues
from scheduler_api.core.flow_control.rows import Named, Row
from scheduler_api.core.model import Owner
from scheduler_api.core.queries.name_pages import read_names
from scheduler_api.core.store import keys
from scheduler_api.core.store.audit import Change
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.gate_names import flow_gate, queue_gate
from scheduler_api.core.timestamps import duration
from scheduler_api.dialects import outbound
from scheduler_api.settings import Settings
from typing import Generic, Protocol, TypeVar


class GateState(Protocol):
    """The state of a queue or a flow-control key."""

    @property
    def paused(self) -> bool: ...


State = TypeVar("State", bound=GateState)


class Gates(Protocol[State]):
    """The queues or the flow-control keys of a cell."""

    def rows(self, names: Sequence[Named]) -> list[Row[State]]:
        """Return those that exist, with what waits for them."""

    def set_paused(
        self,
        owner: Owner,
        name: str,
        /,
        *,
        paused: bool,
        change: Change | None = None,
    ) -> None:
        """Pause or resume one. Raises: NotFound."""


@dataclass(frozen=True)
class Kind(Generic[State]):
    """A kind of gate.

    Attributes:
        command: the group of its commands, which also begins the actions of the audit
            log.
        noun: what people call it.
        column: the name of its column in tables.
        plural: the name of the list in JSON.
        index: the key of an owner's names.
        gate: the name of the gate.
        open: returns those of a cell.
    """

    command: str
    noun: str
    column: str
    plural: str
    index: Callable[[str, str], str]
    gate: Callable[[Owner, str], str]
    open: Callable[[Cell], Gates[State]]


QUEUE = Kind[Queue](
    *("queue", "queue", "queue", "queues"),
    index=keys.queues,
    gate=queue_gate,
    open=Queues,
)
FLOW = Kind[Flow](
    *("flow", "flow-control key", "key", "flowControlKeys"),
    index=keys.flow_keys,
    gate=flow_gate,
    open=FlowKeys,
)


def print_all(
    kind: Kind[State],
    settings: Settings,
    tenant_id: str | None,
    *,
    columns: Sequence[str],
    cells: Callable[[Row[State], State], Sequence[str]],
    as_json: Callable[[Row[State]], dict[str, object]] | None,
) -> None:
    """Print those of a tenant or, if it is None, of all tenants.

    Args:
        columns, cells: what the table has between the state and the oldest event.
        as_json: print one JSON document, with these rows; None: print a table.
    """
    cell = open_cell(settings)
    rows = every(kind, cell, owners_of_all(settings, tenant_id))
    if as_json is not None:
        print_json({kind.plural: [*map(as_json, rows)]})
        return
    now_ms = cell.now_ms()
    table = plain_table("tenant", kind.column, "state", *columns, "oldest")
    for row in rows:
        words = ["unreadable", *("-" for _ in columns), "-"]
        if row.state is not None:
            words = [state(row.state), *cells(row, row.state), waited(row, now_ms)]
        table.add_row(row.owner.tenant, printable(row.name), *words)
    print_table(table)


def state(of_gate: GateState) -> str:
    """Return the state in a word."""
    return "paused" if of_gate.paused else "active"


def every(
    kind: Kind[State], cell: Cell, owners: Sequence[Owner]
) -> Iterator[Row[State]]:
    """Yield all of some owners, owner by owner, oldest first."""
    gates, after = kind.open(cell), None
    while True:
        page = read_names(cell, kind.index, owners, after=after)
        yield from gates.rows([(each.owner, each.name) for each in page.found])
        after = page.next
        if after is None:
            return


def find(kind: Kind[State], cell: Cell, tenant_id: str, name: str) -> Row[State]:
    """Return one that exists.

    Raises: click.ClickException.
    """
    found = kind.open(cell).rows(
        [(owner, name) for owner in outbound.owners_of(tenant_id)]
    )
    if not found:
        raise _missing(kind, tenant_id, name)
    if len(found) > 1:
        raise click.ClickException(
            f"several APIs have a {kind.noun} {printable(name)}: use the dashboard"
        )
    return found[0]


def readable(row: Row[State]) -> State:
    """Return the state of a row.

    Raises: click.ClickException.
    """
    if row.state is None:
        raise click.ClickException(UNREADABLE)
    return row.state


@contextmanager
def changing(kind: Kind[State], tenant_id: str, name: str) -> Iterator[None]:
    """Report that it was deleted meanwhile."""
    try:
        yield
    except (NotFound, LimitReached, StoreFull) as err:
        raise _missing(kind, tenant_id, name) from err


def set_paused(
    kind: Kind[State], settings: Settings, tenant_id: str, name: str, *, paused: bool
) -> None:
    """Pause or resume one; say what else holds its first event."""
    cell, verb = open_cell(settings), "pause" if paused else "resume"
    row = find(kind, cell, tenant_id, name)
    with changing(kind, tenant_id, name):
        kind.open(cell).set_paused(
            row.owner,
            name,
            paused=paused,
            change=change_of(kind, tenant_id, name, verb=verb),
        )
    other = "" if paused else held_by(kind, cell, row)
    also = f"; its first event is also held by {printable(other)}" if other else ""
    click.echo(f"{title(kind, tenant_id, name)} is {verb}d{also}")


def change_of(kind: Kind[State], tenant_id: str, name: str, *, verb: str) -> Change:
    """Return what the audit log records of a change."""
    return Change(tenant_id, user(), f"{kind.command}.{verb}", name)


def title(kind: Kind[State], tenant_id: str, name: str) -> str:
    """Return what people call it."""
    return f"{kind.noun} {printable(name)} of tenant {tenant_id}"


def held_by(kind: Kind[State], cell: Cell, row: Row[State]) -> str:
    """Return what else holds the event that waits longest, or ''."""
    gate = kind.gate(row.owner, row.name)
    return Holding(cell).of_event(row.owner, row.waiting.oldest_id, besides=gate)


def first_waiter(kind: Kind[State], cell: Cell, row: Row[State]) -> str:
    """Return in words which event waits longest, and what else holds it."""
    first = row.waiting
    if first.oldest_id is None:
        return "nothing"
    words = public_ids.event_id(row.owner, first.oldest_id)
    if first.oldest_ms is not None:
        words += f", due {to_seconds(first.oldest_ms)}"
    other = held_by(kind, cell, row)
    return f"{words}; it is also held by {other}" if other else words


def waited(row: Row[State], now_ms: int) -> str:
    """Return for how long the first event has waited, or '-'."""
    due_ms = row.waiting.oldest_ms
    return "-" if due_ms is None else duration(max(0, now_ms - due_ms))


def to_json(row: Row[State], paused: bool | None, **state: object) -> dict[str, object]:
    """Return a row as JSON.

    Args:
        paused: None: its record cannot be read.
    """
    first = row.waiting
    oldest = first.oldest_id and public_ids.event_id(row.owner, first.oldest_id)
    return {
        "tenant": row.owner.tenant,
        "name": row.name,
        "isPaused": paused,
        **state,
        "oldest": oldest,
        "oldestDue": iso_or_none(first.oldest_ms),
    }


def _missing(kind: Kind[State], tenant_id: str, name: str) -> click.ClickException:
    return click.ClickException(
        f"there is no {title(kind, tenant_id, name)}:"
        f" see `{kind.command} list --tenant {tenant_id}`"
    )
