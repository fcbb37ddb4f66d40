"""Which fire times of a rule are stored, and which were missed. Pure."""

import hashlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, takewhile
from scheduler_api.core.cron.expression import Cron, Every, upcoming
from scheduler_api.core.model import MissedRuns, ScheduleOptions

PLAIN = ScheduleOptions()
COVERED_MS = 600_000
FEWEST, MOST = 5, 600
MOST_COUNTED = 10_000
# How many of the missed are told one by one.
MOST_TOLD = 100
LOOK_BACK_MS = tuple(s * 1000 for s in (60, 3_600, 86_400, 32 * 86_400, 366 * 86_400))


def first_after_ms(options: ScheduleOptions, now_ms: int) -> int:
    """The instant after which a schedule may fire: now, or just before its start."""
    return now_ms if options.start_ms is None else max(now_ms, options.start_ms - 1)


@dataclass(frozen=True)
class Ahead:
    """Fire times to store, and the one that follows the last of them, if any."""

    times_ms: tuple[int, ...]
    following_ms: int | None = None


@dataclass(frozen=True)
class Plan:
    """Fire times to store, and the missed ones that they pass over.

    `dropped_ms` are the newest of the missed.
    """

    ahead: Ahead
    missed: int = 0
    dropped_ms: tuple[int, ...] = ()

    @property
    def times_ms(self) -> list[int]:
        return list(self.ahead.times_ms)


def plan_ahead(cron: Cron, *, after_ms: int, last_ms: int | None = None) -> Ahead:
    """The next fire times: those of ten minutes, at least 5, at most 600.

    Args:
        last_ms: the last fire time, which a distance is counted from; else `after_ms`.
    """
    if isinstance(cron.rule, Every):
        since_ms = after_ms if last_ms is None else last_ms
        times = fire_times(cron, last_ms=since_ms, after_ms=after_ms)
        return _to_store(times, after_ms=after_ms)
    return _planned(cron, after_ms // 1000)


@lru_cache(maxsize=1024)
def _planned(cron: Cron, after_s: int) -> Ahead:
    """As `plan_ahead`; no rule tells apart the instants of a second.

    Schedules of one rule run short of fire times together: that is worked out once.
    """
    after_ms = after_s * 1000
    return _to_store(upcoming(cron, after_ms=after_ms), after_ms=after_ms)


def _to_store(times_ms: Iterator[int], *, after_ms: int) -> Ahead:
    stored: list[int] = []
    for at_ms in islice(times_ms, MOST + 1):
        enough = len(stored) >= FEWEST and at_ms > after_ms + COVERED_MS
        if enough or len(stored) == MOST:
            return Ahead(tuple(stored), at_ms)
        stored.append(at_ms)
    return Ahead(tuple(stored))


def spread(ahead: Ahead, options: ScheduleOptions, *, seed: str) -> list[str]:
    """Fire times as they are stored, each with the jitter that `seed` gives it.

    With jitter `<when wanted>:<fire time>`, in ms.
    """
    if not options.jitter_ms:
        return [str(at_ms) for at_ms in ahead.times_ms]
    following = (*ahead.times_ms[1:], ahead.following_ms)
    return [
        f"{at_ms + _jitter_ms(at_ms, next_ms, options, seed)}:{at_ms}"
        for at_ms, next_ms in zip(ahead.times_ms, following, strict=True)
    ]


def _jitter_ms(
    at_ms: int, next_ms: int | None, options: ScheduleOptions, seed: str
) -> int:
    """Less than the distance to the next fire time, and not past the end."""
    most_ms = options.jitter_ms
    if next_ms is not None:
        most_ms = min(most_ms, next_ms - at_ms - 1)
    if options.end_ms is not None and options.end_ms >= at_ms:
        most_ms = min(most_ms, options.end_ms - at_ms)
    digest = hashlib.sha256(f"{seed}:{at_ms}".encode()).digest()
    return int.from_bytes(digest[:8]) % (most_ms + 1)


def newest_past(cron: Cron, *, last_ms: int, now_ms: int, most: int = 1) -> list[int]:
    """The newest fire times in (last, now], found without walking all of a long gap."""
    newest: deque[int] = deque(maxlen=most)
    for back_ms in (*LOOK_BACK_MS, now_ms - last_ms):
        after_ms = max(last_ms, now_ms - back_ms)
        newest.clear()
        newest.extend(_until(cron, last_ms=last_ms, after_ms=after_ms, now_ms=now_ms))
        if len(newest) == most or after_ms == last_ms:
            break
    return list(newest)


def _until(cron: Cron, *, last_ms: int, after_ms: int, now_ms: int) -> Iterator[int]:
    times = fire_times(cron, last_ms=last_ms, after_ms=after_ms)
    return takewhile(lambda at: at <= now_ms, times)


def fire_times(cron: Cron, *, last_ms: int, after_ms: int) -> Iterator[int]:
    """The fire times after an instant; a distance keeps the rhythm of its last one."""
    if isinstance(cron.rule, Every):
        step_ms = cron.rule.seconds * 1000
        start_ms = -(-last_ms // 1000) * 1000
        after_ms = start_ms + max(0, after_ms - start_ms) // step_ms * step_ms
    return upcoming(cron, after_ms=after_ms)


def plan(
    cron: Cron,
    *,
    last_ms: int,
    now_ms: int,
    grace_ms: int,
    options: ScheduleOptions = PLAIN,
) -> Plan:
    """What a schedule that ran dry has ahead of it, and what it has missed.

    Of the fire times older than the grace as many of the newest are kept as its policy
    may still want; the claim decides what of that is sent.
    """
    after_ms = first_after_ms(options, now_ms)
    ahead = plan_ahead(cron, after_ms=after_ms, last_ms=last_ms)
    since = plan_ahead(cron, after_ms=last_ms, last_ms=last_ms).times_ms
    if not since or since[0] > now_ms:
        return Plan(ahead)
    young_ms = max(last_ms, now_ms - grace_ms - 1)
    past = list(_until(cron, last_ms=last_ms, after_ms=young_ms, now_ms=now_ms))
    older = _until(cron, last_ms=last_ms, after_ms=last_ms, now_ms=young_ms)
    missed = sum(1 for _ in islice(older, MOST_COUNTED))
    if not missed:
        return Plan(_before(ahead, past))
    most = _wanted_of_missed(options, past)
    kept = newest_past(cron, last_ms=last_ms, now_ms=young_ms, most=most)
    before_ms = kept[0] - 1 if kept else young_ms
    dropped = newest_past(cron, last_ms=last_ms, now_ms=before_ms, most=MOST_TOLD)
    missed = max(0, missed - len(kept))
    return Plan(_before(ahead, kept + past), missed, tuple(dropped))


def _before(ahead: Ahead, past: list[int]) -> Ahead:
    return Ahead((*past, *ahead.times_ms), ahead.following_ms)


def _wanted_of_missed(options: ScheduleOptions, past: list[int]) -> int:
    # With jitter the newest may be wanted so late that it is young yet.
    least = 1 if options.jitter_ms else 0
    if options.missed_runs is MissedRuns.ALL:
        return max(options.max_missed, least)
    return 1 if options.missed_runs is MissedRuns.LATEST and not past else least
