"""What a cron expression would do: its next runs, and what clock changes do to them.

Pure. It tells what the engine will do, as both walk the same times.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from scheduler_api.core.cron.clock_changes import CLOCK_CHANGE, Jump, jump_at
from scheduler_api.core.cron.expression import Cron, CronError, Every, upcoming, walk
from zoneinfo import ZoneInfo

MOST, USUAL = 100, 5
# Up to here, whatever fires at all does so `MOST` times before the calendar ends.
FIRST_YEAR, LAST_YEAR = 1970, 2999
MOST_NAMED = 3


@dataclass(frozen=True)
class Run:
    """A fire time, and what the clock of its zone shows then.

    `note` says what a clock change has to do with it.
    """

    at_ms: int
    local: datetime
    note: str = ""


@dataclass(frozen=True)
class Skipped:
    """A local time at which the expression would have run, and why it does not."""

    local: datetime
    why: str


@dataclass(frozen=True)
class Preview:
    """The next runs, and what is skipped before the last of them, up to `MOST`."""

    runs: tuple[Run, ...]
    skipped: tuple[Skipped, ...] = ()


def preview(cron: Cron, *, after_ms: int, count: int) -> Preview:
    """The first runs after an instant, which a distance is counted from.

    Raises: CronError, if clock changes skip all that the expression wants.
    """
    zone = ZoneInfo(cron.tz)
    if isinstance(cron.rule, Every):
        times = islice(upcoming(cron, after_ms=after_ms), count)
        return Preview(tuple(Run(at, _shown(at // 1000, zone)) for at in times))
    after_s = after_ms // 1000
    met: dict[int, list[datetime]] = {}
    skipped: list[tuple[Jump, datetime]] = []
    for at_s, local in walk(cron, after_ms=after_ms):
        if at_s is None:
            jump = jump_at(local, zone) if len(skipped) < MOST else None
            if jump is not None and jump.at_s > after_s:
                skipped.append((jump, local))
        elif at_s > after_s:
            if len(met) == count and at_s not in met:
                break
            met.setdefault(at_s, []).append(local)
    if not met:
        raise CronError("it never fires: clock changes skip all of its times", None)
    last_s = max(met)
    return Preview(
        tuple(_run(at_s, wanted, zone) for at_s, wanted in met.items()),
        tuple(
            Skipped(local, f"{CLOCK_CHANGE}: {_words(jump)}")
            for jump, local in skipped
            if jump.at_s <= last_s
        ),
    )


def _run(at_s: int, wanted: Sequence[datetime], zone: ZoneInfo) -> Run:
    local = _shown(at_s, zone)
    moved = sorted(each for each in wanted if each != local)
    notes = []
    jump = jump_at(moved[0], zone) if moved else None
    if jump is not None:
        notes.append(f"moved here from {_listed(moved)}: {_words(jump)}")
    if local in wanted:
        notes.append(_pass(at_s, local, zone))
    return Run(at_s * 1000, local, "; ".join(filter(None, notes)))


def _pass(at_s: int, local: datetime, zone: ZoneInfo) -> str:
    """Which of two passes an instant is of, '' if its local time comes once."""
    jump = jump_at(local, zone)
    if jump is None:
        return ""
    which = "first" if at_s < jump.at_s else "second"
    return f"the {which} of two {_clock(local)}: {_words(jump)}"


def _words(jump: Jump) -> str:
    way = "forward" if jump.after > jump.before else "back"
    before, after = _clock(jump.before), _clock(jump.after)
    if jump.before.time() == jump.after.time():
        before, after = str(jump.before.date()), str(jump.after.date())
    return f"clocks go {way} from {before} to {after}"


def _listed(locals_: Sequence[datetime]) -> str:
    if len(locals_) > MOST_NAMED:
        first, last = _clock(locals_[0]), _clock(locals_[-1])
        return f"{len(locals_)} times between {first} and {last}"
    return " and ".join(map(_clock, locals_))


def _clock(moment: datetime) -> str:
    return f"{moment:%H:%M:%S}" if moment.second else f"{moment:%H:%M}"


def _shown(at_s: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(at_s, zone).replace(tzinfo=None)
