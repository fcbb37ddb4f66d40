"""`fsck`, `accept-store`, `accept-clock`, `empty-store`: the store of the cell."""

import click
from scheduler_api.commands.common import AS_JSON, YES, open_cell, print_json, user
from scheduler_api.commands.environment import pass_settings
from scheduler_api.core.fsck import walk
from scheduler_api.core.store import clock_step, layout
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.connection import connect
from scheduler_api.core.store.epoch import accept
from scheduler_api.core.store.epoch_memory import StoreMemory
from scheduler_api.settings import Settings


@click.command("fsck")
@AS_JSON
@pass_settings
def check_store(settings: Settings, *, as_json: bool) -> None:
    """Print each fault in the records and sets of the store; exit 1 if any.

    Quarantined events, schedules and gates are printed too, with the reason. They are
    no faults.
    """
    cell = open_cell(settings)
    faults, quarantined = walk.check(cell), walk.quarantined(cell)
    if as_json:
        print_json({"faults": faults, "quarantined": [*map(str, quarantined)]})
    else:
        for line in (*faults, *quarantined):
            click.echo(str(line))
    raise SystemExit(1 if faults else 0)


@click.command("accept-store")
@pass_settings
def accept_store(settings: Settings) -> None:
    """Continue with a store that came back empty or different."""
    client = connect(settings.store_url)
    memory = StoreMemory(Cell(client, settings.prefix), settings.state_dir).load()
    epoch = accept(client, settings.prefix, by=user(), newest_id=memory.newest_id)
    click.echo(f"accepted store {epoch}; tickers continue within a second")


@click.command("accept-clock")
@pass_settings
def accept_clock(settings: Settings) -> None:
    """Continue after the store's clock has stepped."""
    client = connect(settings.store_url)
    if not clock_step.accept(client, settings.prefix, by=user()):
        raise click.ClickException("no step of the store's clock was reported")
    click.echo("accepted the store's clock; tickers continue within a second")


@click.command("empty-store")
@YES
@pass_settings
def empty_store(settings: Settings, yes: bool) -> None:
    """Delete all data of the cell: events, schedules, tenants, history.

    Stop its processes first. Afterwards this version can start on the empty store.
    """
    if not yes:
        question = f"Delete all data of the cell {settings.cell}?"
        click.confirm(question, abort=True)
    cell = Cell(connect(settings.store_url), settings.prefix)
    deleted = layout.delete_all(cell)
    StoreMemory(cell, settings.state_dir).forget()
    click.echo(f"deleted {deleted} keys")
