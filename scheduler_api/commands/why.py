"""`why`: what happened to an event or a schedule, and what it waits for."""

import click
from collections.abc import Iterator
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from scheduler_api import services
from scheduler_api.commands.common import (
    AS_JSON,
    api_of,
    facts_table,
    open_cell,
    print_json,
    printable,
    problem_lines,
    problems_json,
    screen,
    to_seconds,
)
from scheduler_api.commands.environment import program_of, settings_of
from scheduler_api.commands.event_filters import unknown
from scheduler_api.commands.explanations import Explainer, Explanation
from scheduler_api.commands.reports import Reporter
from scheduler_api.core.timestamps import to_iso


@click.command("why")
@click.argument("name", metavar="ID")
@AS_JSON
@click.pass_context
def why(ctx: click.Context, name: str, *, as_json: bool) -> None:
    """Tell what happened to an event or a schedule, and what it waits for.

    ID is any id that a client has, in any API, or the name of a schedule.
    """
    settings, program = settings_of(ctx), program_of(ctx)
    open_cell(settings)
    blockers = Reporter(settings, program).blockers()
    found = Explainer(services.build(settings), program, blockers).explain(name)
    if not found:
        raise unknown(name)
    if as_json:
        print_json({"found": [*map(to_json, found)]})
    else:
        screen().print(Group(*(part for each in found for part in _parts(each))))


def _parts(explained: Explanation) -> Iterator[RenderableType]:
    kind = "Schedule" if explained.is_schedule else "Event"
    name = printable(explained.id)
    yield Text(f"{kind} {name}: {explained.state}", "bold", overflow="fold")
    yield _facts(explained)
    if explained.steps:
        title = "Last runs" if explained.is_schedule else "What happened"
        yield Text(f"\n{title}", "bold")
        table = Table.grid(padding=(0, 2, 0, 0))
        for step in explained.steps:
            text = Text(printable(step.text), overflow="fold")
            table.add_row(to_seconds(step.at_ms), text)
        yield table
    yield Text("\nWhat must happen for it to go on", "bold")
    yield from problem_lines(explained.next, bullet="-")


def _facts(explained: Explanation) -> Table:
    return facts_table(
        {
            "tenant": f"{explained.owner.tenant}, API {api_of(explained.owner)}",
            "destination": explained.url,
            **explained.facts,
            "held by": explained.gate,
        }
    )


def to_json(explained: Explanation) -> dict[str, object]:
    """Return an explanation as JSON; times of the timeline are ISO 8601."""
    return {
        "id": explained.id,
        "kind": "schedule" if explained.is_schedule else "event",
        "tenant": explained.owner.tenant,
        "api": api_of(explained.owner),
        "state": explained.state,
        "destination": explained.url,
        "facts": explained.facts,
        "gate": explained.gate or None,
        "timeline": [
            {"at": to_iso(step.at_ms), "text": step.text} for step in explained.steps
        ],
        "next": problems_json(explained.next),
    }
