"""Tests of `FairShare`: what a busy worker tells the store about its deliveries."""

import pytest
from collections.abc import Iterable
from dataclasses import replace
from scheduler_api.core.model import Begun, Owner
from scheduler_api.core.store.leases import Report, Share
from tests import attempts
from workers.delivery.fair_share import MAX_LISTED, FairShare, Use

NOW_S = 1_000.0
QUICK = Report(status=200, total_ms=20)
REPORTS = {
    "quick": QUICK,
    "quick failure": Report(status=500, total_ms=20),
    "late": Report(status=200, total_ms=1_001),
    "waited in the worker": Report(status=200, total_ms=1_500, waited_ms=900),
    "time-out": Report(error="timeout", total_ms=500),
    "refused": Report(error="refused", total_ms=1),
}


class Counts:
    """A worker with room for 100, of which 20 are the reserve."""

    def __init__(self) -> None:
        self.share = FairShare(100, percent=50)
        self.now_s = NOW_S

    def begin(self, origin: str, count: int = 1, *, tenant: str = "1") -> list[Use]:
        begun = begun_at(origin, tenant)
        return [self.share.add(begun, now_s=self.now_s) for _ in range(count)]

    def answer(self, origin: str, report: Report, *, tenant: str = "1") -> None:
        """Begin an attempt and end it."""
        [use] = self.begin(origin, tenant=tenant)
        self.share.note(use, report, now_s=self.now_s)
        self.share.remove(use)

    def limits(self, *open_: str) -> Share:
        """Return the limits while an attempt at each of these origins is open."""
        return self.share.limits(events(open_), now_s=self.now_s)

    def room(self, *open_: str) -> int:
        return self.share.room(events(open_), now_s=self.now_s)[0]

    def class_of(self, origin: str, *open_: str) -> str:
        limits = self.limits(*open_)
        found = [name for name in ("fast", "slow") if origin in limits[name]]  # type: ignore[literal-required]
        return found[0] if found else "unknown"


def begun_at(origin: str, tenant: str = "1") -> Begun:
    return replace(attempts.begun("jiter", origin=origin), owner=Owner(tenant, "jiter"))


def events(origins: Iterable[str]) -> list[Begun]:
    return [begun_at(origin) for origin in origins]


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.mark.parametrize(
    ("in_flight", "count", "busy"), [(0, 80, 0), (49, 25, 0), (49, 32, 1), (50, 1, 1)]
)
def test_i1_limits_apply_once_half_of_the_worker_is_in_use(
    counts: Counts, in_flight: int, count: int, busy: int
):
    counts.begin("d:1:a", in_flight)

    assert counts.share.is_busy(count) == busy


def test_i1_the_limits_list_what_is_in_flight_and_the_fast_origins_used_last(
    counts: Counts,
):
    for number in range(MAX_LISTED + 10):
        counts.answer(f"d:1:{number}", QUICK)
    counts.answer("d:1:slow", REPORTS["late"])
    counts.now_s += 9
    counts.begin("d:1:now", 3)
    limits = counts.limits()

    assert limits["fast"] == [f"d:1:{n}" for n in range(10, MAX_LISTED + 10)]
    assert (limits["slow"], limits["in_flight"]["d:1:now"]) == ([], 3)
    assert set(limits["in_flight"]) == {"d:1:now", *limits["fast"]}
    counts.now_s += 2
    assert set(counts.limits()["in_flight"]) == {"d:1:now"}


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ("quick", "fast"),
        ("quick failure", "fast"),
        ("late", "slow"),
        ("waited in the worker", "fast"),
        ("time-out", "slow"),
        ("refused", "unknown"),
    ],
)
def test_i2_the_last_attempt_decides_whether_an_origin_is_fast(
    counts: Counts, last: str, expected: str
):
    for report in (*REPORTS.values(), REPORTS[last]):
        counts.answer("d:1:a", report)
    counts.begin("d:1:a")

    assert counts.class_of("d:1:a") == expected


def test_i2_an_origin_without_a_response_is_unknown(counts: Counts):
    counts.begin("d:1:a")

    assert counts.class_of("d:1:a") == "unknown"


def test_i2_an_attempt_that_is_open_makes_its_origin_slow(counts: Counts):
    counts.answer("d:1:a", QUICK)
    counts.begin("d:1:a")

    assert counts.class_of("d:1:a", "d:1:a") == "slow"
    assert counts.class_of("d:1:a", "d:1:b") == "fast"


def test_i2_a_response_counts_for_a_minute(counts: Counts):
    counts.answer("d:1:a", QUICK)
    counts.begin("d:1:a")
    counts.now_s += 60
    before = counts.class_of("d:1:a")
    counts.now_s += 1

    assert (before, counts.class_of("d:1:a")) == ("fast", "unknown")


def test_i3_slow_and_unknown_origins_leave_a_reserve(counts: Counts):
    counts.answer("d:1:slow", REPORTS["late"])
    counts.answer("d:1:fast", QUICK)
    counts.begin("d:1:slow", 30)
    counts.begin("d:1:new", 20)
    counts.begin("d:1:fast", 10)
    limits = counts.limits()

    assert (limits["room"], limits["general_room"], limits["reserve"]) == (40, 30, 20)


@pytest.mark.parametrize(
    ("capacity", "reserve"), [(1, 0), (4, 2), (10, 5), (40, 8), (1_000, 200)]
)
def test_i3_the_reserve_is_a_fifth_at_least_five_at_most_half(
    capacity: int, reserve: int
):
    limits = FairShare(capacity, percent=50).limits([], now_s=NOW_S)

    assert (limits["reserve"], limits["room"]) == (reserve, capacity)


def test_i3_what_becomes_slow_in_the_reserve_takes_no_room_up_to_a_bound(
    counts: Counts,
):
    counts.answer("d:1:a", QUICK)
    counts.begin("d:1:a", 100)
    full = counts.room()
    opened = counts.room("d:1:a")
    counts.begin("d:1:a", 45)

    assert (full, opened, counts.room("d:1:a")) == (0, 20, 5)


def test_i4_tenants_count_while_they_are_wanted(counts: Counts):
    counts.answer("d:1:a", QUICK)
    counts.answer("d:2:a", QUICK, tenant="2")
    counts.begin("d:1:a", 3)
    recently = counts.limits()["tenants"]
    counts.now_s += 11

    assert (recently, counts.limits()["tenants"]) == ({"1": 3, "2": 0}, {"1": 3})


@pytest.mark.parametrize(("percent", "limit"), [(50, 40), (100, 0), (1, 1)])
def test_i4_a_destination_has_a_share_of_what_is_not_the_reserve(
    percent: int, limit: int
):
    limits = FairShare(100, percent=percent).limits([], now_s=NOW_S)

    assert limits["limit"] == limit


def test_trials_use_a_quarter_of_the_reserve_until_they_are_slow(counts: Counts):
    counts.begin("d:1:slow", 80)
    trial = replace(begun_at("d:1:new"), is_trial=True)
    use = counts.share.add(trial, now_s=NOW_S)
    during, opened = counts.limits("d:1:slow"), counts.limits("d:1:slow", "d:1:new")
    counts.share.remove(use, is_trial=True)

    assert (during["trial_room"], during["general_room"], during["room"]) == (4, 0, 19)
    assert (opened["trial_room"], opened["general_room"], opened["room"]) == (5, 0, 20)
    assert during["trials_of"] == opened["trials_of"] == {"1": 1}
    assert (counts.limits()["trials_of"], counts.limits()["trial_room"]) == ({}, 5)


def test_trials_end_when_a_quarter_more_than_the_capacity_is_in_flight(counts: Counts):
    counts.begin("d:1:a", 122)

    assert counts.limits("d:1:a")["trial_room"] == 3


def test_fast_attempts_are_counted_by_tenant(counts: Counts):
    counts.answer("d:1:a", QUICK)
    counts.answer("d:2:a", QUICK, tenant="2")
    counts.begin("d:1:a", 2)
    counts.begin("d:1:b")
    counts.begin("d:2:a", 3, tenant="2")

    assert counts.limits("d:2:a")["fast_of"] == {"1": 2}


def test_the_expansions_of_groups_are_counted_without_an_origin(counts: Counts):
    uses = counts.begin("", 90)
    limits, room = counts.limits(), counts.room()
    for use in uses:
        counts.share.remove(use)

    assert (limits["in_flight"], limits["tenants"], room) == ({}, {"1": 90}, 10)
    assert (counts.room(), counts.limits()["tenants"]) == (100, {"1": 0})
