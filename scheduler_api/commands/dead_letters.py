"""`dead-letters`: lists, retries and deletes dead letters."""

import click
import sys
import time
from collections.abc import Callable, Iterator
from rich.table import Column
from scheduler_api.commands.common import (
    AS_JSON,
    TENANT,
    YES,
    open_cell,
    plain_table,
    print_json,
    print_table,
    printable,
    to_seconds,
    together,
    user,
)
from scheduler_api.commands.environment import pass_settings
from scheduler_api.commands.event_filters import (
    DRY_RUN,
    choosing_options,
    confirm,
    match_words,
    span_and_target,
)
from scheduler_api.core import public_ids
from scheduler_api.core.errors import NotFound
from scheduler_api.core.queries.letters import (
    Letter,
    LetterFilter,
    Letters,
)
from scheduler_api.core.recovery.letter_jobs import (
    DEFAULT_RATE,
    MAX_RATE,
    Action,
    JobState,
    LetterJob,
    LetterJobs,
)
from scheduler_api.core.recovery.letter_work import LetterWork
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.timestamps import to_iso
from scheduler_api.dialects import outbound
from scheduler_api.settings import Settings
from scheduler_api.web.tenant_limits import describe_refusal
from typing import Any

MAX_LISTED = 1_000
FOREVER_S = float("inf")
SHOW_INTERVAL_S = 1.0


@click.group("dead-letters")
def dead_letters() -> None:
    """List, retry and delete events that failed for good."""


# Which dead letters are meant.
filter_options = together(
    TENANT,
    choosing_options("Failed"),
    click.option(
        "--cause",
        default="",
        help="Code, status or class of the last failure: refused, 500, 5xx.",
    ),
)
_job_options = together(
    filter_options,
    click.option(
        "--rate",
        type=click.IntRange(1, MAX_RATE),
        default=DEFAULT_RATE,
        show_default=True,
        help="How many per second at most.",
    ),
    DRY_RUN,
    YES,
)


def _filter(chosen: dict[str, Any]) -> LetterFilter:
    time, target = span_and_target(chosen)
    return LetterFilter(
        time=time, target=target, cause=chosen["cause"], label=chosen["label"]
    )


@dead_letters.command("list")
@filter_options
@click.option(
    "--count",
    type=click.IntRange(1, MAX_LISTED),
    default=50,
    show_default=True,
    help="How many, the newest first.",
)
@AS_JSON
@pass_settings
def list_letters(
    settings: Settings, /, tenant_id: str, count: int, *, as_json: bool, **chosen: Any
) -> None:
    """List dead letters and why they failed, the newest first."""
    letters = Letters(open_cell(settings), outbound.LABELS)
    found = [*_newest(letters, tenant_id, _filter(chosen), count=count)]
    if as_json:
        print_json({"deadLetters": [*map(to_json, found)]})
        return
    failed = Column("failed", no_wrap=True)
    table = plain_table(failed, "event", "destination", "attempts", "why")
    for letter in found:
        cause = letter.cause
        table.add_row(
            to_seconds(letter.failed_ms),
            public_ids.event_id(letter.owner, letter.id),
            printable(letter.content.url) if letter.content else "unreadable",
            str(letter.attempts),
            f"{cause.sentence} ({cause.code})" if cause else letter.end,
        )
    print_table(table)


def _newest(
    letters: Letters, tenant_id: str, wanted: LetterFilter, *, count: int
) -> Iterator[Letter]:
    """Yield the newest letters that match, up to a number."""
    owners, after = outbound.owners_of(tenant_id), None
    while count > 0:
        page = letters.page(owners, wanted, after=after, size=count)
        yield from page.letters
        count, after = count - len(page.letters), page.next
        if after is None:
            return


def to_json(letter: Letter) -> dict[str, object]:
    """Return a dead letter as JSON."""
    return {
        "event": public_ids.event_id(letter.owner, letter.id),
        "destination": letter.content.url if letter.content else None,
        "created": to_iso(letter.created_ms),
        "failed": to_iso(letter.failed_ms),
        "attempts": letter.attempts,
        "code": letter.cause.code if letter.cause else None,
        "cause": letter.cause.sentence if letter.cause else letter.end,
    }


@dead_letters.command("retry")
@_job_options
@pass_settings
def retry(settings: Settings, /, tenant_id: str, **chosen: object) -> None:
    """Send all dead letters that match again, as new events.

    This is a job: if the command is interrupted, `chores` continues it; see `stop`.
    """
    _run(settings, tenant_id, Action.RETRY, chosen)


@dead_letters.command("delete")
@_job_options
@pass_settings
def delete(settings: Settings, /, tenant_id: str, **chosen: object) -> None:
    """Delete all dead letters that match; they can then not be retried any more.

    This is a job: if the command is interrupted, `chores` continues it; see `stop`.
    """
    _run(settings, tenant_id, Action.DELETE, chosen)


@dead_letters.command("jobs")
@TENANT
@AS_JSON
@pass_settings
def list_jobs(settings: Settings, tenant_id: str, *, as_json: bool) -> None:
    """List the jobs of the last 30 days, the newest first."""
    jobs = LetterJobs(open_cell(settings)).all_of(tenant_id)
    if as_json:
        print_json({"jobs": [*map(_job_json, jobs)]})
        return
    created = Column("created", no_wrap=True)
    table = plain_table(created, "job", "action", "state", "done", "skipped", "by")
    for job in jobs:
        counts = f"{job.done:,}", f"{job.skipped:,}"
        at = to_seconds(job.created_ms)
        table.add_row(at, job.id, job.action, job.state, *counts, job.by)
    print_table(table)


def _job_json(job: LetterJob) -> dict[str, object]:
    return {
        "job": job.id,
        "action": job.action,
        "state": job.state,
        "created": to_iso(job.created_ms),
        "rate": job.rate,
        "done": job.done,
        "skipped": job.skipped,
        "by": job.by,
    }


@dead_letters.command("stop")
@click.argument("job_id", metavar="JOB")
@TENANT
@pass_settings
def stop(settings: Settings, job_id: str, tenant_id: str) -> None:
    """Stop a job, wherever it runs."""
    jobs = LetterJobs(open_cell(settings))
    try:
        job = jobs.get(tenant_id, job_id)
    except NotFound as err:
        raise click.ClickException(
            f"there is no job {job_id}: see `dead-letters jobs`"
        ) from err
    if job.state is not JobState.RUNNING:
        raise click.ClickException(f"the job is {job.state} already")
    jobs.stop(job, by=user())
    click.echo(f"stopped {job_id} after {job.done:,}")


def _run(
    settings: Settings, tenant_id: str, action: Action, chosen: dict[str, Any]
) -> None:
    """Count what matches, ask, then create a job and work on it until it ends."""
    cell, wanted = open_cell(settings), _filter(chosen)
    letters = Letters(cell, outbound.LABELS)
    expected = letters.count(outbound.owners_of(tenant_id), wanted)
    click.echo(match_words(expected.least, "dead letter", most=expected.most))
    if chosen["dry_run"] or not expected.most:
        return
    if not chosen["yes"]:
        confirm(action.capitalize(), expected.most)
    jobs = LetterJobs(cell)
    job = jobs.create(
        *(tenant_id, action, wanted),
        rate=chosen["rate"],
        expected=expected,
        by=user(),
    )
    _work(settings, cell, job)


def _work(settings: Settings, cell: Cell, job: LetterJob) -> None:
    with click.progressbar(
        length=job.expected.most, label=job.action, show_pos=True, file=sys.stderr
    ) as bar:
        after = _work_until_it_ends(
            LetterJobs(cell),
            outbound.letter_work(cell, settings),
            job,
            show=lambda done: bar.update(done - bar.pos),
        )
    skipped = f", {after.skipped:,} cannot be read" if after.skipped else ""
    click.echo(f"{after.state}: {after.done:,}{skipped}")
    if after.refused:
        raise click.ClickException(
            f"{describe_refusal(after.refused)}; job {job.id} continues by itself"
        )


def _work_until_it_ends(
    jobs: LetterJobs, work: LetterWork, job: LetterJob, *, show: Callable[[int], None]
) -> LetterJob:
    """Work on a job until it ends or the store refuses more; return its last state.

    Args:
        show: is called with the number of letters that are done.
    """

    def report() -> None:
        show(jobs.get(job.tenant, job.id).done)

    while True:
        work.work(job.tenant, job.id, for_s=FOREVER_S, on_progress=report)
        after = jobs.get(job.tenant, job.id)
        show(after.done)
        if after.state is not JobState.RUNNING or after.refused:
            return after
        # Another process works on it.
        time.sleep(SHOW_INTERVAL_S)
