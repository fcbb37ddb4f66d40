"""`audit`: shows who changed what by hand."""

import click
import orjson
from scheduler_api.commands.common import (
    AS_JSON,
    open_cell,
    print_json,
    tenant_option,
    to_seconds,
)
from scheduler_api.commands.environment import pass_settings
from scheduler_api.core.store.audit import MAX_RECORDS, Record, newest
from scheduler_api.core.timestamps import to_iso
from scheduler_api.settings import Settings


@click.group()
def audit() -> None:
    """Show who changed what by hand."""


@audit.command("list")
@tenant_option("Changes of this tenant; default: changes that concern no tenant.")
@click.option(
    "--count",
    type=click.IntRange(1, MAX_RECORDS),
    default=50,
    show_default=True,
    help="How many records.",
)
@AS_JSON
@pass_settings
def list_records(
    settings: Settings, tenant_id: str | None, count: int, *, as_json: bool
) -> None:
    """List the newest changes, newest first. The log keeps 1,000 of each tenant."""
    records = newest(open_cell(settings), tenant_id, count=count)
    if as_json:
        print_json({"records": [*map(to_json, records)]})
        return
    for record in records:
        change = record.change
        states = f"{_json(record.before)} -> {_json(record.after)}"
        what = f"{change.action} {_json(change.object)}"
        click.echo(f"{to_seconds(record.at_ms)} {change.by}: {what} {states}")


def to_json(record: Record) -> dict[str, object]:
    """Return a record as JSON."""
    change = record.change
    return {
        "at": to_iso(record.at_ms),
        "by": change.by,
        "action": change.action,
        "object": change.object,
        "before": record.before,
        "after": record.after,
    }


def _json(value: object) -> str:
    """Return a value as JSON, which has no control characters."""
    return orjson.dumps(value).decode()
