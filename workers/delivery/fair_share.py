"""Divides the capacity of one worker among destinations and tenants."""

from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from scheduler_api.core.model import Begun
from scheduler_api.core.store.leases import Report, Share
from typing import NamedTuple
from workers.http_client.failures import TIMEOUTS

# A destination or tenant is wanted while it has deliveries in flight, and for this long
# after its last delivery began.
WANTED_S = 10.0
# A destination is fast if its last response came within this time, not longer ago.
FAST_MS = 1_000
FAST_FOR_S = 60.0
SMALLEST_RESERVE = 5
MAX_LISTED = 200
# How many destinations and how many tenants are remembered.
MAX_REMEMBERED = 10_000


@dataclass(slots=True)
class Use:
    """How a destination uses the worker.

    Attributes:
        answered_s: when its last response came, or an attempt timed out.
        is_fast: whether this took no longer than a second. None: there was no response,
            and no time-out.
        trials: how many of the deliveries in flight are trials.
    """

    origin: str
    tenant: str
    in_flight: int = 0
    trials: int = 0
    begun_s: float = 0.0
    answered_s: float = 0.0
    is_fast: bool | None = None


@dataclass(slots=True)
class _Tenant:
    in_flight: int = 0
    trials: int = 0
    begun_s: float = 0.0


class _Totals(NamedTuple):
    """How much of the worker is in use.

    Attributes:
        classes: the origins with deliveries in flight. True: fast, False: slow, None:
            unknown.
        fast_of: the number of deliveries to fast origins, by tenant.
        trying: the trials of which it is not known yet whether they are slow.
        general: the deliveries that leave no room for others that are not fast.
        all: those that leave no room at all.
    """

    classes: dict[str, bool | None]
    fast_of: dict[str, int]
    trying: int
    general: int
    all: int


class FairShare:
    """Counts a worker's deliveries by destination and tenant, and limits them.

    A destination is an origin of a tenant. It is slow if one of its attempts is open
    for two seconds, or its last one took more than a second or timed out. It is fast if
    its last response took no longer, and came within the last minute. Otherwise it is
    unknown.

    A part of the worker, the reserve, may be used by fast destinations only, and half
    of it by unknown ones. A destination may become slow while it uses the reserve; what
    slow ones use of it does not count, up to half of the capacity. So a worker with
    open attempts that never end still takes events.

    A trial is a delivery to an unknown destination of a tenant that has no room, which
    finds out whether the destination is fast. Trials may use a quarter of the reserve
    at a time; they begin while less than a quarter of the capacity is in flight beyond.

    Args:
        capacity: the maximum number of deliveries that end in time.
        percent: the share of one destination in the part that is not the reserve, while
            others are wanted; 100: all of it.
    """

    def __init__(self, capacity: int, *, percent: int) -> None:
        self._capacity = capacity
        self._reserve = min(max(SMALLEST_RESERVE, capacity // 5), capacity // 2)
        self._general = capacity - self._reserve
        self._maximum = capacity + capacity // 2
        self._limit = 0 if percent >= 100 else max(1, self._general * percent // 100)
        self._in_flight = 0
        self._uses: dict[str, Use] = {}
        # Those with deliveries in flight, and the fast ones in the order of their last
        # responses.
        self._used: dict[str, Use] = {}
        self._fast: OrderedDict[str, Use] = OrderedDict()
        self._tenants: dict[str, _Tenant] = {}

    def add(self, begun: Begun, *, now_s: float) -> Use:
        """Count a delivery that begins; return the use of its destination."""
        origin, name = begun.origin, begun.owner.tenant
        self._in_flight += 1
        use = self._uses.get(origin)
        if use is None:
            use = Use(origin, name)
            if origin:  # otherwise it is the expansion of a group, without a request
                self._uses[origin] = use
            if len(self._uses) > MAX_REMEMBERED:
                _forget_one(self._uses)
        if origin and not use.in_flight:
            self._used[origin] = use
        tenant = self._tenants.get(name)
        if tenant is None:
            tenant = self._tenants[name] = _Tenant()
            if len(self._tenants) > MAX_REMEMBERED:
                _forget_one(self._tenants)
        use.in_flight += 1
        tenant.in_flight += 1
        if begun.is_trial:
            use.trials += 1
            tenant.trials += 1
        use.begun_s = tenant.begun_s = now_s
        return use

    def remove(self, use: Use, *, is_trial: bool = False) -> None:
        """Count a delivery that has ended."""
        self._in_flight -= 1
        use.in_flight -= 1
        if not use.in_flight:
            self._used.pop(use.origin, None)
        tenant = self._tenants[use.tenant]
        tenant.in_flight -= 1
        if is_trial:
            use.trials -= 1
            tenant.trials -= 1

    def note(self, use: Use, report: Report, *, now_s: float) -> None:
        """Note how an attempt has ended."""
        if report.total_ms is None:
            return
        use.answered_s, use.is_fast = now_s, None
        if report.status is not None:
            use.is_fast = report.total_ms - report.waited_ms <= FAST_MS
        elif report.error in TIMEOUTS:
            use.is_fast = False
        if use.is_fast:
            self._fast[use.origin] = use
            self._fast.move_to_end(use.origin)
            if len(self._fast) > MAX_LISTED:
                self._fast.popitem(last=False)
        else:
            self._fast.pop(use.origin, None)

    def is_busy(self, count: int) -> bool:
        """Whether limits apply if `count` events begin."""
        used = self._in_flight
        return used * 2 >= self._capacity or used + count > self._general

    def room(self, open_: Iterable[Begun], *, now_s: float) -> tuple[int, int]:
        """Return how many events may begin now, and if all fast deliveries had ended.

        Args:
            open_: the events that began more than two seconds ago.
        """
        if self._in_flight < self._general:
            return self._capacity - self._in_flight, self._capacity
        totals = self._totals(open_, now_s)
        return self._room(totals), self._capacity - totals.general

    def limits(self, open_: Iterable[Begun], *, now_s: float) -> Share:
        """Return the limits for `WorkerStore.begin`."""
        totals = self._totals(open_, now_s)
        classes = totals.classes
        counts = {origin: self._used[origin].in_flight for origin in classes}
        fast = [origin for origin, is_fast in classes.items() if is_fast]
        for origin, use in self._fast.items():
            if origin in classes or now_s - use.answered_s > FAST_FOR_S:
                continue
            fast.append(origin)
            if now_s - use.begun_s < WANTED_S:
                counts[origin] = 0
        return {
            "limit": self._limit,
            "in_flight": counts,
            "fast": fast,
            "slow": [each for each, is_fast in classes.items() if is_fast is False],
            "tenants": {
                name: tenant.in_flight
                for name, tenant in self._tenants.items()
                if tenant.in_flight or now_s - tenant.begun_s < WANTED_S
            },
            "fast_of": totals.fast_of,
            "trials_of": {
                name: tenant.trials
                for name, tenant in self._tenants.items()
                if tenant.trials
            },
            "trial_room": self._trial_room(totals),
            "size": self._capacity,
            "reserve": self._reserve,
            "room": self._room(totals),
            "general_room": self._general - totals.general,
        }

    def _room(self, totals: _Totals) -> int:
        left = min(self._capacity - totals.all, self._maximum - self._in_flight)
        return max(0, left)

    def _trial_room(self, totals: _Totals) -> int:
        maximum = self._capacity + self._capacity // 4
        at_a_time = max(1, self._reserve // 4)
        return max(0, min(at_a_time - totals.trying, maximum - self._in_flight))

    def _totals(self, open_: Iterable[Begun], now_s: float) -> _Totals:
        is_open = {begun.origin for begun in open_}
        classes: dict[str, bool | None] = {}
        fast_of: Counter[str] = Counter()
        slow = unknown = trying = 0
        for origin, use in self._used.items():
            is_fast = use.is_fast
            if origin in is_open:
                is_fast = False
            elif is_fast and now_s - use.answered_s > FAST_FOR_S:
                is_fast = None
            classes[origin] = is_fast
            if is_fast is False:
                slow += use.in_flight
            elif is_fast is None:
                unknown += use.in_flight - use.trials
                trying += use.trials
            else:
                fast_of[use.tenant] += use.in_flight
        general = min(slow, self._general) + unknown
        rest = self._in_flight - slow - unknown
        return _Totals(classes, fast_of, trying, general, general + rest)


def _forget_one(uses: dict[str, Use] | dict[str, _Tenant]) -> None:
    """Forget the first that has nothing in flight."""
    for name, use in uses.items():
        if not use.in_flight:
            del uses[name]
            return
