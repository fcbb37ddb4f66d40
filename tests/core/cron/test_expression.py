"""Tests of when cron expressions fire: a table of fire times, and clock changes."""

import json
import pytest
from datetime import datetime, timedelta
from itertools import islice, pairwise, takewhile
from pathlib import Path
from scheduler_api.core.cron.expression import FULL, parse, upcoming
from scheduler_api.dialects.outbound import GRAMMARS
from tests.core.cron.cron_times import NEW_YORK, ZONES, iso, ms, refusal, times
from typing import Any
from zoneinfo import ZoneInfo

FILE = Path(__file__).parents[3] / "docs" / "cron_cases.json"
CASES = json.loads(FILE.read_text())["cases"]
ANSWERED = [case for case in CASES if "next" in case]
REFUSED = [case for case in CASES if "refusal" in case]

NEW_YEAR = "2025-01-01T00:00Z"
HOUR_MS = 3_600_000


# The table in docs/cron_cases.json


@pytest.mark.parametrize("case", ANSWERED, ids=lambda case: case["id"])
def test_fires_at_the_times_in_the_table(case: dict[str, Any]) -> None:
    got = times(
        case["expression"], after=case["start"], count=len(case["next"]), tz=case["tz"]
    )

    assert got == case["next"]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case["id"])
def test_is_refused_with_the_reason_in_the_table(case: dict[str, Any]) -> None:
    error = refusal(case["expression"], tz=case["tz"])

    assert case["refusal"] in str(error)


# Clock changes


def test_a_fixed_time_in_a_gap_fires_once_right_after_the_gap() -> None:
    got = times("0,15,30 2 * * *", after="2025-03-09T00:00-05:00", count=2, tz=NEW_YORK)

    assert got == ["2025-03-09T07:00:00Z", "2025-03-10T06:00:00Z"]


def test_a_fixed_time_in_a_fold_fires_once_at_the_first_pass() -> None:
    got = times("30 1 * * *", after="2025-11-02T00:00-04:00", count=2, tz=NEW_YORK)

    assert got == ["2025-11-02T05:30:00Z", "2025-11-03T06:30:00Z"]


def test_wildcard_seconds_follow_the_clock_like_wildcard_minutes() -> None:
    gap = times("*/30 30 2 * * *", after="2025-03-09T00:00-05:00", count=1, tz=NEW_YORK)
    fold = times(
        "*/30 30 1 * * *", after="2025-11-02T00:00-04:00", count=4, tz=NEW_YORK
    )

    assert gap == ["2025-03-10T06:30:00Z"]
    assert fold == [
        "2025-11-02T05:30:00Z",
        "2025-11-02T05:30:30Z",
        "2025-11-02T06:30:00Z",
        "2025-11-02T06:30:30Z",
    ]


def test_a_start_in_the_first_pass_of_a_fold_includes_the_second_pass() -> None:
    got = times("0,45 * * * *", after="2025-11-02T05:50Z", count=3, tz=NEW_YORK)

    assert got == [
        "2025-11-02T06:00:00Z",
        "2025-11-02T06:45:00Z",
        "2025-11-02T07:00:00Z",
    ]


def test_times_are_in_order_when_a_fold_spans_midnight() -> None:
    # In St. John's, clocks went back from 00:01 to 23:01 of the day before.
    got = times(
        "0,30 * * * *", after="2010-11-07T01:30Z", count=6, tz="America/St_Johns"
    )

    assert got == [
        "2010-11-07T02:00:00Z",
        "2010-11-07T02:30:00Z",
        "2010-11-07T03:00:00Z",
        "2010-11-07T03:30:00Z",
        "2010-11-07T04:00:00Z",
        "2010-11-07T04:30:00Z",
    ]


def test_a_jump_of_more_than_three_hours_is_not_summer_time() -> None:
    # Kwajalein skipped all of 21 August 1993.
    got = times(
        "0 12 * * *", after="1993-08-20T00:00-12:00", count=2, tz="Pacific/Kwajalein"
    )

    assert got == ["1993-08-21T00:00:00Z", "1993-08-22T00:00:00Z"]


def test_a_rule_whose_times_are_all_skipped_never_fires() -> None:
    never = parse("*/30 2 * 3 0#2", tz=NEW_YORK)

    assert list(upcoming(never, after_ms=ms("2025-01-01T00:00Z"))) == []


@pytest.mark.parametrize("tz", ZONES)
@pytest.mark.parametrize("at", ["5 0", "30 1", "15 2", "59 23"])
def test_a_fixed_time_fires_once_a_day_in_every_zone(tz: str, at: str) -> None:
    cron = parse(f"{at} * * *", tz=tz)
    days = [
        datetime.fromtimestamp(at_ms / 1000, ZoneInfo(tz)).date()
        for at_ms in islice(upcoming(cron, after_ms=ms("2018-01-01T12:00Z")), 366)
    ]

    assert {later - day for day, later in pairwise(days)} == {timedelta(days=1)}


# Days given by `L`, `W`, `#`, `?` or `H`


def month_days(expression: str, month: str) -> list[int]:
    cron = parse(f"0 0 {expression}")
    got = upcoming(cron, after_ms=ms(f"{month}-01T00:00Z") - 1)
    in_month = takewhile(lambda at: at < f"{month}-32", map(iso, got))
    return [int(at[8:10]) for at in in_month]


@pytest.mark.parametrize(
    ("expression", "month", "days"),
    [
        ("L * *", "2024-02", [29]),
        ("1,L * *", "2025-02", [1, 28]),
        ("LW * *", "2025-08", [29]),
        # `W` is the nearest working day in the same month. 1 February is a Saturday, so
        # `1W` is Monday, the 3rd. 31 August is a Sunday, so `31W` is Friday, the 29th.
        ("1W * *", "2025-02", [3]),
        ("31W * *", "2025-08", [29]),
        ("1W,15W * *", "2025-06", [2, 16]),
        ("31W * *", "2025-06", []),
        ("* * 5L", "2025-05", [30]),
        ("* * FRIL", "2025-05", [30]),
        ("* * 7L", "2025-05", [25]),
        ("* * MON#5", "2025-05", []),
        ("* * MON#5", "2025-06", [30]),
        ("* * 1#1,5", "2025-05", [2, 5, 9, 16, 23, 30]),
        ("13 * 1#1", "2025-05", [5, 13]),
        ("L * 1#1", "2025-05", [5, 31]),
        ("*/30 * 6L", "2025-05", [31]),
        ("? * sun", "2025-05", [4, 11, 18, 25]),
        ("? JAN-dec/4 ?", "2025-05", list(range(1, 32))),
    ],
)
def test_days_of_a_month(expression: str, month: str, days: list[int]) -> None:
    assert month_days(expression, month) == days


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        ("FRI-SUN", "5-7"),
        ("MON-SUN", "1-7"),
        ("Sat-Sun", "6-7"),
        ("thu-sun", "4-7"),
        ("FRI-SUN/2", "5-7/2"),
        ("TUE,fri-sun", "2,5-7"),
        ("FRI-SUN,MON", "1,5-7"),
        ("5-SUN", "5-7"),
        ("7-SUN", "7"),
        ("SUN-SUN", "0"),
        ("SUN-TUE", "0-2"),
        ("SUN-SAT", "0-6"),
    ],
)
def test_a_range_of_weekdays_may_end_in_sunday(names: str, numbers: str) -> None:
    for grammar in (FULL, *GRAMMARS.values()):
        assert parse(f"0 9 * * {names}", grammar=grammar).rule == (
            parse(f"0 9 * * {numbers}").rule
        )


def test_a_hashed_range_of_weekdays_may_end_in_sunday() -> None:
    for seed in map(str, range(20)):
        by_name = times("0 0 * * H(FRI-SUN)", after=NEW_YEAR, count=3, seed=seed)
        assert by_name == times("0 0 * * H(5-7)", after=NEW_YEAR, count=3, seed=seed)


@pytest.mark.parametrize(
    "weekdays", ["5-0", "FRI-0", "6-1", "SAT-MON", "FRI-TUE", "7-MON", "7-1"]
)
def test_other_ranges_of_weekdays_that_run_backwards_are_refused(weekdays: str) -> None:
    assert "of the day of week runs backwards" in str(refusal(f"0 9 * * {weekdays}"))


def test_the_hash_depends_on_the_seed_alone() -> None:
    values = {
        seed: times("H H * * *", after="2025-01-01T00:00Z", count=1, seed=seed)[0]
        for seed in map(str, range(20))
    }

    again = times("H H * * *", after="2025-01-01T00:00Z", count=1, seed="7")
    assert again == [values["7"]]
    assert len(set(values.values())) > 15


@pytest.mark.parametrize("seed", ["", "a", "schedule-1", "\u00e9"])
def test_a_hashed_range_with_a_step_does_not_leave_its_range(seed: str) -> None:
    got = times("H(0-29)/10 * * * *", after="2024-12-31T23:59Z", count=3, seed=seed)
    values = [int(at[14:16]) for at in got]

    assert values[0] < 10
    assert values == [values[0], values[0] + 10, values[0] + 20]


def test_a_hashed_day_of_month_exists_in_every_month() -> None:
    for seed in map(str, range(50)):
        got = times("0 0 H * *", after="2025-01-01T00:00Z", count=12, seed=seed)
        assert len({at[5:7] for at in got}) == 12


# Intervals


def test_an_interval_continues_from_its_last_fire_time() -> None:
    cron = parse("@every 1h30m")
    first, second, third = islice(upcoming(cron, after_ms=0), 3)

    assert [second, third] == list(islice(upcoming(cron, after_ms=first), 2))


def test_an_interval_fires_on_full_seconds_and_never_early() -> None:
    assert next(upcoming(parse("@every 10s"), after_ms=1)) == 11_000


# Parsed expressions


def test_a_parsed_expression_keeps_its_text() -> None:
    text = " CRON_TZ=Asia/Tokyo\t@daily "

    assert parse(text).expression == text


def test_a_zone_in_the_expression_overrides_the_argument() -> None:
    assert parse("CRON_TZ=Asia/Tokyo 0 9 * * *", tz=NEW_YORK).tz == "Asia/Tokyo"
    assert parse("0 9 * * *", tz=NEW_YORK).tz == NEW_YORK


def test_a_day_that_comes_once_in_forty_years_is_found() -> None:
    # 29 February is a Sunday in 2088, and then not before 2128, because 2100 is not a
    # leap year.
    got = times("0 0 29 2 */7", after="2089-01-01T00:00Z", count=1)

    assert got == ["2128-02-29T00:00:00Z"]


def test_fire_times_end_in_the_year_9900() -> None:
    cron = parse("0 0 1 1 *")
    rest = list(upcoming(cron, after_ms=ms("9890-06-01T00:00Z")))

    assert iso(rest[-1]) == "9899-01-01T00:00:00Z"
    assert list(upcoming(cron, after_ms=ms("9999-01-01T00:00Z"))) == []
    assert list(upcoming(parse("@every 1h"), after_ms=ms("9999-01-01T00:00Z"))) == []
