"""Plans which fire times of a rule to store, and finds missed fire times. Pure."""

import hashlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, takewhile
from scheduler_api.core.cron.expression import Cron, Every, upcoming
from scheduler_api.core.model import MissedRuns, ScheduleOptions

DEFAULT_OPTIONS = ScheduleOptions()
PLANNED_MS = 600_000
MIN_TIMES, MAX_TIMES = 5, 600
MAX_COUNTED = 10_000
# How many missed fire times are listed individually.
MAX_REPORTED = 100
LOOKBACKS_MS = tuple(s * 1000 for s in (60, 3_600, 86_400, 32 * 86_400, 366 * 86_400))


def first_after_ms(options: ScheduleOptions, now_ms: int) -> int:
    """The instant after which a schedule may fire: now, or 1 ms before its start."""
    return now_ms if options.start_ms is None else max(now_ms, options.start_ms - 1)


@dataclass(frozen=True)
class Ahead:
    """Fire times to store, and the fire time that follows them, if there is one."""

    times_ms: tuple[int, ...]
    following_ms: int | None = None


@dataclass(frozen=True)
class Plan:
    """Fire times to store, and missed fire times that will not be made up for.

    `missed` is the number of these missed fire times, and `dropped_ms` are the newest.
    """

    ahead: Ahead
    missed: int = 0
    dropped_ms: tuple[int, ...] = ()

    @property
    def times_ms(self) -> list[int]:
        return list(self.ahead.times_ms)


def plan_ahead(cron: Cron, *, after_ms: int, last_ms: int | None = None) -> Ahead:
    """The fire times of the next ten minutes, but at least 5 and at most 600.

    Args:
        last_ms: the last fire time, from which an interval counts; None: `after_ms`.
    """
    if isinstance(cron.rule, Every):
        since_ms = after_ms if last_ms is None else last_ms
        times = fire_times(cron, last_ms=since_ms, after_ms=after_ms)
        return _to_store(times, after_ms=after_ms)
    return _planned(cron, after_ms // 1000)


@lru_cache(maxsize=1024)
def _planned(cron: Cron, after_s: int) -> Ahead:
    """Plan ahead for a cron rule, whose fire times are full seconds.

    Cached, because schedules with the same rule need new fire times in the same second.
    """
    after_ms = after_s * 1000
    return _to_store(upcoming(cron, after_ms=after_ms), after_ms=after_ms)


def _to_store(times_ms: Iterator[int], *, after_ms: int) -> Ahead:
    stored: list[int] = []
    for at_ms in islice(times_ms, MAX_TIMES + 1):
        enough = len(stored) >= MIN_TIMES and at_ms > after_ms + PLANNED_MS
        if enough or len(stored) == MAX_TIMES:
            return Ahead(tuple(stored), at_ms)
        stored.append(at_ms)
    return Ahead(tuple(stored))


def encode_times(ahead: Ahead, options: ScheduleOptions, *, seed: str) -> list[str]:
    """Fire times in stored form: `<fire time>`, or `<due time>:<fire time>`, in ms.

    The due time is the fire time plus its jitter, which is derived from `seed`.
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
    """The jitter of a fire time.

    The jitter is limited so that the event is due before the next fire time, and not
    after `end_ms`.
    """
    max_ms = options.jitter_ms
    if next_ms is not None:
        max_ms = min(max_ms, next_ms - at_ms - 1)
    if options.end_ms is not None and options.end_ms >= at_ms:
        max_ms = min(max_ms, options.end_ms - at_ms)
    digest = hashlib.sha256(f"{seed}:{at_ms}".encode()).digest()
    return int.from_bytes(digest[:8]) % (max_ms + 1)


def newest_past(cron: Cron, *, last_ms: int, now_ms: int, count: int = 1) -> list[int]:
    """The newest `count` fire times in (last, now], oldest first.

    The search covers the last minute first and then longer spans, because listing all
    fire times of a long span takes long.
    """
    newest: deque[int] = deque(maxlen=count)
    for back_ms in (*LOOKBACKS_MS, now_ms - last_ms):
        after_ms = max(last_ms, now_ms - back_ms)
        newest.clear()
        newest.extend(_until(cron, last_ms=last_ms, after_ms=after_ms, now_ms=now_ms))
        if len(newest) == count or after_ms == last_ms:
            break
    return list(newest)


def _until(cron: Cron, *, last_ms: int, after_ms: int, now_ms: int) -> Iterator[int]:
    times = fire_times(cron, last_ms=last_ms, after_ms=after_ms)
    return takewhile(lambda at: at <= now_ms, times)


def fire_times(cron: Cron, *, last_ms: int, after_ms: int) -> Iterator[int]:
    """Yield the fire times after `after_ms`; an interval is counted from `last_ms`."""
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
    options: ScheduleOptions = DEFAULT_OPTIONS,
) -> Plan:
    """Plan the fire times of a schedule after `last_ms`.

    Fire times older than the grace period are missed. The plan includes the newest
    missed fire times, as many as the policy may make up for. When a worker claims the
    schedule, the store decides which of these fire times run.

    Args:
        last_ms: the newest fire time that fired or was missed.
    """
    after_ms = first_after_ms(options, now_ms)
    ahead = plan_ahead(cron, after_ms=after_ms, last_ms=last_ms)
    since = plan_ahead(cron, after_ms=last_ms, last_ms=last_ms).times_ms
    if not since or since[0] > now_ms:
        return Plan(ahead)
    missed_until_ms = max(last_ms, now_ms - grace_ms - 1)
    late = list(_until(cron, last_ms=last_ms, after_ms=missed_until_ms, now_ms=now_ms))
    older = _until(cron, last_ms=last_ms, after_ms=last_ms, now_ms=missed_until_ms)
    missed = sum(1 for _ in islice(older, MAX_COUNTED))
    if not missed:
        return Plan(_prepend(late, ahead))
    count = _count_to_keep(options, late)
    kept = newest_past(cron, last_ms=last_ms, now_ms=missed_until_ms, count=count)
    before_ms = kept[0] - 1 if kept else missed_until_ms
    dropped = newest_past(cron, last_ms=last_ms, now_ms=before_ms, count=MAX_REPORTED)
    missed = max(0, missed - len(kept))
    return Plan(_prepend(kept + late, ahead), missed, tuple(dropped))


def _prepend(past: list[int], ahead: Ahead) -> Ahead:
    return Ahead((*past, *ahead.times_ms), ahead.following_ms)


def _count_to_keep(options: ScheduleOptions, late: list[int]) -> int:
    """How many missed fire times the policy may make up for.

    Args:
        late: past fire times that are within the grace period.
    """
    # With jitter, the newest missed fire time may be due within the grace period.
    minimum = 1 if options.jitter_ms else 0
    if options.missed_runs is MissedRuns.ALL:
        return max(options.max_missed, minimum)
    return 1 if options.missed_runs is MissedRuns.LATEST and not late else minimum
