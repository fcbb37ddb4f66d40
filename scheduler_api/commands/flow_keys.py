"""`flow`: lists, pauses and resumes flow-control keys, and changes their limits."""

import click
from scheduler_api.commands import gates
from scheduler_api.commands.common import (
    AS_JSON,
    ONE_TENANT,
    TENANT,
    facts_table,
    open_cell,
    print_json,
    screen,
)
from scheduler_api.commands.completion import complete_names
from scheduler_api.commands.environment import pass_settings
from scheduler_api.commands.gates import FLOW
from scheduler_api.core.flow_control.flow_keys import Flow, FlowKeys
from scheduler_api.core.flow_control.gates import MAX_LIMIT, MAX_PERIOD_MS
from scheduler_api.core.flow_control.rows import Row
from scheduler_api.core.timestamps import duration
from scheduler_api.settings import Settings

KEY = click.argument("key", shell_complete=complete_names(FLOW.index))
LIMIT = click.IntRange(1, MAX_LIMIT)
BY_HAND = " (pinned)"


@click.group("flow")
def flow_keys() -> None:
    """List, pause and resume flow-control keys, and change their limits."""


@flow_keys.command("list")
@ONE_TENANT
@AS_JSON
@pass_settings
def list_keys(settings: Settings, tenant_id: str | None, *, as_json: bool) -> None:
    """List flow-control keys, and what waits for them."""
    gates.print_all(
        *(FLOW, settings, tenant_id),
        columns=("running", "rate", "waiting"),
        cells=_cells,
        as_json=to_json if as_json else None,
    )


def _cells(_row: Row[Flow], flow: Flow) -> tuple[str, ...]:
    return _running(flow), _rate(flow), f"{flow.waiting:,}"


def _running(flow: Flow) -> str:
    if not flow.parallelism:
        return f"{flow.running:,}"
    return f"{flow.running:,} of {flow.parallelism:,}"


def _rate(flow: Flow) -> str:
    if not flow.rate:
        return "-"
    return f"{flow.begun:,} of {flow.rate:,} in {duration(flow.period_ms)}"


def to_json(row: Row[Flow]) -> dict[str, object]:
    """Return a key as JSON; a key that cannot be read has its name only.

    Limits that are not set are null.
    """
    flow = row.state
    if flow is None:
        return gates.to_json(row, None)
    return gates.to_json(
        row,
        flow.paused,
        parallelism=flow.parallelism or None,
        isParallelismPinned=flow.pinned_parallelism,
        running=flow.running,
        rate=flow.rate or None,
        isRatePinned=flow.pinned_rate,
        periodMs=flow.period_ms if flow.rate else None,
        begun=flow.begun if flow.rate else None,
        waiting=flow.waiting,
    )


@flow_keys.command("show")
@KEY
@TENANT
@AS_JSON
@pass_settings
def show(settings: Settings, key: str, tenant_id: str, *, as_json: bool) -> None:
    """Show a flow-control key, and which event waits longest for it."""
    cell = open_cell(settings)
    row = gates.find(FLOW, cell, tenant_id, key)
    flow = gates.readable(row)
    if as_json:
        print_json(to_json(row) | {"heldBy": gates.held_by(FLOW, cell, row) or None})
        return
    facts = {
        "key": f"{key} of tenant {tenant_id}",
        "state": gates.state(flow),
        "running": _running(flow) + BY_HAND * flow.pinned_parallelism,
        "rate": _rate(flow) + BY_HAND * flow.pinned_rate,
        "waiting": f"{flow.waiting:,}",
        "oldest": gates.first_waiter(FLOW, cell, row),
    }
    screen().print(facts_table(facts))


@flow_keys.command("pin")
@KEY
@TENANT
@click.option(
    "--parallelism", metavar="N", type=LIMIT, help="Events sent at the same time."
)
@click.option("--rate", metavar="N", type=LIMIT, help="Events begun in a period.")
@click.option(
    "--period",
    "period_s",
    metavar="SECONDS",
    type=click.IntRange(1, MAX_PERIOD_MS // 1_000),
    help="The period of the rate; default: one second.",
)
@pass_settings
def pin(
    settings: Settings,
    key: str,
    *,
    tenant_id: str,
    parallelism: int | None,
    rate: int | None,
    period_s: int | None,
) -> None:
    """Set limits of a flow-control key that events cannot change."""
    if parallelism is None and rate is None:
        raise click.UsageError("give --parallelism or --rate")
    if period_s is not None and rate is None:
        raise click.UsageError("--period needs --rate")
    cell = open_cell(settings)
    row = gates.find(FLOW, cell, tenant_id, key)
    with gates.changing(FLOW, tenant_id, key):
        FlowKeys(cell).pin(
            row.owner,
            key,
            parallelism=parallelism,
            rate=rate,
            period_ms=None if period_s is None else period_s * 1_000,
            change=gates.change_of(FLOW, tenant_id, key, verb="pin"),
        )
    click.echo(f"limits of {gates.title(FLOW, tenant_id, key)} are pinned")


@flow_keys.command("unpin")
@KEY
@TENANT
@click.option("--parallelism", is_flag=True, help="Only this limit.")
@click.option("--rate", is_flag=True, help="Only this limit.")
@pass_settings
def unpin(
    settings: Settings, key: str, *, tenant_id: str, parallelism: bool, rate: bool
) -> None:
    """Let events change the limits of a flow-control key again."""
    cell = open_cell(settings)
    row = gates.find(FLOW, cell, tenant_id, key)
    with gates.changing(FLOW, tenant_id, key):
        FlowKeys(cell).unpin(
            row.owner,
            key,
            parallelism=parallelism or not rate,
            rate=rate or not parallelism,
            change=gates.change_of(FLOW, tenant_id, key, verb="unpin"),
        )
    click.echo(f"events may change {gates.title(FLOW, tenant_id, key)} again")


@flow_keys.command("reset")
@KEY
@TENANT
@pass_settings
def reset(settings: Settings, key: str, tenant_id: str) -> None:
    """Begin a new period of the rate, so that more events may begin now."""
    cell = open_cell(settings)
    row = gates.find(FLOW, cell, tenant_id, key)
    change = gates.change_of(FLOW, tenant_id, key, verb="reset")
    with gates.changing(FLOW, tenant_id, key):
        FlowKeys(cell).reset_rate(row.owner, key, change=change)
    click.echo(f"{gates.title(FLOW, tenant_id, key)} begins a new period")


@flow_keys.command("pause")
@KEY
@TENANT
@pass_settings
def pause(settings: Settings, key: str, tenant_id: str) -> None:
    """Stop deliveries of events with a flow-control key; they wait."""
    gates.set_paused(FLOW, settings, tenant_id, key, paused=True)


@flow_keys.command("resume")
@KEY
@TENANT
@pass_settings
def resume(settings: Settings, key: str, tenant_id: str) -> None:
    """Continue deliveries of events with a flow-control key, oldest first."""
    gates.set_paused(FLOW, settings, tenant_id, key, paused=False)
