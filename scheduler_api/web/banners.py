"""What an operator should do now, with the command to run."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from scheduler_api.core.errors import ForeignDatabase
from scheduler_api.core.store.memory import RAISE_LIMIT
from scheduler_api.core.store.processes import ROLE_TTL_MS, RUN, Process
from scheduler_api.core.tenants.encryption import WrongSecretKey
from scheduler_api.core.timestamps import duration
from scheduler_api.web import readiness
from scheduler_api.web.readiness import Answer

MISSING = "No {} runs, so nothing is delivered. Start one"
IDLE = (
    "The {} {} on {} runs, but has not worked for {}, so nothing is delivered. Its log"
    " says why; if it hangs, end it, so that another one starts"
)
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
    problems = [*answer.missing, *answer.degraded]
    found = [_banner(problem, answer.processes) for problem in problems]
    return [*found, *_versions(answer.processes)]


def _banner(problem: str, processes: Sequence[Process]) -> Banner:
    if problem in RUN:
        return _missing(problem, [each for each in processes if each.role == problem])
    command = COMMANDS.get(problem, "")
    if problem.startswith(readiness.STORE_AWAY):
        command = PING
    if problem.endswith(CLOCK_STOPS):
        command = "scheduler accept-clock"
    if problem in SETTINGS:
        problem = f"{problem.rstrip('.')}: {SETTINGS[problem]}"
    return Banner(sentence(problem), command)


def _missing(role: str, processes: Sequence[Process]) -> Banner:
    """Return that no process of a role works.

    Args:
        processes: those of the role that have reported lately.
    """
    if not processes:
        return Banner(MISSING.format(role), RUN[role])
    pids = ", ".join(str(each.pid) for each in processes)
    hosts = ", ".join({each.host: "" for each in processes})
    since = duration(ROLE_TTL_MS)
    command = f"kill -9 {pids.replace(',', '')}"
    return Banner(IDLE.format(role, pids, hosts, since), command)


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
