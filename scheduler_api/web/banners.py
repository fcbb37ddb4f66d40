"""What an operator should do now, with the command to run."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from scheduler_api.core.errors import ForeignDatabase
from scheduler_api.core.store.memory import RAISE_LIMIT
from scheduler_api.core.store.processes import RUN, Process
from scheduler_api.core.tenants.encryption import WrongSecretKey
from scheduler_api.web import readiness
from scheduler_api.web.readiness import Answer

MISSING = "No {} runs, so nothing is delivered. Start one"
PING = 'redis-cli -u "$REDIS_URL" ping'
# The commands for other problems.
COMMANDS: Mapping[str, str] = {
    readiness.STORE_FULL: RAISE_LIMIT,
    readiness.STORE_AT_LIMIT: RAISE_LIMIT,
    readiness.NO_FUNCTIONS: RAISE_LIMIT,
    readiness.NOBODY_WATCHES: RUN["clock"],
    readiness.STORE_CHANGED: "scheduler accept-store",
    readiness.STORE_OLDER: "scheduler accept-store",
    readiness.SETTINGS_DIFFER: "scheduler doctor",
    readiness.STORE_EVICTING: (
        'redis-cli -u "$REDIS_URL" config set maxmemory-policy noeviction'
    ),
}
# The settings that help with other problems.
SETTINGS: Mapping[str, str] = {
    str(WrongSecretKey.__doc__): (
        "set SECRET_KEY to that of the running processes, or the key that encrypted"
        " them in SCHED_OLDER_SECRET_KEYS"
    ),
    str(ForeignDatabase.__doc__): (
        "set REDIS_URL and SCHED_CELL to those of the running processes"
    ),
}
CLOCK_STOPS = readiness.CLOCK_STOPS.partition("{}")[2]
VERSIONS = "Processes on {} still have version {}, others have {}. Restart them"


@dataclass(frozen=True)
class Banner:
    """A problem, and the command that helps, or ''."""

    text: str
    command: str = ""


def banners(answer: Answer) -> list[Banner]:
    """Return what `/readyz` finds wrong, and whether two versions run."""
    problems = [*map(_banner, answer.missing), *map(_banner, answer.degraded)]
    return [*problems, *_versions(answer.processes)]


def _banner(problem: str) -> Banner:
    if problem in RUN:
        return Banner(MISSING.format(problem), RUN[problem])
    command = COMMANDS.get(problem, "")
    if problem.startswith(readiness.STORE_AWAY):
        command = PING
    if problem.endswith(CLOCK_STOPS):
        command = "scheduler accept-clock"
    if problem in SETTINGS:
        problem = f"{problem.rstrip('.')}: {SETTINGS[problem]}"
    return Banner(sentence(problem), command)


def sentence(problem: str) -> str:
    """Return a problem with a capital letter."""
    return f"{problem[:1].upper()}{problem[1:]}"


def _versions(processes: Sequence[Process]) -> Iterator[Banner]:
    """Yield the processes that do not have the version that was started last."""
    if not processes:
        return
    newest = max(processes, key=lambda each: each.since_ms).version
    older = defaultdict[tuple[str, str], list[int]](list)
    for each in processes:
        if each.version != newest:
            older[each.host, each.version].append(each.pid)
    for (host, version), pids in older.items():
        command = f"kill {' '.join(map(str, pids))}"
        yield Banner(VERSIONS.format(host, version, newest), command)
