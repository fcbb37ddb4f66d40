"""`doctor`: what is wrong with an installation, and what mends it."""

import click
import redis
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from scheduler_api import services
from scheduler_api.commands import checks, own_delivery
from scheduler_api.commands.common import (
    AS_JSON,
    print_json,
    problem_lines,
    problems_json,
    screen,
)
from scheduler_api.commands.environment import (
    program_of,
    settings_of,
    variables_of,
)
from scheduler_api.commands.own_delivery import OwnDelivery
from scheduler_api.commands.reports import Report, Reporter
from scheduler_api.core.delivery.retry import BLOCKED
from scheduler_api.core.queries.sentences import count
from scheduler_api.core.settings.engine import SettingsError
from scheduler_api.core.timestamps import duration
from scheduler_api.credentials import BASE_URL
from scheduler_api.settings import Settings
from scheduler_api.web import readiness
from scheduler_api.web.banners import Banner

# The value of `--deliver` without a URL.
BUILT_IN = "receiver"
NO_RECEIVER = (
    "No built-in receiver to deliver to: give a URL to --deliver, or set"
    " SCHED_RECEIVER in the environment of all processes, and restart them"
)
STOPPED = "The delivery to {} stopped: {}"
NOT_TRIED = "No delivery was tried. Mend this first."


@dataclass(frozen=True)
class Examination:
    """What `doctor` has found; `delivery` is None if none was tried."""

    findings: Sequence[Banner]
    delivery: OwnDelivery | None = None


@click.command("doctor")
@AS_JSON
@click.option(
    "--deliver",
    "url",
    metavar="[URL]",
    is_flag=False,
    flag_value=BUILT_IN,
    help="Deliver an event too: to this URL, or to the built-in receiver.",
)
@click.pass_context
def doctor(ctx: click.Context, *, as_json: bool, url: str | None) -> None:
    """Say what is wrong with the installation, and what mends it; exit 1 if anything.

    Checks the settings, the store, its clock, the processes and the workers.
    """
    found = _examine(ctx, url)
    if as_json:
        print_json(_to_json(found))
    else:
        screen().print(Group(*_parts(found, is_tried=url is not None)))
    ctx.exit(1 if found.findings else 0)


def _examine(ctx: click.Context, url: str | None) -> Examination:
    """Return what is wrong; a fault that hides others ends the checks."""
    try:
        settings = settings_of(ctx)
    except SettingsError as err:
        return Examination([*checks.settings_faults(err)])
    try:
        faults = [*checks.reach(settings)]
        if faults:
            return Examination(faults)
        report = Reporter(settings, program_of(ctx)).faults()
        findings = [*checks.cell(settings, report)]
        # On a store that is not ours, or with another key, nothing must be stored.
        if url is None or not {*report.answer.missing} <= {*readiness.ROLES}:
            return Examination(findings)
        return _deliver(settings, variables_of(ctx), url, report, findings)
    except redis.RedisError as err:
        return Examination([checks.unreachable(err)])


def _deliver(
    settings: Settings,
    variables: Mapping[str, str],
    url: str,
    report: Report,
    findings: Sequence[Banner],
) -> Examination:
    processes = report.answer.processes
    workers = checks.as_workers(settings, processes)
    if url == BUILT_IN:
        if not workers.receiver:
            command = "export SCHED_RECEIVER=true"
            return Examination([*findings, Banner(NO_RECEIVER, command)])
        base_url = variables.get(BASE_URL) or f"http://127.0.0.1:{settings.port}"
        url = f"{base_url}/receiver/doctor"
    refused = [*checks.refused_url(workers, url)]
    if refused:
        return Examination([*findings, *refused])
    made = own_delivery.deliver(services.build(settings), url)
    stopped = [*_stopped(made, workers)]
    return Examination([*findings, *stopped], made)


def _stopped(made: OwnDelivery, workers: Settings) -> Iterator[Banner]:
    """Yield why the delivery stopped, if it did."""
    if made.code == BLOCKED:
        yield from checks.refused_address(workers, made.url)
    elif made.stopped:
        yield Banner(STOPPED.format(made.url, made.stopped))


def _parts(found: Examination, *, is_tried: bool) -> Iterator[RenderableType]:
    if found.findings:
        number = count(len(found.findings), "thing")
        yield Text(f"{number} to mend.", "bold red")
    else:
        yield Text("Nothing is wrong.", "bold green")
    yield from problem_lines(found.findings, bullet="!", colour="red")
    if found.delivery is not None:
        yield from _delivery(found.delivery)
    elif is_tried:
        yield Text(f"\n{NOT_TRIED}")


def _delivery(made: OwnDelivery) -> Iterator[RenderableType]:
    if not made.steps:
        return
    arrived = f"The delivery to {made.url} arrived:"
    title = "What was done before it stopped:" if made.stopped else arrived
    yield Text(f"\n{title}", overflow="fold")
    table = Table.grid(padding=(0, 2, 0, 0))
    for step in made.steps:
        table.add_row(f"  {step.name}", Text(duration(step.took_ms), justify="right"))
    yield table


def _to_json(found: Examination) -> dict[str, object]:
    made = found.delivery
    return {
        "findings": problems_json(found.findings),
        "delivery": None
        if made is None
        else {
            "url": made.url,
            "event": made.event or None,
            "isDelivered": not made.stopped,
            "steps": [
                {"step": step.name, "ms": round(step.took_ms)} for step in made.steps
            ],
            "stopped": made.stopped or None,
        },
    }
