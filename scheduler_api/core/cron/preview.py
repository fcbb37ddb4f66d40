"""Previews a cron expression: its next runs, and how clock changes affect them. Pure.

The preview and the engine calculate fire times with the same function.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from scheduler_api.core.cron.clock_changes import CLOCK_CHANGE, Jump, jump_at
from scheduler_api.core.cron.expression import Cron, CronError, Every, upcoming, walk
from zoneinfo import ZoneInfo

MAX_RUNS, DEFAULT_RUNS = 100, 5
# The first and last year in which a preview may start. The engine computes fire times
# up to the year 9900. LAST_YEAR leaves enough years for `MAX_RUNS` runs of the rarest
# rule.
FIRST_YEAR, LAST_YEAR = 1970, 2999
# A note lists up to this many local times; otherwise it gives their number.
MAX_LISTED = 3


@dataclass(frozen=True)
class Run:
    """A fire time, and the local time in the rule's zone.

    `note` explains the effect of a clock change, if there is one.
    """

    at_ms: int
    local: datetime
    note: str = ""


@dataclass(frozen=True)
class Skipped:
    """A local time at which the rule would fire but does not, and the reason."""

    local: datetime
    reason: str


@dataclass(frozen=True)
class Preview:
    """The next runs, and up to `MAX_RUNS` skipped times before the last run."""

    runs: tuple[Run, ...]
    skipped: tuple[Skipped, ...] = ()


def preview(cron: Cron, *, after_ms: int, count: int) -> Preview:
    """Return the first `count` runs after `after_ms`.

    An interval (`@every`) is counted from `after_ms`.

    Raises: CronError, if clock changes skip all times of the expression.
    """
    zone = ZoneInfo(cron.tz)
    if isinstance(cron.rule, Every):
        times = islice(upcoming(cron, after_ms=after_ms), count)
        return Preview(tuple(Run(at, _local(at // 1000, zone)) for at in times))
    after_s = after_ms // 1000
    found: dict[int, list[datetime]] = {}
    skipped: list[tuple[Jump, datetime]] = []
    for at_s, local in walk(cron, after_ms=after_ms):
        if at_s is None:
            jump = jump_at(local, zone) if len(skipped) < MAX_RUNS else None
            if jump is not None and jump.at_s > after_s:
                skipped.append((jump, local))
        elif at_s > after_s:
            if len(found) == count and at_s not in found:
                break
            found.setdefault(at_s, []).append(local)
    if not found:
        raise CronError(
            "the expression never fires: clock changes skip all of its times", None
        )
    last_s = max(found)
    return Preview(
        tuple(_run(at_s, locals_, zone) for at_s, locals_ in found.items()),
        tuple(
            Skipped(local, f"{CLOCK_CHANGE}: {_describe(jump)}")
            for jump, local in skipped
            if jump.at_s <= last_s
        ),
    )


def _run(at_s: int, locals_: Sequence[datetime], zone: ZoneInfo) -> Run:
    """Return the run at an instant; all local times in `locals_` share this run."""
    local = _local(at_s, zone)
    moved = sorted(time for time in locals_ if time != local)
    notes = []
    jump = jump_at(moved[0], zone) if moved else None
    if jump is not None:
        notes.append(f"moved here from {_listed(moved)}: {_describe(jump)}")
    if local in locals_:
        notes.append(_pass(at_s, local, zone))
    return Run(at_s * 1000, local, "; ".join(filter(None, notes)))


def _pass(at_s: int, local: datetime, zone: ZoneInfo) -> str:
    """Say in which pass of a fold an instant is; '' if the instant is not in a fold."""
    jump = jump_at(local, zone)
    if jump is None:
        return ""
    which = "first" if at_s < jump.at_s else "second"
    return f"the {which} of two {_clock(local)}: {_describe(jump)}"


def _describe(jump: Jump) -> str:
    way = "forward" if jump.after > jump.before else "back"
    before, after = _clock(jump.before), _clock(jump.after)
    if jump.before.time() == jump.after.time():
        before, after = str(jump.before.date()), str(jump.after.date())
    return f"clocks go {way} from {before} to {after}"


def _listed(locals_: Sequence[datetime]) -> str:
    if len(locals_) > MAX_LISTED:
        first, last = _clock(locals_[0]), _clock(locals_[-1])
        return f"{len(locals_)} times between {first} and {last}"
    return " and ".join(map(_clock, locals_))


def _clock(moment: datetime) -> str:
    return f"{moment:%H:%M:%S}" if moment.second else f"{moment:%H:%M}"


def _local(at_s: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(at_s, zone).replace(tzinfo=None)
