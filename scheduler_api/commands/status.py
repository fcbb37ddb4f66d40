"""`status`: one screen that says whether anything is late, failing or held."""

import click
import time
from collections.abc import Callable, Sequence
from functools import partial
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text
from scheduler_api.commands.common import (
    AS_JSON,
    iso_or_none,
    plain_table,
    print_json,
    printable,
    problem_lines,
    problems_json,
    screen,
    size,
    to_seconds,
)
from scheduler_api.commands.environment import program_of, settings_of
from scheduler_api.commands.reports import Details, Report, Reporter
from scheduler_api.core.delivery.causes import sentence_of
from scheduler_api.core.queries import sentences
from scheduler_api.core.queries.sentences import BAD, GOOD
from scheduler_api.core.queries.store_state import StoreState
from scheduler_api.core.store.processes import Process
from scheduler_api.core.timestamps import duration, to_iso
from typing import NoReturn

WATCH_S = 2.0
LABELS = ("late", "failing", "held")
COLOURS = {GOOD: "green", BAD: "red"}
# How many processes fit on the screen.
MAX_PROCESSES = 12


@click.command("status")
@click.option("--watch", is_flag=True, help="Show it every two seconds, until Ctrl-C.")
@AS_JSON
@click.pass_context
def status(ctx: click.Context, *, watch: bool, as_json: bool) -> None:
    """Say what is late, failing or held, and what to run; exit 1 if anything is wrong.

    Shows also the processes and the store.
    """
    if watch and as_json:
        raise click.UsageError("give either --watch or --json")
    reporter = Reporter(settings_of(ctx), program_of(ctx))
    if watch:
        _watch(reporter)
        return
    report = reporter.report()
    if as_json:
        print_json(to_json(report))
    else:
        screen().print(_screen(report))
    ctx.exit(1 if report.problems else 0)


def _watch(reporter: Reporter) -> None:
    console = screen()
    try:
        if console.is_terminal:
            with Live(console=console, auto_refresh=False) as live:
                _show_forever(reporter, partial(live.update, refresh=True))
        else:
            # In a pipe, `Live` would show only its last screen.
            _show_forever(reporter, console.print)
    except KeyboardInterrupt:
        return


def _show_forever(
    reporter: Reporter, show: Callable[[RenderableType], None]
) -> NoReturn:
    while True:
        show(_screen(reporter.report()))
        time.sleep(WATCH_S)


def _screen(report: Report) -> RenderableType:
    details = report.details
    parts: list[RenderableType] = [
        _headline(report),
        *problem_lines(report.problems, bullet="!", colour="red"),
    ]
    if details is not None:
        parts += [Text(), _summary(details)]
        parts += [each for each in (_failing(details), _held(details)) if each]
        if report.answer.processes:
            parts.append(_processes(report.answer.processes, details.at_ms))
        parts.append(_store(details.store))
    return Group(*parts)


def _headline(report: Report) -> Text:
    count = len(report.problems)
    if not count:
        return Text("Nothing needs attention.", "bold green")
    noun = "problem needs" if count == 1 else "problems need"
    return Text(f"{count} {noun} attention.", "bold red")


def _summary(details: Details) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for label, each in zip(LABELS, details.sentences, strict=True):
        text = printable(f"{each.answer} {each.details}")
        table.add_row(label, Text(text, COLOURS.get(each.kind, "yellow")))
    return table


def _failing(details: Details) -> Table | None:
    if not details.failing:
        return None
    table = plain_table("\nfailing", "\nfailed", "\ndelivered", "\ncause")
    for name, counts in ((d.name, d.counts) for d in details.failing[:MAX_PROCESSES]):
        numbers = f"{counts.failed:,}", f"{counts.delivered:,}"
        table.add_row(printable(name), *numbers, printable(sentence_of(counts.cause)))
    return table


def _held(details: Details) -> Table | None:
    if not details.held.fullest:
        return None
    table = plain_table("\nheld by", "\ntenant", "\nevents", "\nwhy", "\nsince")
    for each in details.held.fullest:
        since = "" if each.since_ms is None else to_seconds(each.since_ms)
        table.add_row(
            printable(sentences.gate(each)),
            each.tenant or "all",
            f"{each.events:,}",
            printable(sentences.reason(each)),
            since,
        )
    return table


def _processes(processes: Sequence[Process], now_ms: int) -> RenderableType:
    table = plain_table(
        *("\nprocess", "\nhost", "\npid", "\nversion", "\nload", "\nlast sign"),
    )
    for each in processes[:MAX_PROCESSES]:
        seen = f"{duration(max(0, now_ms - each.seen_ms))} ago"
        load = sentences.load(each.load)
        host, version = printable(each.host), printable(each.version)
        table.add_row(each.role, host, str(each.pid), version, load, seen)
    more = len(processes) - MAX_PROCESSES
    return Group(table, Text(f"and {more} more")) if more > 0 else table


def _store(store: StoreState) -> Text:
    name = f"{store.product} {store.version}"
    return Text(f"\nstore {name}: {_memory(store)}; {_persistence(store)}")


def _memory(store: StoreState) -> str:
    used, percent = size(store.used_bytes), store.used_percent
    if percent is None:
        return f"{used} of memory used, no limit"
    return f"{percent:.1f} % of {size(store.limit_bytes)} of memory used"


def _persistence(store: StoreState) -> str:
    words = "append-only file" if store.appends else "no append-only file"
    if not store.is_saved:
        words += ", whose last write failed" if store.appends else ", last save failed"
    if store.replicas:
        words += f"; {sentences.count(store.replicas, 'replica')}"
    return words


def to_json(report: Report) -> dict[str, object]:
    """Return a report as JSON; times are ISO 8601."""
    details = report.details
    body: dict[str, object] = {
        "needsAttention": bool(report.problems),
        "problems": problems_json(report.problems),
        "processes": report.answer.render(with_processes=True)[0]["processes"],
    }
    return body if details is None else body | _details(details)


def _details(details: Details) -> dict[str, object]:
    late, store = details.lateness, details.store
    return {
        "at": to_iso(details.at_ms),
        "late": {
            "oldestDue": iso_or_none(details.oldest_due_ms),
            "oldestDueAgeMs": details.at_ms - (details.oldest_due_ms or details.at_ms),
            "since": to_iso(late.since_ms),
            "begun": late.attempts,
            "halfWithinMs": late.half_ms if late.attempts else None,
            "mostWithinMs": late.most_ms if late.attempts else None,
        },
        "failing": [
            {
                "destination": each.name,
                "failed": each.counts.failed,
                "delivered": each.counts.delivered,
                "code": each.counts.cause,
                "cause": sentence_of(each.counts.cause),
                "lastFailure": iso_or_none(each.counts.failed_ms),
            }
            for each in details.failing
        ],
        "held": {
            "events": details.held.events,
            "gates": [
                {
                    "gate": sentences.gate(each),
                    "tenant": each.tenant or None,
                    "events": each.events,
                    "reason": sentences.reason(each),
                    "isPaused": each.is_paused,
                    "since": iso_or_none(each.since_ms),
                }
                for each in details.held.fullest
            ],
        },
        "store": {
            "product": store.product,
            "version": store.version,
            "usedBytes": store.used_bytes,
            "limitBytes": store.limit_bytes,
            "policy": store.policy,
            "appendOnlyFile": store.appends,
            "isSaved": store.is_saved,
            "replicas": store.replicas,
        },
    }
