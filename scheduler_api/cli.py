"""The operator's command line: `python -m scheduler_api …`."""

import click
import os
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from redis.exceptions import RedisError
from rich.table import Column, Table
from scheduler_api.commands.audit import audit
from scheduler_api.commands.common import (
    existing_tenant,
    open_cell,
    print_table,
    to_seconds,
    user,
)
from scheduler_api.commands.dead_letters import dead_letters
from scheduler_api.commands.forget import forget
from scheduler_api.commands.keys import keys
from scheduler_api.commands.limits import set_limits
from scheduler_api.commands.tenants import tenant
from scheduler_api.commands.tokens import token
from scheduler_api.core.cron.clock_changes import Fold, Gap
from scheduler_api.core.cron.expression import CronError
from scheduler_api.core.cron.preview import (
    DEFAULT_RUNS,
    MAX_RUNS,
    Run,
    Skipped,
    preview,
)
from scheduler_api.core.delivery.destinations import BadDestination, Destination, parse
from scheduler_api.core.errors import ForeignDatabase, UnknownLayout
from scheduler_api.core.flow_control.held_destinations import (
    CLOSED,
    HALF_OPEN,
    HeldDestination,
    HeldDestinations,
)
from scheduler_api.core.fsck import walk
from scheduler_api.core.settings.engine import SettingsError
from scheduler_api.core.store import clock_step, layout
from scheduler_api.core.store.audit import Change
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.connection import connect
from scheduler_api.core.store.epoch import accept
from scheduler_api.core.store.epoch_memory import StoreMemory
from scheduler_api.core.tenants.encryption import WrongSecretKey
from scheduler_api.dialects import outbound
from scheduler_api.settings import Settings, from_env
from scheduler_api.web.cron_preview import parse_parameters
from scheduler_api.web.refusal import Refusal

DAY_AND_TIME = "%a %Y-%m-%d %H:%M:%S"


class Group(click.Group):
    """A command group that prints expected errors in one line, without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except SettingsError as err:
            raise click.ClickException(str(err)) from err
        except (WrongSecretKey, ForeignDatabase, UnknownLayout) as err:
            raise click.ClickException(str(err) or str(err.__doc__)) from err
        except RedisError as err:
            raise click.ClickException(f"the store does not answer: {err}") from err


@click.group(cls=Group)
@click.pass_context
def main(ctx: click.Context) -> None:
    """Operate a cell, with the same environment variables as its processes."""
    if ctx.invoked_subcommand != preview_cron.name:
        ctx.obj = from_env(os.environ)


main.add_command(audit)
main.add_command(dead_letters)
main.add_command(forget)
main.add_command(keys)
main.add_command(tenant)
tenant.add_command(set_limits)
main.add_command(token)


@main.command("fsck")
@click.pass_obj
def check_store(settings: Settings) -> None:
    """Print each fault in the records and sets of the store; exit 1 if any.

    Quarantined events, schedules and gates are printed too, with the reason. They are
    no faults.
    """
    cell = open_cell(settings)
    faults = walk.check(cell)
    for line in (*faults, *walk.quarantined(cell)):
        click.echo(str(line))
    raise SystemExit(1 if faults else 0)


def _read_url(_ctx: click.Context, _param: click.Parameter, url: str) -> Destination:
    try:
        return parse(url)
    except BadDestination as err:
        raise click.BadParameter(str(err)) from err


@main.command("accept-store")
@click.pass_obj
def accept_store(settings: Settings) -> None:
    """Continue with a store that came back empty or different."""
    client = connect(settings.redis_url)
    memory = StoreMemory(Cell(client, settings.prefix), settings.state_dir).load()
    epoch = accept(client, settings.prefix, by=user(), newest_id=memory.newest_id)
    click.echo(f"accepted store {epoch}; tickers continue within a second")


@main.command("accept-clock")
@click.pass_obj
def accept_clock(settings: Settings) -> None:
    """Continue after the store's clock has stepped."""
    client = connect(settings.redis_url)
    if not clock_step.accept(client, settings.prefix, by=user()):
        raise click.ClickException("no step of the store's clock was reported")
    click.echo("accepted the store's clock; tickers continue within a second")


@main.command("empty-store")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def empty_store(settings: Settings, yes: bool) -> None:
    """Delete all data of the cell: events, schedules, tenants, history.

    Stop its processes first. Afterwards this version can start on the empty store.
    """
    if not yes:
        question = f"Delete all data of the cell {settings.cell}?"
        click.confirm(question, abort=True)
    cell = Cell(connect(settings.redis_url), settings.prefix)
    deleted = layout.delete_all(cell)
    StoreMemory(cell, settings.state_dir).forget()
    click.echo(f"deleted {deleted} keys")


@main.group("destination")
def destinations() -> None:
    """Pause, resume and list destinations.

    A destination is the scheme, host and port of a URL.
    """


@destinations.command("list")
@click.pass_obj
def list_held_destinations(settings: Settings) -> None:
    """List origins and routes that are paused, failing, or over their share."""
    url = Column("destination", overflow="fold")
    cause = Column("last failure", overflow="fold")
    state = Column("state", overflow="fold")
    table = Table("tenant", url, state, cause, "waiting", "running")
    for held in HeldDestinations(open_cell(settings)).all():
        counts = str(held.waiting), str(held.running)
        failure = _failure(held)
        table.add_row(held.tenant, held.url or "-", _state(held), failure, *counts)
    print_table(table)


def _state(held: HeldDestination) -> str:
    """Return a text such as `paused since …; slowed since …`, or `closed`."""
    states: list[str] = []
    if held.paused_ms is not None:
        states.append(f"paused since {to_seconds(held.paused_ms)}")
    if held.since_ms is not None:
        states.append(f"{held.state} since {to_seconds(held.since_ms)}")
        if held.probe_ms is not None:
            due = held.state == HALF_OPEN
            when = "with the next event" if due else to_seconds(held.probe_ms)
            states.append(f"next probe {when}")
    return "; ".join(states) or held.state


def _failure(held: HeldDestination) -> str:
    if held.failed_ms is None:
        return "-"
    return f"{held.cause or 'unknown'}, at {to_seconds(held.failed_ms)}"


@destinations.command("pause")
@click.argument("tenant_id", metavar="TENANT", callback=existing_tenant)
@click.argument("destination", metavar="URL", callback=_read_url)
@click.pass_obj
def pause_destination(
    settings: Settings, tenant_id: str, destination: Destination
) -> None:
    """Stop deliveries of a tenant to a destination; the events wait."""
    origin = str(destination.origin)
    change = Change(tenant_id, user(), "destination.pause", origin)
    HeldDestinations(open_cell(settings)).set_paused(
        tenant_id, destination, paused=True, change=change
    )
    click.echo(f"{destination.origin} of tenant {tenant_id} is paused")


@destinations.command("resume")
@click.argument("tenant_id", metavar="TENANT", callback=existing_tenant)
@click.argument("destination", metavar="URL", callback=_read_url)
@click.pass_obj
def resume_destination(
    settings: Settings, tenant_id: str, destination: Destination
) -> None:
    """Continue deliveries of a tenant to a destination, oldest event first."""
    held = HeldDestinations(open_cell(settings))
    before = held.of_origin(tenant_id, destination)
    named = f"{destination.origin} of tenant {tenant_id}"
    if not any(each.paused_ms is not None for each in before):
        also = _others(before) or ": see `destination list`"
        raise click.ClickException(f"{named} is not paused{also}")
    change = Change(tenant_id, user(), "destination.resume", str(destination.origin))
    held.set_paused(tenant_id, destination, paused=False, change=change)
    click.echo(f"{named} is resumed{_others(before)}")


def _others(held: list[HeldDestination]) -> str:
    """Return which breakers still hold events, or ''."""
    breakers = [f"{each.url} ({each.state})" for each in held if each.state != CLOSED]
    return f"; a breaker holds {', '.join(breakers)}" if breakers else ""


@main.command("cron")
@click.argument("expression")
@click.option("--tz", help="Time zone; default UTC.")
@click.option("--after", help="ISO 8601 time after which runs are shown; default now.")
@click.option(
    "--count", help=f"How many runs, up to {MAX_RUNS}; default {DEFAULT_RUNS}."
)
@click.option(
    "--dialect",
    help=f"Dialect whose grammar applies: {', '.join(outbound.GRAMMARS)};"
    " default: every feature is accepted.",
)
@click.option(
    "--gap", help=f"When times skipped by a clock change run: {', '.join(Gap)}."
)
@click.option("--fold", help=f"At which pass repeated times run: {', '.join(Fold)}.")
def preview_cron(**options: str | None) -> None:
    """Show when a cron expression would run. Needs no store and no settings."""
    try:
        pairs = ((name, text) for name, text in options.items() if text is not None)
        query = parse_parameters(pairs, grammars=outbound.GRAMMARS)
        now_ms = time.time_ns() // 1_000_000
        after_ms = now_ms if query.after_ms is None else query.after_ms
        result = preview(query.rule, after_ms=after_ms, count=query.count)
    except (CronError, Refusal) as err:
        message = _with_position(err, options["expression"] or "")
        raise click.ClickException(message) from err
    print_table(_runs_table(query.rule.tz, result.runs))
    if result.skipped:
        print_table(_skipped_table(result.skipped))


def _with_position(err: CronError | Refusal, expression: str) -> str:
    """Return the error message.

    If the position of the error is known, add the expression, with a `^` below this
    position.
    """
    if isinstance(err, Refusal) or err.position is None or not expression:
        return str(err)
    printable = "".join(c if c.isprintable() else " " for c in expression)
    return f"{err}\n  {printable}\n  {' ' * err.position}^"


def _runs_table(tz: str, runs: Iterable[Run]) -> Table:
    table = Table("UTC", tz, "clock change")
    for run in runs:
        at = datetime.fromtimestamp(run.at_ms // 1000, UTC)
        table.add_row(f"{at:{DAY_AND_TIME}}", f"{run.local:{DAY_AND_TIME}}", run.note)
    return table


def _skipped_table(skipped: Iterable[Skipped]) -> Table:
    table = Table("skipped", "reason")
    for each in skipped:
        table.add_row(f"{each.local:{DAY_AND_TIME}}", each.reason)
    return table
