"""Reads a crontab as schedules of QStash. Pure.

Source: crontab(5) of Debian's cron and of cronie.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from scheduler_api.core.cron.expression import Cron, CronError, parse
from scheduler_api.dialects import outbound
from scheduler_api.schedule_files.command_words import NotAWebhook
from scheduler_api.schedule_files.entries import Entry, Fields, is_secret, leaves
from scheduler_api.schedule_files.http_commands import PROGRAMS, read_command
from scheduler_api.schedule_files.wrappers import WRAPPERS, locks_of
from urllib.parse import urlsplit

QSTASH = "qstash"
# After these, a word before is a user.
STARTS = (*PROGRAMS, *WRAPPERS)

_VARIABLE = re.compile(r"""([A-Za-z_]\w*)\s*=\s*(["']?)(.*?)\2\s*""")
_USER = re.compile(r"[a-z_][a-z0-9_-]*\$?")
_PERCENT = re.compile(r"(?<!\\)%")
_REFERENCE = re.compile(r"""(?<!\\)\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})""")
_QUOTED = re.compile(r"""'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^'"\\]+|.""")


@dataclass(frozen=True)
class Job:
    """A job of a crontab."""

    number: int  # of its row in the file, from 1
    expression: str
    command: str
    stdin: str
    tz: str


@dataclass(frozen=True)
class Refused:
    """A job that is not imported, and the reason."""

    job: Job
    reason: str


@dataclass(frozen=True)
class Crontab:
    """What a crontab has."""

    jobs: tuple[Job, ...]
    notes: tuple[str, ...]


def read(text: str, *, tz: str, system: bool) -> Crontab:
    """Return the jobs of a crontab, and what is different here.

    Args:
        tz: the zone of jobs without `CRON_TZ`.
        system: whether each job has a column with a user.
    """
    jobs, notes, variables = list[Job](), list[str](), dict[str, str]()
    for number, row in enumerate(text.splitlines(), 1):
        stripped = row.strip()
        if not stripped or stripped.startswith("#"):
            continue
        variable = _VARIABLE.fullmatch(stripped)
        if variable is not None:
            variables[variable[1]] = variable[3]
            notes += _note(number, variable[1], variable[3])
            continue
        zone = variables.get("CRON_TZ") or tz
        job = _job(number, stripped, tz=zone, system=system)
        jobs.append(replace(job, command=_filled(job.command, variables)))
    return Crontab(tuple(jobs), tuple(notes))


def entries_of(
    jobs: Sequence[Job], mapped: Iterable[str]
) -> tuple[list[Entry], list[Refused]]:
    """Return the schedules of jobs, and the jobs that cannot be schedules.

    Args:
        mapped: texts `COMMAND=URL`, for commands that are no webhooks.
    """
    made, refused = list[Entry](), list[Refused]()
    ids = set[str]()
    for job in jobs:
        try:
            check(job)
            fields = _mapped(job, mapped) or _read(job, jobs)
        except (NotAWebhook, CronError) as err:
            refused.append(Refused(job, str(err)))
            continue
        made.append(_entry(job, fields, ids))
    return made, refused


def _read(job: Job, jobs: Iterable[Job]) -> Fields:
    """Raises: NotAWebhook."""
    fields = read_command(job.command, stdin=job.stdin)
    for lock in locks_of(job.command):
        for other in jobs:
            if other is not job and lock in other.command.split():
                raise NotAWebhook(
                    f"row {other.number} has the same lock: a schedule waits for its"
                    " own runs only"
                )
    return fields


def unused(jobs: Iterable[Job], mapped: Iterable[str]) -> list[str]:
    """Return texts `COMMAND=URL` for which there is no job."""
    commands = [f"{job.command}=" for job in jobs]
    return [each for each in mapped if not any(map(each.startswith, commands))]


def check(job: Job) -> Cron:
    """Return the parsed expression of a job.

    Raises: CronError, NotAWebhook.
    """
    if job.expression.lower() == "@reboot":
        raise NotAWebhook("@reboot is no time")
    return parse(job.expression, tz=job.tz, grammar=outbound.GRAMMARS[QSTASH])


def _filled(command: str, variables: Mapping[str, str]) -> str:
    """Return a command with the crontab's variables, except in single quotes."""

    def value(found: re.Match[str]) -> str:
        return variables.get(found[1] or found[2], found[0])

    return "".join(
        part if part.startswith("'") else _REFERENCE.sub(value, part)
        for part in _QUOTED.findall(command)
    )


def _note(number: int, name: str, value: str) -> Iterator[str]:
    if name == "MAILTO" and value:
        yield f"row {number}: no mail is sent: failed runs are dead letters here"
    if name == "TZ":
        yield f"row {number}: TZ is for the commands only: CRON_TZ sets the times"


def _job(number: int, row: str, *, tz: str, system: bool) -> Job:
    count = _expression_words(row)
    *fields, rest = row.split(None, count) if len(row.split()) > count else [row, ""]
    user, command = [*rest.split(None, 1), "", ""][:2]
    program = PurePosixPath((command.split() or [""])[0]).name
    has_user = system or (bool(_USER.fullmatch(user)) and program in STARTS)
    text = command if has_user else rest
    command, *stdin = _PERCENT.split(text)
    return Job(
        number,
        " ".join(fields),
        command.strip().replace(r"\%", "%"),
        "\n".join(stdin).replace(r"\%", "%"),
        tz,
    )


def _expression_words(row: str) -> int:
    """Return how many words of a job are its expression."""
    if not row.startswith("@"):
        return 5
    return 2 if row.lower().startswith("@every ") else 1


def _mapped(job: Job, mapped: Iterable[str]) -> Fields | None:
    for each in mapped:
        if each.startswith(f"{job.command}="):
            return {"destination": each.removeprefix(f"{job.command}=")}
    return None


def _entry(job: Job, fields: Fields, ids: set[str]) -> Entry:
    """Return a schedule; its id is made of the host and the path of the URL."""
    made = {"destination": fields["destination"], "cron": job.expression} | fields
    if job.tz != "UTC":
        made["options"] = {"timeZone": job.tz, **made.get("options", {})}
    url = urlsplit(fields["destination"])
    slug = re.sub(r"[^A-Za-z0-9]+", "-", f"{url.hostname}{url.path}").strip("-")[:100]
    entry_id, number = slug or "job", 2
    while entry_id in ids:
        entry_id, number = f"{slug}-{number}", number + 1
    ids.add(entry_id)
    secrets = frozenset(path for path, _ in leaves(made) if is_secret(path))
    return Entry(entry_id, QSTASH, made, secrets)
