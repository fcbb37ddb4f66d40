"""`audit`: shows who changed what by hand."""

import click
import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from scheduler_api.commands.common import existing_tenant, open_cell, to_seconds
from scheduler_api.core.store.audit import MAX_RECORDS, newest
from scheduler_api.settings import Settings


@click.group()
def audit() -> None:
    """Show who changed what by hand."""


@audit.command("list")
@click.option(
    "--tenant",
    "tenant_id",
    metavar="ID",
    callback=existing_tenant,
    help="Changes of this tenant; default: changes that concern no tenant.",
)
@click.option(
    "--count",
    type=click.IntRange(1, MAX_RECORDS),
    default=50,
    show_default=True,
    help="How many records.",
)
@click.pass_obj
def list_records(settings: Settings, tenant_id: str | None, count: int) -> None:
    """List the newest changes, newest first. The log keeps 1,000 of each tenant."""
    names = ("time", "by", "change", "object", "before", "after")
    table = Table(*(Column(name, overflow="fold") for name in names))
    for record in newest(open_cell(settings), tenant_id, count=count):
        change = record.change
        states = (orjson.dumps(each).decode() for each in (record.before, record.after))
        cells = (change.by, change.action, change.object, *states)
        table.add_row(to_seconds(record.at_ms), *(escape(cell) for cell in cells))
    Console().print(table)
