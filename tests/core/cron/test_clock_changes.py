"""Tests of clock-change policies at single clock changes."""

import pytest
from datetime import UTC, datetime
from itertools import islice
from scheduler_api.core.cron.clock_changes import ClockChange, Fold, Gap
from scheduler_api.core.cron.expression import parse, upcoming

NEW_YORK = "America/New_York"
SPRING, AUTUMN = "2025-03-09T00:00-05:00", "2025-11-02T00:00-04:00"
POLICIES = [ClockChange(gap, fold) for gap in Gap for fold in Fold]


def times(
    expression: str,
    policy: ClockChange,
    *,
    after: str,
    count: int,
    tz: str = NEW_YORK,
) -> list[str]:
    """Return fire times as `<day of month> <time>` in UTC."""
    cron = parse(expression, tz=tz, policy=policy)
    after_ms = round(datetime.fromisoformat(after).timestamp() * 1000)
    instants = islice(upcoming(cron, after_ms=after_ms), count)
    return [f"{datetime.fromtimestamp(at / 1000, UTC):%d %H:%M}" for at in instants]


@pytest.mark.parametrize(
    ("gap", "expected"),
    [
        (Gap.AFTER, ["09 07:00", "10 06:15", "10 06:20"]),
        (Gap.SKIP, ["10 06:15", "10 06:20", "11 06:15"]),
        (Gap.SHIFT, ["09 07:15", "09 07:20", "10 06:15"]),
    ],
)
def test_fixed_times_in_a_gap(gap: Gap, expected: list[str]) -> None:
    policy = ClockChange(gap=gap)

    assert times("15,20 2 * * *", policy, after=SPRING, count=3) == expected


def test_shifted_times_are_in_order_with_the_others() -> None:
    policy = ClockChange(gap=Gap.SHIFT)

    got = times("15,30 2,3,4 * * *", policy, after=SPRING, count=5)

    # 02:15 and 02:30 are shifted to 03:15 and 03:30. The rule matches 03:15 and 03:30
    # too, but fires only once at each of these times.
    assert got == ["09 07:15", "09 07:30", "09 08:15", "09 08:30", "10 06:15"]


def test_a_start_soon_after_a_gap_includes_times_shifted_by_it() -> None:
    policy = ClockChange(gap=Gap.SHIFT)

    got = times("15,30 2 * * *", policy, after="2025-03-09T07:20Z", count=2)

    assert got == ["09 07:30", "10 06:15"]


@pytest.mark.parametrize(
    ("fold", "expected"),
    [
        (Fold.FIRST, ["02 05:00", "02 05:30", "03 06:00", "03 06:30"]),
        (Fold.SECOND, ["02 06:00", "02 06:30", "03 06:00", "03 06:30"]),
        (Fold.BOTH, ["02 05:00", "02 05:30", "02 06:00", "02 06:30"]),
    ],
)
def test_fixed_times_in_a_fold(fold: Fold, expected: list[str]) -> None:
    policy = ClockChange(fold=fold)

    assert times("0,30 1 * * *", policy, after=AUTUMN, count=4) == expected


def test_a_start_between_the_two_passes_includes_only_the_second() -> None:
    policy = ClockChange(fold=Fold.BOTH)

    got = times("30 1 * * *", policy, after="2025-11-02T05:30Z", count=2)

    assert got == ["02 06:30", "03 06:30"]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("expression", ["*/20 * * * *", "0 * * * *", "*/20 1,2 * * *"])
def test_policies_do_not_apply_to_rules_that_follow_the_clock(
    expression: str, policy: ClockChange
) -> None:
    for after in (SPRING, AUTUMN):
        got = times(expression, policy, after=after, count=30)
        assert got == times(expression, ClockChange(), after=after, count=30)


@pytest.mark.parametrize("policy", POLICIES)
def test_policies_do_not_apply_to_jumps_over_three_hours(policy: ClockChange) -> None:
    # Apia skipped 30 December 2011; Kwajalein repeated most of 30 September 1969.
    gap = times(
        "0 12 * * *", policy, after="2011-12-30T00:00Z", count=2, tz="Pacific/Apia"
    )
    fold = times(
        "0 6 * * *",
        policy,
        after="1969-09-29T18:00Z",
        count=2,
        tz="Pacific/Kwajalein",
    )

    assert gap == ["30 22:00", "31 22:00"]
    assert fold == ["29 19:00", "30 18:00"]


@pytest.mark.parametrize("policy", POLICIES)
def test_policies_do_not_apply_to_intervals(policy: ClockChange) -> None:
    got = times("@every 40m", policy, after="2025-03-09T06:00Z", count=3)

    assert got == ["09 06:40", "09 07:20", "09 08:00"]
