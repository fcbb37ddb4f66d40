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
    """Return the instant after which a schedule may fire.

    This is the present time, or 1 ms before the start of the schedule if that is later.
    """
    return now_ms if options.start_ms is None else max(now_ms, options.start_ms - 1)


@dataclass(frozen=True)
class Ahead:
    """Fire times to store, and the next fire time after these, or None."""

    times_ms: tuple[int, ...]
    following_ms: int | None = None


@dataclass(frozen=True)
class Plan:
    """The fire times to store, and the missed fire times to give up.

    Attributes:
        ahead: the fire times to store.
        missed: how many missed fire times are given up.
        dropped_ms: the newest missed fire times that are given up, at most 100.
    """

    ahead: Ahead
    missed: int = 0
    dropped_ms: tuple[int, ...] = ()

    @property
    def times_ms(self) -> list[int]:
        return list(self.ahead.times_ms)


def plan_ahead(cron: Cron, *, after_ms: int, last_ms: int | None = None) -> Ahead:
    """Return the fire times of the next ten minutes, at most 600.

    If the next ten minutes have fewer than 5 fire times, return the next 5 fire times.

    Args:
        last_ms: the last fire time, from which an interval is counted. If None, an
            interval is counted from `after_ms`.
    """
    if isinstance(cron.rule, Every):
        since_ms = after_ms if last_ms is None else last_ms
        times = fire_times(cron, last_ms=since_ms, after_ms=after_ms)
        return _to_store(times, after_ms=after_ms)
    return _planned(cron, after_ms // 1000)


@lru_cache(maxsize=1024)
def _planned(cron: Cron, after_s: int) -> Ahead:
    """Return the fire times to store for a cron rule.

    The result is cached, because many schedules with the same rule are planned in the
    same second. The fire times of a cron rule are full seconds, so `after_s` suffices.
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
    """Encode each fire time as the store keeps it.

    Without jitter, the form is `<fire time ms>`. With jitter, the form is
    `<due time ms>:<fire time ms>`. The due time is the fire time plus a jitter. The
    jitter is derived from `seed`.
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
    """Return the newest `count` fire times in (last, now], in ascending order.

    The search begins with the last minute. If the last minute has too few fire times,
    longer spans are searched. The search of a long span is slow, but seldom needed.
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
    return upcoming(cron, after_ms=counted_from_ms(cron, last_ms, after_ms))


def counted_from_ms(cron: Cron, last_ms: int, after_ms: int) -> int:
    """Return `after_ms`; for an interval, the last of its times up to `after_ms`."""
    if not isinstance(cron.rule, Every):
        return after_ms
    step_ms = cron.rule.seconds * 1000
    start_ms = -(-last_ms // 1000) * 1000
    return start_ms + max(0, after_ms - start_ms) // step_ms * step_ms


def plan(
    cron: Cron,
    *,
    last_ms: int,
    now_ms: int,
    grace_ms: int,
    options: ScheduleOptions = DEFAULT_OPTIONS,
) -> Plan:
    """Plan the fire times of a schedule after `last_ms`.

    A fire time that is older than the grace period is missed. The options of the
    schedule may allow the newest missed fire times to run late. The plan includes these
    fire times. A later claim decides which of them run.

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
    """Return how many of the newest missed fire times may still run.

    Args:
        late: past fire times within the grace period; these are not missed.
    """
    # Jitter makes an event due later than its fire time. So the event of the newest
    # missed fire time may be due within the grace period.
    minimum = 1 if options.jitter_ms else 0
    if options.missed_runs is MissedRuns.ALL:
        return max(options.max_missed, minimum)
    return 1 if options.missed_runs is MissedRuns.LATEST and not late else minimum
