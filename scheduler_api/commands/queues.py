"""`queue`: lists, pauses, resumes, changes and deletes queues."""

import click
from scheduler_api.commands import gates
from scheduler_api.commands.common import (
    AS_JSON,
    ONE_TENANT,
    TENANT,
    YES,
    facts_table,
    open_cell,
    print_json,
    screen,
    to_seconds,
)
from scheduler_api.commands.completion import complete_names
from scheduler_api.commands.environment import pass_settings
from scheduler_api.commands.gates import QUEUE
from scheduler_api.core.flow_control.gates import MAX_LIMIT
from scheduler_api.core.flow_control.queues import Queue, Queues
from scheduler_api.core.flow_control.rows import Row
from scheduler_api.core.timestamps import to_iso
from scheduler_api.settings import Settings

NAME = click.argument("name", shell_complete=complete_names(QUEUE.index))


@click.group("queue")
def queues() -> None:
    """List, pause, resume, change and delete queues."""


@queues.command("list")
@ONE_TENANT
@AS_JSON
@pass_settings
def list_queues(settings: Settings, tenant_id: str | None, *, as_json: bool) -> None:
    """List queues, and what waits in them."""
    gates.print_all(
        *(QUEUE, settings, tenant_id),
        columns=("running", "waiting"),
        cells=_cells,
        as_json=to_json if as_json else None,
    )


def _cells(row: Row[Queue], queue: Queue) -> tuple[str, ...]:
    return _running(row, queue), f"{_waiting(row, queue):,}"


def _running(row: Row[Queue], queue: Queue) -> str:
    return f"{row.waiting.running:,} of {queue.parallelism:,}"


def _waiting(row: Row[Queue], queue: Queue) -> int:
    return queue.lag - row.waiting.running


def to_json(row: Row[Queue]) -> dict[str, object]:
    """Return a queue as JSON; a queue that cannot be read has its name only."""
    queue = row.state
    if queue is None:
        return gates.to_json(row, None)
    return gates.to_json(
        row,
        queue.paused,
        parallelism=queue.parallelism,
        running=row.waiting.running,
        waiting=_waiting(row, queue),
        created=to_iso(queue.created_ms),
        changed=to_iso(queue.updated_ms),
    )


@queues.command("show")
@NAME
@TENANT
@AS_JSON
@pass_settings
def show(settings: Settings, name: str, tenant_id: str, *, as_json: bool) -> None:
    """Show a queue, and which event waits longest in it."""
    cell = open_cell(settings)
    row = gates.find(QUEUE, cell, tenant_id, name)
    queue = gates.readable(row)
    if as_json:
        print_json(to_json(row) | {"heldBy": gates.held_by(QUEUE, cell, row) or None})
        return
    facts = {
        "queue": f"{name} of tenant {tenant_id}",
        "state": gates.state(queue),
        "running": _running(row, queue),
        "waiting": f"{_waiting(row, queue):,}",
        "oldest": gates.first_waiter(QUEUE, cell, row),
        "created": to_seconds(queue.created_ms),
        "changed": to_seconds(queue.updated_ms),
    }
    screen().print(facts_table(facts))


@queues.command("set")
@NAME
@TENANT
@click.option(
    "--parallelism",
    metavar="N",
    type=click.IntRange(1, MAX_LIMIT),
    required=True,
    help="How many of its events may be sent at the same time.",
)
@pass_settings
def set_parallelism(
    settings: Settings, name: str, tenant_id: str, *, parallelism: int
) -> None:
    """Change the parallelism of a queue."""
    cell = open_cell(settings)
    row = gates.find(QUEUE, cell, tenant_id, name)
    change = gates.change_of(QUEUE, tenant_id, name, verb="put")
    with gates.changing(QUEUE, tenant_id, name):
        Queues(cell).set_parallelism(row.owner, name, parallelism, change=change)
    named = gates.title(QUEUE, tenant_id, name)
    click.echo(f"{named} sends up to {parallelism:,} events at the same time")


@queues.command("pause")
@NAME
@TENANT
@pass_settings
def pause(settings: Settings, name: str, tenant_id: str) -> None:
    """Stop deliveries of a queue; it still takes events."""
    gates.set_paused(QUEUE, settings, tenant_id, name, paused=True)


@queues.command("resume")
@NAME
@TENANT
@pass_settings
def resume(settings: Settings, name: str, tenant_id: str) -> None:
    """Continue deliveries of a queue, oldest event first."""
    gates.set_paused(QUEUE, settings, tenant_id, name, paused=False)


@queues.command("delete")
@NAME
@TENANT
@YES
@pass_settings
def delete(settings: Settings, name: str, tenant_id: str, *, yes: bool) -> None:
    """Delete a queue, and cancel its events."""
    cell = open_cell(settings)
    row = gates.find(QUEUE, cell, tenant_id, name)
    named = gates.title(QUEUE, tenant_id, name)
    if not yes:
        count = "" if row.state is None else f"{row.state.lag:,} "
        click.confirm(f"Delete {named}, and cancel its {count}events?", abort=True)
    change = gates.change_of(QUEUE, tenant_id, name, verb="delete")
    cancelled = Queues(cell).delete(row.owner, name, change=change)
    click.echo(f"{named} is deleted; {cancelled:,} events are cancelled")
