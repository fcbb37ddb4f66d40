"""What became of attempts: counted by workers, kept for a day, read by people.

Workers count in memory and add what they have counted once a second. The store has the
counts of each tenant, and those of all tenants together, by hour. Attempts that a
worker did not finish, because it died, are not counted.

The totals of the whole life of the cell are for programs. Tickers add to them too, and
functions that create events count these themselves.
"""

import orjson
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from scheduler_api.core.batches import batches
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.functions import Arg, AsyncClient
from scheduler_api.core.store.owned_keys import OPERATOR, holder_of
from typing import Any, cast

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
# The counts of a whole day can be read at any time.
TTL_MS = DAY_MS + 2 * HOUR_MS
# How many destinations of a holder are counted separately in an hour.
MAX_DESTINATIONS = 1_000
# The name of all destinations beyond these.
OTHERS = ""
# Calls with more parts, or with parts of more destinations, would block the store for
# longer than 2 ms.
PARTS_AT_ONCE, DESTINATIONS_AT_ONCE = 5, 50
NOTHING: Mapping[str, object] = {}
# Whose counts, and some of them.
Part = tuple[str, bytes]
# Upper bounds of the buckets of lateness and of the duration of attempts. The last
# bucket has no bound.
LATE_BOUNDS_MS = (
    *(5, 10, 25, 50, 100, 250, 500),
    *(1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000),
)
# Lateness is kept by parts of this length.
PART_MS = 5 * MINUTE_MS


@dataclass(slots=True)
class DestinationCounts:
    """What became of the attempts at a destination.

    Attributes:
        is_failing: whether the last attempt failed.
        failed_ms: when an attempt failed last; 0 if none did, or in counts to add.
        cause: the code of the last failure (`causes`), or ''.
    """

    delivered: int = 0
    failed: int = 0
    is_failing: bool = False
    failed_ms: int = 0
    cause: str = ""

    def add(self, later: "DestinationCounts") -> None:
        """Add counts of later attempts."""
        self.delivered += later.delivered
        self.failed += later.failed
        self.is_failing = later.is_failing
        if later.failed:
            self.failed_ms, self.cause = later.failed_ms, later.cause


@dataclass(slots=True)
class Counts:
    """What became of attempts in a second or an hour.

    Attributes:
        causes: failures by code.
        late: first attempts by bucket (`bucket_of`).
        late_ms: the sum of their lateness.
        durations: attempts by bucket of their duration. Only totals have them.
        duration_ms: the sum of their durations; likewise.
        destinations: by origin, such as `https://shop.example`. Not read by `read`.
    """

    delivered: int = 0
    failed: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    late: Counter[int] = field(default_factory=Counter)
    late_ms: int = 0
    durations: Counter[int] = field(default_factory=Counter)
    duration_ms: int = 0
    destinations: dict[str, DestinationCounts] = field(default_factory=dict)

    def add(self, later: "Counts") -> None:
        """Add counts of later attempts."""
        self.delivered += later.delivered
        self.failed += later.failed
        self.causes += later.causes
        self.late += later.late
        self.late_ms += later.late_ms
        self.durations += later.durations
        self.duration_ms += later.duration_ms
        for name, counts in later.destinations.items():
            self.add_destination(name, counts)

    def add_destination(self, name: str, counts: DestinationCounts) -> None:
        """Add counts of a destination; beyond `MAX_DESTINATIONS`, to `OTHERS`."""
        stored = self.destinations
        named = len(stored) - (OTHERS in stored)
        if name not in stored and named >= MAX_DESTINATIONS:
            name = OTHERS
        stored.setdefault(name, DestinationCounts()).add(counts)


@dataclass(slots=True)
class Hour:
    """The counts of one hour.

    Attributes:
        starts_ms: when the hour began.
        delivered, failed: numbers of attempts, by the minute of the hour.
        late: first attempts by bucket, for each part of the hour (`PART_MS`).
    """

    starts_ms: int
    delivered: Counter[int] = field(default_factory=Counter)
    failed: Counter[int] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    late: dict[int, Counter[int]] = field(default_factory=dict)
    late_ms: int = 0


@dataclass(slots=True)
class Totals:
    """What has happened since the cell was first used.

    Attributes:
        delivered, causes, late, late_ms, durations, duration_ms: as in `Counts`.
        created: events that were stored.
        claimed: offers of events by claims.
        lost_leases: attempts whose lease ended before their worker settled them.
    """

    delivered: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    late: Counter[int] = field(default_factory=Counter)
    late_ms: int = 0
    durations: Counter[int] = field(default_factory=Counter)
    duration_ms: int = 0
    created: int = 0
    claimed: int = 0
    lost_leases: int = 0


def bucket_of(ms: float) -> int:
    """Return the bucket of a lateness or duration."""
    return bisect_left(LATE_BOUNDS_MS, ms)


def parts_of(counts: Mapping[str, Counts]) -> Iterator[Part]:
    """Yield the counts of tenants, and of all together, in parts for `add_parts`."""
    everything = Counts()
    for each in counts.values():
        everything.add(each)
    for part in _encode(everything, {"totals": _totals_of(everything)}):
        yield OPERATOR, part
    for holder, each in counts.items():
        for part in _encode(each):
            yield holder, part


async def add_parts(cell: Cell, client: AsyncClient, parts: Sequence[Part]) -> int:
    """Add parts of counts to the present hour; return the time of the store in ms.

    If the client repeats the call because its reply was lost, it may count twice. A
    full store still counts. Redis: add_counts.

    Args:
        parts: at most `PARTS_AT_ONCE`.
    """
    options = {
        "ttl_ms": TTL_MS,
        "max_destinations": MAX_DESTINATIONS,
    }
    args: list[Arg] = [word for part in parts for word in part]
    reply = await cell.library.call_async(
        client, "add_counts", cell.with_clock(options), args
    )
    return cast(int, reply)


def add_totals(cell: Cell, *, claimed: int, lost_leases: int) -> None:
    """Add to the totals what tickers count, as in `Totals`.

    If the client repeats the call because its reply was lost, it may count twice. A
    full store still counts. Redis: add_counts.
    """
    totals = {"claimed": claimed, "lost_leases": lost_leases}
    part = orjson.dumps({"totals": totals, "destinations": []})
    cell.call("add_counts", args=[OPERATOR, part])


def read(cell: Cell, tenant: str | None, *, since_ms: int, now_ms: int) -> list[Hour]:
    """Return the counts of a tenant or, if it is None, of the cell, by hour.

    Redis: one round trip.

    Args:
        since_ms: a time in the first hour, at most a day ago.
    """
    pipe, hours = cell.client.pipeline(transaction=False), _hours(since_ms, now_ms)
    for hour in hours:
        pipe.hgetall(keys.counts(cell.prefix, holder_of(tenant), hour))
    return [
        _decode(hour, stored)
        for hour, stored in zip(hours, pipe.execute(), strict=True)
    ]


def read_totals(cell: Cell) -> Totals:
    """Return the counts of the whole life of the cell. Redis: HGETALL."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    stored = cast(Mapping[bytes, bytes], cell.client.hgetall(keys.totals(cell.prefix)))
    for name, value in stored.items():
        kind, _, rest = name.decode().partition(":")
        found[kind][rest] = int(value)
    return Totals(
        delivered=found["delivered"][""],
        causes=found["failed"],
        late=_buckets(found["late"]),
        late_ms=found["late_ms"][""],
        durations=_buckets(found["duration"]),
        duration_ms=found["duration_ms"][""],
        created=found["created"][""],
        claimed=found["claimed"][""],
        lost_leases=found["lost_leases"][""],
    )


def _buckets(stored: Mapping[str, int]) -> Counter[int]:
    return Counter({int(bucket): count for bucket, count in stored.items()})


def read_destinations(
    cell: Cell,
    tenant: str | None,
    *,
    since_ms: int,
    now_ms: int,
    names: Sequence[str] | None = None,
) -> dict[str, DestinationCounts]:
    """Return the counts of destinations by origin, since the start of an hour.

    Redis: one round trip.

    Args:
        tenant: as in `read`.
        since_ms: likewise.
        names: the origins to read; None: all of them.
    """
    if names is not None and not names:
        return {}
    pipe, hours = cell.client.pipeline(transaction=False), _hours(since_ms, now_ms)
    for hour in hours:
        key = keys.destination_counts(cell.prefix, holder_of(tenant), hour)
        _ = pipe.hgetall(key) if names is None else pipe.hmget(key, names)
    found = Counts()
    for stored in pipe.execute():
        for name, value in _pairs(stored, names):
            if value is not None:
                found.add_destination(name, _decode_destination(value))
    return found.destinations


def _hours(since_ms: int, now_ms: int) -> range:
    return range(since_ms // HOUR_MS, now_ms // HOUR_MS + 1)


def _totals_of(counts: Counts) -> dict[str, int]:
    """Return what the counts add to the totals, by field of `keys.totals`."""
    return {
        "delivered": counts.delivered,
        **{f"failed:{code}": count for code, count in counts.causes.items()},
        **{f"late:{bucket}": count for bucket, count in counts.late.items()},
        "late_ms": counts.late_ms,
        **{f"duration:{each}": count for each, count in counts.durations.items()},
        "duration_ms": counts.duration_ms,
    }


def _encode(counts: Counts, more: Mapping[str, object] = NOTHING) -> Iterator[bytes]:
    """Yield the counts in parts, each with some of the destinations.

    Args:
        more: what the first part has besides.
    """
    numbers = {
        "delivered": counts.delivered,
        "failed": counts.failed,
        "causes": counts.causes,
        "late": {str(bucket): count for bucket, count in counts.late.items()},
        "late_ms": counts.late_ms,
    }
    destinations = [
        (name, each.delivered, each.failed, int(each.is_failing), each.cause)
        for name, each in counts.destinations.items()
    ]
    first = destinations[:DESTINATIONS_AT_ONCE]
    yield orjson.dumps({**numbers, **more, "destinations": first})
    for batch in batches(destinations[len(first) :], DESTINATIONS_AT_ONCE):
        yield orjson.dumps({"destinations": batch})


def _decode(hour: int, stored: Mapping[bytes, bytes]) -> Hour:
    found = Hour(hour * HOUR_MS)
    for name, value in stored.items():
        kind, rest, count = name[:1], name[1:].decode(), int(value)
        if name == b"late_ms":
            found.late_ms = count
        elif kind == b"d":
            found.delivered[int(rest)] = count
        elif kind == b"f":
            found.failed[int(rest)] = count
        elif kind == b"c":
            found.causes[rest[1:]] = count
        else:
            part, _, bucket = rest.partition(":")
            found.late.setdefault(int(part), Counter())[int(bucket)] = count
    return found


def _pairs(stored: Any, names: Sequence[str] | None) -> Iterator[tuple[str, Any]]:
    if names is not None:
        yield from zip(names, stored, strict=True)
        return
    for name, value in stored.items():
        yield name.decode(), value


def _decode_destination(value: bytes) -> DestinationCounts:
    delivered, failed, is_failing, failed_ms, cause = value.decode().split(" ", 4)
    return DestinationCounts(
        delivered=int(delivered),
        failed=int(failed),
        is_failing=is_failing == "1",
        failed_ms=int(failed_ms),
        cause=cause,
    )
