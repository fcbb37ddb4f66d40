"""`cron`: previews the runs of a cron expression."""

import click
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from rich.table import Table
from scheduler_api.commands.common import AS_JSON, plain_table, print_json, print_table
from scheduler_api.core.cron.clock_changes import Fold, Gap
from scheduler_api.core.cron.expression import CronError
from scheduler_api.core.cron.preview import (
    DEFAULT_RUNS,
    MAX_RUNS,
    Run,
    Skipped,
    preview,
)
from scheduler_api.dialects import outbound
from scheduler_api.web.cron_preview import parse_parameters, render
from scheduler_api.web.refusal import Refusal

DAY_AND_TIME = "%a %Y-%m-%d %H:%M:%S"


@click.command("cron")
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
@AS_JSON
def preview_cron(*, as_json: bool, **options: str | None) -> None:
    """Show when a cron expression would run. Needs no store and no settings."""
    try:
        pairs = ((name, text) for name, text in options.items() if text is not None)
        query = parse_parameters(pairs, grammars=outbound.GRAMMARS)
        now_ms = time.time_ns() // 1_000_000
        after_ms = now_ms if query.after_ms is None else query.after_ms
        if as_json:
            print_json(render(query, after_ms))
            return
        result = preview(query.rule, after_ms=after_ms, count=query.count)
    except (CronError, Refusal) as err:
        message = _with_position(err, options["expression"] or "")
        raise click.ClickException(message) from err
    print_table(_runs_table(query.rule.tz, result.runs))
    if result.skipped:
        click.echo()
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
    table = plain_table("UTC", tz, "clock change")
    for run in runs:
        at = datetime.fromtimestamp(run.at_ms // 1000, UTC)
        table.add_row(f"{at:{DAY_AND_TIME}}", f"{run.local:{DAY_AND_TIME}}", run.note)
    return table


def _skipped_table(skipped: Iterable[Skipped]) -> Table:
    table = plain_table("skipped", "reason")
    for each in skipped:
        table.add_row(f"{each.local:{DAY_AND_TIME}}", each.reason)
    return table
