"""`audit`: shows who changed what by hand."""

import click
import orjson
from scheduler_api.commands.common import existing_tenant, open_cell, to_seconds
from scheduler_api.commands.environment import pass_settings
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
@pass_settings
def list_records(settings: Settings, tenant_id: str | None, count: int) -> None:
    """List the newest changes, newest first. The log keeps 1,000 of each tenant."""
    for record in newest(open_cell(settings), tenant_id, count=count):
        change = record.change
        states = f"{_json(record.before)} -> {_json(record.after)}"
        what = f"{change.action} {_json(change.object)}"
        click.echo(f"{to_seconds(record.at_ms)} {change.by}: {what} {states}")


def _json(value: object) -> str:
    """Return a value as JSON, which has no control characters."""
    return orjson.dumps(value).decode()
