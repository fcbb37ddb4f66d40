"""`import`: makes schedules of what another scheduler has."""

import click
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from scheduler_api.commands.common import plain_table, print_table, printable
from scheduler_api.commands.environment import require, variables_of
from scheduler_api.commands.schedules import (
    DRY_RUN,
    NOTHING,
    plan_for,
    run_steps,
    show_steps,
)
from scheduler_api.core.cron.expression import Cron, CronError
from scheduler_api.core.cron.zones import check_zone
from scheduler_api.core.timestamps import to_iso
from scheduler_api.schedule_files import crontab, entries, qstash, qstash_account
from scheduler_api.schedule_files.connection import ApiError, Connection
from scheduler_api.schedule_files.crontab import Crontab, Refused
from scheduler_api.schedule_files.entries import Entry, Existing
from scheduler_api.schedule_files.plan import Action
from scheduler_api.schedule_files.qstash_account import Copy
from scheduler_api.schedule_files.run_comparison import (
    COMPARED_RUNS,
    differing_runs,
    is_next,
)
from scheduler_api.web.schedule_options import BadOption
from typing import TextIO

UTC = "UTC"
SYSTEM = (Path("/etc/crontab"), Path("/etc/cron.d"))
LOCAL_TIME = Path("/etc/localtime")
ZONES = "zoneinfo/"


@click.group("import")
def imports() -> None:
    """Make schedules of what another scheduler has."""


@imports.command("crontab")
@click.argument("file", type=click.File(encoding="utf-8"), default="-")
@click.option(
    "--map",
    "mapped",
    metavar="COMMAND=URL",
    multiple=True,
    help="The URL for a command that is not a webhook.",
)
@DRY_RUN
@click.option(
    "--output",
    type=click.File("w", encoding="utf-8", lazy=True),
    help="Write a file for `schedules apply` instead.",
)
@click.pass_context
def import_crontab(
    ctx: click.Context,
    file: TextIO,
    *,
    mapped: tuple[str, ...],
    dry_run: bool,
    output: TextIO | None,
) -> None:
    """Make schedules of QStash from the curl and wget commands of a crontab.

    Reads the output of `crontab -l`, or /etc/crontab. Jobs without CRON_TZ run in the
    time zone of this machine.
    """
    read = crontab.read(file.read(), tz=_local_zone(), system=_is_system(file.name))
    unused = crontab.unused(read.jobs, mapped)
    if unused:
        raise click.BadParameter(f"no job has the command of {unused[0]!r}")
    made, refused = crontab.entries_of(read.jobs, mapped)
    _report(read, refused)
    if output is not None:
        _write(output, made)
    else:
        _apply(ctx, made, dry_run=dry_run)
    if refused:
        ctx.exit(1)


@imports.command("qstash")
@click.option("--from-url", required=True, help="URL of the API of the account.")
@click.option(
    "--from-token",
    required=True,
    envvar="HOSTED_QSTASH_TOKEN",
    show_envvar=True,
    help="Its token.",
)
@DRY_RUN
@click.pass_context
def import_qstash(
    ctx: click.Context, *, from_url: str, from_token: str, dry_run: bool
) -> None:
    """Copy URL groups, queues and schedules of another QStash account.

    Schedules with redacted values are skipped: the API does not show these values. The
    next 20 runs of the others are compared with those that croniter expects.
    """
    account = dict(zip(qstash.VARIABLES, (from_url, from_token), strict=True))
    variables = variables_of(ctx)
    require(variables, qstash.VARIABLES)
    try:
        source, target = map(qstash_account.connect, (account, variables))
        copies = list(qstash_account.copies(source, target))
        listed = qstash.Qstash(account).all()
        next_ms = qstash_account.next_runs(source)
    except ApiError as err:
        raise click.ClickException(str(err)) from err
    failed = [copy for copy in copies if not _copy(copy, target, dry_run=dry_run)]
    redacted = [each for each in listed if "redact" in each.fields]
    for each in redacted:
        click.echo(f"{each.key}\n  skipped: it has redacted values", err=True)
    made = [_entry(each) for each in listed if each not in redacted]
    _compare_all(made, next_ms)
    _apply(ctx, made, dry_run=dry_run)
    if failed or redacted:
        ctx.exit(1)


def _copy(copy: Copy, target: Connection, *, dry_run: bool) -> bool:
    """Copy a URL group or a queue; return False if the API refuses it."""
    click.echo(f"+ copy {copy.kind} {printable(copy.name)}")
    try:
        for method, path, body in copy.requests:
            if not dry_run:
                target.send(method, path, json=body)
    except ApiError as err:
        click.echo(f"  refused: {printable(str(err))}", err=True)
        return False
    return True


def _entry(existing: Existing) -> Entry:
    secrets = (path for path, _ in entries.leaves(existing.fields))
    hidden = frozenset(path for path in secrets if entries.is_secret(path))
    return Entry(existing.key, qstash.NAME, existing.fields, hidden)


def _report(read: Crontab, refused: list[Refused]) -> None:
    for note in read.notes:
        click.echo(note, err=True)
    for each in refused:
        command = printable(each.job.command)
        reason = printable(each.reason)
        click.echo(f"row {each.job.number}: {command}\n  skipped: {reason}", err=True)
    skipped = [each.job for each in refused]
    for job in read.jobs:
        if job not in skipped:
            _compare(f"row {job.number}", crontab.check(job))


def _compare(name: str, cron: Cron) -> bool:
    """Print the next runs if another reader of cron expressions expects others.

    Return whether it does.
    """
    rows = differing_runs(cron, after_ms=_now_ms())
    if not rows:
        return False
    text = printable(f"{name}: {cron.expression} in {cron.tz}")
    click.echo(f"{text}: compare the runs")
    table = plain_table("here", "croniter", "note")
    for row in rows:
        table.add_row(*row)
    print_table(table)
    return True


def _compare_all(made: list[Entry], next_ms: Mapping[str, int]) -> None:
    """Compare the runs of the schedules of an account.

    Args:
        next_ms: when the account runs them next, in epoch ms, by id.
    """
    readable = [(entry.id, cron) for entry in made if (cron := _cron(entry))]
    differing = [entry_id for entry_id, cron in readable if _compare(entry_id, cron)]
    for entry_id, cron in readable:
        at_ms = next_ms.get(entry_id)
        if at_ms is not None and not is_next(cron, at_ms, after_ms=_now_ms()):
            text = f"{entry_id}: the account runs it next at {to_iso(at_ms)}"
            click.echo(f"{printable(text)}, which is not its next run here")
            differing.append(entry_id)
    if readable and not differing:
        count = f"{len(readable)} schedule" + ("" if len(readable) == 1 else "s")
        click.echo(
            f"the next {COMPARED_RUNS} runs of {count} are as croniter reads them"
        )


def _cron(entry: Entry) -> Cron | None:
    """Return the rule of a schedule, or None if the API will refuse it."""
    try:
        return qstash.cron_of(entry.fields)
    except (BadOption, CronError):
        return None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _write(output: TextIO, made: list[Entry]) -> None:
    output.write(entries.write(made))
    for entry in made:
        for path in sorted(entry.secrets):
            name = entries.variable_name(entry.id, path)
            click.echo(f"set {name} to the value of {path} in {entry.id}", err=True)


def _apply(ctx: click.Context, made: list[Entry], *, dry_run: bool) -> None:
    imported = [replace(entry, from_file=False) for entry in made]
    planned = plan_for(imported, variables_of(ctx))
    steps = [step for step in planned if step.action is not Action.REMOVE]
    if not steps:
        click.echo(NOTHING)
    elif dry_run:
        show_steps(steps)
    else:
        run_steps(ctx, steps)


def _is_system(name: str) -> bool:
    path = Path(name).absolute()
    return path in SYSTEM or path.parent in SYSTEM


def _local_zone() -> str:
    """Return the name of this machine's time zone, or UTC if it has no name."""
    _, _, zone = os.path.realpath(LOCAL_TIME).rpartition(ZONES)
    try:
        check_zone(zone)
    except CronError:
        return UTC
    return UTC if zone in ("Etc/UTC", "UCT", "Universal", "Zulu") else zone
