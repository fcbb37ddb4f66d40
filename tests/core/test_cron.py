import json
import pytest
from datetime import UTC, date, datetime, timedelta
from functools import cache
from hypothesis import given, settings
from hypothesis import strategies as st
from itertools import islice, pairwise, takewhile
from pathlib import Path
from scheduler_api.core.cron import (
    EVENTS_V1,
    FULL,
    JITER,
    QSTASH,
    CronError,
    Grammar,
    parse,
    upcoming,
)
from typing import Any
from zoneinfo import ZoneInfo

DATA = json.loads(Path(__file__).with_name("cron_cases.json").read_text())
ANSWERED = [case for case in DATA["cases"] + DATA["fuzz"] if "next" in case]
REFUSED = [case for case in DATA["cases"] if "refusal" in case]

HOUR_MS = 3_600_000
NEW_YORK = "America/New_York"
ZONES = (
    "UTC",
    NEW_YORK,
    "Europe/Dublin",
    "Africa/Cairo",
    "America/Havana",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Antarctica/Troll",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
)


def ms(iso: str) -> int:
    return round(datetime.fromisoformat(iso).timestamp() * 1000)


def iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def times(
    expression: str, *, after: str, count: int, tz: str = "UTC", seed: str = ""
) -> list[str]:
    cron = parse(expression, tz=tz, seed=seed)
    return [iso(at_ms) for at_ms in islice(upcoming(cron, after_ms=ms(after)), count)]


def refusal(expression: str, **options: Any) -> CronError:
    with pytest.raises(CronError) as caught:
        parse(expression, **options)
    return caught.value


# The table of answers


@pytest.mark.parametrize("case", ANSWERED, ids=lambda case: case["id"])
def test_fires_when_the_table_says(case: dict[str, Any]) -> None:
    got = times(
        case["expression"], after=case["start"], count=len(case["next"]), tz=case["tz"]
    )

    assert got == case["next"]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case["id"])
def test_is_refused_with_the_reason_the_table_gives(case: dict[str, Any]) -> None:
    error = refusal(case["expression"], tz=case["tz"])

    assert case["refusal"] in str(error)


# Clock changes


def test_fixed_time_in_a_gap_fires_once_right_after_it() -> None:
    got = times("0,15,30 2 * * *", after="2025-03-09T00:00-05:00", count=2, tz=NEW_YORK)

    assert got == ["2025-03-09T07:00:00Z", "2025-03-10T06:00:00Z"]


def test_fixed_time_in_a_fold_fires_once_at_the_first_pass() -> None:
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


def test_start_in_the_first_pass_of_a_fold_still_gets_the_second() -> None:
    got = times("0,45 * * * *", after="2025-11-02T05:50Z", count=3, tz=NEW_YORK)

    assert got == [
        "2025-11-02T06:00:00Z",
        "2025-11-02T06:45:00Z",
        "2025-11-02T07:00:00Z",
    ]


def test_fold_over_midnight_stays_in_order() -> None:
    # St. John's went back an hour at 00:01.
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


def test_jump_of_more_than_three_hours_is_no_summer_time() -> None:
    # Kwajalein skipped 21 August 1993.
    got = times(
        "0 12 * * *", after="1993-08-20T00:00-12:00", count=2, tz="Pacific/Kwajalein"
    )

    assert got == ["1993-08-21T00:00:00Z", "1993-08-22T00:00:00Z"]


def test_ends_when_clock_changes_skip_every_time_there_is() -> None:
    never = parse("*/30 2 * 3 0#2", tz=NEW_YORK)

    assert list(upcoming(never, after_ms=ms("2025-01-01T00:00Z"))) == []


@pytest.mark.parametrize("tz", ZONES)
@pytest.mark.parametrize("at", ["5 0", "30 1", "15 2", "59 23"])
def test_fixed_time_fires_once_a_day_in_every_zone(tz: str, at: str) -> None:
    cron = parse(f"{at} * * *", tz=tz)
    days = [
        datetime.fromtimestamp(at_ms / 1000, ZoneInfo(tz)).date()
        for at_ms in islice(upcoming(cron, after_ms=ms("2018-01-01T12:00Z")), 366)
    ]

    assert {later - day for day, later in pairwise(days)} == {timedelta(days=1)}


# Properties

minutes = st.integers(0, 59)
hours = st.integers(0, 23)


def listed(numbers: st.SearchStrategy[int], *, most: int) -> st.SearchStrategy[str]:
    lists = st.lists(numbers, min_size=1, max_size=most)
    return lists.map(lambda some: ",".join(map(str, some)))


def stepped(steps: st.SearchStrategy[int]) -> st.SearchStrategy[str]:
    return st.one_of(st.just("*"), steps.map(lambda step: f"*/{step}"))


expressions = st.builds(
    "{} {} {} {} {}".format,
    st.one_of(listed(minutes, most=5), stepped(st.integers(1, 40))),
    st.one_of(listed(hours, most=5), stepped(st.integers(1, 12))),
    # Up to 28, so that some day matches in any month.
    st.one_of(listed(st.integers(1, 28), most=5), stepped(st.integers(1, 15))),
    st.one_of(listed(st.integers(1, 12), most=5), st.just("*")),
    st.one_of(listed(st.integers(0, 7), most=3), st.just("*")),
)
instants = st.integers(ms("2000-01-01T00:00Z"), ms("2035-01-01T00:00Z"))


@cache
def unfolded(text: str, *, low: int, high: int) -> set[int]:
    """The values of one field, by enumeration."""
    if not text.startswith("*"):
        return set(map(int, text.split(",")))
    step = int(text.partition("/")[2] or 1)
    return {number for number in range(low, high + 1) if (number - low) % step == 0}


def shows(expression: str, local: datetime) -> bool:
    """Whether a clock that shows a local time matches, field by field."""
    minute, hour, monthday, month, weekday = expression.split()
    by_monthday = local.day in unfolded(monthday, low=1, high=31)
    weekdays = {number % 7 for number in unfolded(weekday, low=0, high=6)}
    by_weekday = local.isoweekday() % 7 in weekdays
    if "*" in (monthday[0], weekday[0]):
        by_day = by_monthday and by_weekday
    else:
        by_day = by_monthday or by_weekday
    return (
        by_day
        and local.month in unfolded(month, low=1, high=12)
        and local.hour in unfolded(hour, low=0, high=23)
        and local.minute in unfolded(minute, low=0, high=59)
    )


@given(expressions, st.sampled_from(ZONES), instants)
@settings(max_examples=60, deadline=None)
def test_times_rise_strictly_and_come_after_the_start(
    expression: str, tz: str, after_ms: int
) -> None:
    got = list(islice(upcoming(parse(expression, tz=tz), after_ms=after_ms), 50))

    assert all(earlier < later for earlier, later in pairwise([after_ms, *got]))


@given(expressions, st.sampled_from(ZONES), instants, st.integers(0, 29))
@settings(max_examples=60, deadline=None)
def test_going_on_from_any_time_gives_the_same_times(
    expression: str, tz: str, after_ms: int, index: int
) -> None:
    cron = parse(expression, tz=tz)
    got = list(islice(upcoming(cron, after_ms=after_ms), 40))
    rest = list(islice(upcoming(cron, after_ms=got[index]), 39 - index))

    assert rest == got[index + 1 :]


@given(expressions, instants)
@settings(max_examples=30, deadline=None)
def test_in_utc_it_fires_at_every_minute_that_matches(
    expression: str, after_ms: int
) -> None:
    first_ms = next(upcoming(parse(expression), after_ms=after_ms))
    # From just before the first time, so that the window is not empty.
    start = datetime.fromtimestamp(first_ms // 1000, UTC) - timedelta(minutes=1)
    window = [start + timedelta(minutes=n) for n in range(1, 1440)]
    wanted = [moment for moment in window if shows(expression, moment)]

    got = times(expression, after=start.isoformat(), count=len(wanted))

    assert got == [f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in wanted]


@given(expressions, st.dates(datetime(1990, 1, 1).date(), datetime(2190, 1, 1).date()))
@settings(max_examples=60, deadline=None)
def test_in_utc_it_fires_on_every_day_that_matches(
    expression: str, start: date
) -> None:
    midnights = " ".join(["0 0", *expression.split()[2:]])
    midnight = datetime(start.year, start.month, start.day, tzinfo=UTC)
    window = [midnight + timedelta(days=n) for n in range(1, 800)]
    wanted = [moment for moment in window if shows(midnights, moment)]

    got = times(midnights, after=midnight.isoformat(), count=len(wanted))

    assert got == [f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in wanted]


# Zones of which some change their clocks at midnight, by half an hour, by two hours.
CHANGES = (
    (NEW_YORK, "2010-03-14T07:00Z"),
    (NEW_YORK, "2010-11-07T06:00Z"),
    ("Africa/Cairo", "2010-09-09T21:00Z"),
    ("America/Havana", "2010-10-31T05:00Z"),
    ("America/Sao_Paulo", "2010-02-21T02:00Z"),
    ("America/Sao_Paulo", "2010-10-17T03:00Z"),
    ("America/St_Johns", "2010-11-07T02:31Z"),
    ("Antarctica/Troll", "2010-10-31T01:00Z"),
    ("Australia/Lord_Howe", "2010-04-03T15:00Z"),
    ("Australia/Lord_Howe", "2010-10-02T15:30Z"),
    ("Europe/Dublin", "2010-10-31T01:00Z"),
)


@pytest.mark.parametrize(("tz", "change"), CHANGES)
@pytest.mark.parametrize(
    "expression", ["*/7 * * * *", "10,50 */1 * * *", "* 0,1 * * 0"]
)
def test_wildcard_fires_at_every_minute_at_which_the_clock_matches(
    tz: str, change: str, expression: str
) -> None:
    start = datetime.fromisoformat(change) - timedelta(hours=4)
    window = [start + timedelta(minutes=n) for n in range(1, 12 * 60)]
    wanted = [
        f"{moment:%Y-%m-%dT%H:%M:%SZ}"
        for moment in window
        if shows(expression, moment.astimezone(ZoneInfo(tz)))
    ]

    got = times(expression, after=start.isoformat(), count=len(wanted), tz=tz)

    assert got == wanted


@pytest.mark.parametrize(
    ("tz", "change"),
    # Monrovia went forward by 44 minutes and 30 seconds, Amsterdam by 28 seconds.
    [
        (NEW_YORK, "2025-03-09T07:00Z"),
        (NEW_YORK, "2025-11-02T06:00Z"),
        ("Africa/Monrovia", "1972-01-07T00:44:30Z"),
        ("Europe/Amsterdam", "1937-06-30T22:40:28Z"),
    ],
)
@pytest.mark.parametrize("seconds", ["*", "*/7", "*/45"])
def test_wildcard_fires_at_every_second_at_which_the_clock_matches(
    tz: str, change: str, seconds: str
) -> None:
    start_s = ms(change) // 1000 - 4_000
    zone, step = ZoneInfo(tz), int(seconds.partition("/")[2] or 1)
    wanted = [
        second
        for second in range(start_s + 1, start_s + 12_000)
        if datetime.fromtimestamp(second, zone).second % step == 0
    ]

    cron = parse(f"{seconds} * * * * *", tz=tz)
    got = islice(upcoming(cron, after_ms=start_s * 1000), len(wanted))

    assert [at // 1000 for at in got] == wanted


@given(st.text(alphabet="0123456789*/,-LW#?H@JANmon =\t", max_size=30))
@settings(max_examples=200, deadline=None)
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        cron = parse(text)
    except CronError as error:
        assert str(error)
    else:
        assert next(upcoming(cron, after_ms=0)) > 0


# Days that no list of numbers can say


def month_days(expression: str, month: str) -> list[int]:
    cron = parse(f"0 0 {expression}")
    got = upcoming(cron, after_ms=ms(f"{month}-01T00:00Z") - 1)
    shown = takewhile(lambda at: at < f"{month}-32", map(iso, got))
    return [int(at[8:10]) for at in shown]


@pytest.mark.parametrize(
    ("expression", "month", "days"),
    [
        ("L * *", "2024-02", [29]),
        ("1,L * *", "2025-02", [1, 28]),
        ("LW * *", "2025-08", [29]),
        # The 1st is a Saturday, the 31st a Sunday: neither leaves its month.
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


def test_hash_is_the_same_for_the_same_seed_only() -> None:
    values = {
        seed: times("H H * * *", after="2025-01-01T00:00Z", count=1, seed=seed)[0]
        for seed in map(str, range(20))
    }

    again = times("H H * * *", after="2025-01-01T00:00Z", count=1, seed="7")
    assert again == [values["7"]]
    assert len(set(values.values())) > 15


@pytest.mark.parametrize("seed", ["", "a", "schedule-1", "\u00e9"])
def test_hashed_range_with_a_step_stays_in_its_range(seed: str) -> None:
    got = times("H(0-29)/10 * * * *", after="2024-12-31T23:59Z", count=3, seed=seed)
    values = [int(at[14:16]) for at in got]

    assert values[0] < 10
    assert values == [values[0], values[0] + 10, values[0] + 20]


def test_hashed_day_of_month_exists_in_every_month() -> None:
    for seed in map(str, range(50)):
        got = times("0 0 H * *", after="2025-01-01T00:00Z", count=12, seed=seed)
        assert len({at[5:7] for at in got}) == 12


# Distances


def test_distance_goes_on_from_its_last_fire_time() -> None:
    cron = parse("@every 1h30m")
    first, second, third = islice(upcoming(cron, after_ms=0), 3)

    assert [second, third] == list(islice(upcoming(cron, after_ms=first), 2))


def test_distance_falls_on_whole_seconds_and_never_early() -> None:
    assert next(upcoming(parse("@every 10s"), after_ms=1)) == 11_000


# What a parsed expression tells


def test_expression_is_kept_as_given() -> None:
    text = " CRON_TZ=Asia/Tokyo\t@daily "

    assert parse(text).expression == text


def test_zone_in_the_expression_goes_before_the_one_given() -> None:
    assert parse("CRON_TZ=Asia/Tokyo 0 9 * * *", tz=NEW_YORK).tz == "Asia/Tokyo"
    assert parse("0 9 * * *", tz=NEW_YORK).tz == NEW_YORK


def test_day_that_comes_every_forty_years_is_found() -> None:
    # 29 February on a Sunday, over 2100, which is no leap year.
    got = times("0 0 29 2 */7", after="2089-01-01T00:00Z", count=1)

    assert got == ["2128-02-29T00:00:00Z"]


def test_times_end_at_the_last_year() -> None:
    cron = parse("0 0 1 1 *")
    rest = list(upcoming(cron, after_ms=ms("9890-06-01T00:00Z")))

    assert iso(rest[-1]) == "9899-01-01T00:00:00Z"
    assert list(upcoming(cron, after_ms=ms("9999-01-01T00:00Z"))) == []
    assert list(upcoming(parse("@every 1h"), after_ms=ms("9999-01-01T00:00Z"))) == []


# Refusals


@pytest.mark.parametrize(
    ("expression", "position", "reason"),
    [
        ("61 * * * *", 0, "'61' is out of range: the minute goes from 0 to 59"),
        ("  0 0 1,2,32 * *", 10, "the day of month goes from 1 to 31"),
        ("0 0 * * 1-9", 10, "the day of week goes from 0 to 7"),
        ("0 0 1 1 mon,fun", 12, "'fun' is no day of week"),
        ("0 */x * * *", 4, "'x' is no step"),
        ("0 1/ * * *", 4, "'' is no step"),
        ("-1 * * * *", 0, "'-1' is no minute"),
        ("5- * * * *", 2, "'5-' is no minute"),
        ("*-5 * * * *", 0, "'*' is no minute"),
        ("1- 2 * * * *", 2, "'1-' is no second"),
        ("1,,2 * * * *", 2, "missing beside a comma"),
        ("0 22-2 * * *", 2, "write two, as in '22-23,0-2'"),
        ("0 0 * * 7-2", 8, "write two, as in '7-7,0-2'"),
        ("? * * * *", 0, "'?' is no minute"),
        ("0 0 1,? * *", 6, "'?' is no day of month"),
        ("0 L * * *", 2, "'L' is no hour"),
        ("0 0 40W * *", 4, "the day of month goes from 1 to 31"),
        ("0 0 * * 1#0", 10, "'0' after '#' is out of range"),
        ("H(40-20) * * * *", 0, "runs backwards"),
        ("0 0 * *", 7, "4 fields and needs 5 fields, or 6 with seconds first"),
        ("0 0 * * * * 2025", 12, "7 fields and needs 5 fields"),
        ("0 0 \u0663 * *", 4, "has no place in a cron expression"),
        ("CRON_TZ=Mars/Base 0 0 * * *", 8, "unknown time zone 'Mars/Base'"),
        ("@reboot", 0, "none of the known aliases"),
        ("@daily 5", 7, "nothing may follow '@daily'"),
        ("@every", 6, "needs a distance like"),
        ("@every 0s", 7, "a distance from 1s to ten years"),
        ("@every 1h 5m", 10, "nothing may follow the distance"),
        ("0 " * 600, 1000, "longer than 1000 characters"),
        ("0 0 31 4,6 *", None, "never fire"),
        ("0 0 */31 2 1#5", None, "never fire"),
    ],
)
def test_refusal_says_what_is_wrong_and_where(
    expression: str, position: int | None, reason: str
) -> None:
    error = refusal(expression)

    assert reason in str(error)
    assert error.position == position


@pytest.mark.parametrize(
    "tz",
    ["", "Mars/Base", "../UTC", "/etc/passwd", "America", "right/UTC", "localtime"],
)
def test_unknown_zone_is_refused(tz: str) -> None:
    error = refusal("0 0 * * *", tz=tz)

    assert str(error) == f"unknown time zone {tz!r}"
    assert error.position is None


# Dialects


@pytest.mark.parametrize(
    ("grammar", "expression", "mark"),
    [
        (JITER, "0 0 L * *", "L"),
        (JITER, "0 0 * * 5L", "L"),
        (JITER, "0 0 1W * *", "W"),
        (JITER, "0 0 * * 1#2", "#"),
        (JITER, "0 0 ? * 1", "?"),
        (JITER, "H * * * *", "H"),
        (JITER, "@midnight", "@midnight"),
        (JITER, "@every 1h", "@every"),
        (JITER, "CRON_TZ=Asia/Tokyo 0 0 * * *", "CRON_TZ="),
        (QSTASH, "0 0 L * *", "L"),
        (QSTASH, "0 0 LW * *", "W"),
        (QSTASH, "0 0 * * 1#2", "#"),
        (QSTASH, "H/5 * * * *", "H"),
        (QSTASH, "@secondly", "@secondly"),
        (EVENTS_V1, "0 0 1W * *", "W"),
        (EVENTS_V1, "H * * * *", "H"),
        (EVENTS_V1, "@midnight", "@midnight"),
        (EVENTS_V1, "@every 1h", "@every"),
        (EVENTS_V1, "TZ=Asia/Tokyo 0 0 * * *", "TZ="),
    ],
)
def test_what_a_grammar_does_not_take_is_refused_by_name(
    grammar: Grammar, expression: str, mark: str
) -> None:
    error = refusal(expression, grammar=grammar)

    assert str(error) == f"'{mark}' is not supported here"
    assert error.position is not None
    assert parse(expression, grammar=FULL)


@pytest.mark.parametrize("grammar", [JITER, QSTASH])
def test_seconds_are_refused_by_name(grammar: Grammar) -> None:
    error = refusal("0 0 12 * * *", grammar=grammar)

    assert "a field of seconds is not supported here" in str(error)
    assert error.position == 11


@pytest.mark.parametrize(
    ("grammar", "expression"),
    [
        (JITER, "*/5 0-6,22 1,15 jan-Mar MON-7/2"),
        (JITER, "@annually"),
        (QSTASH, "CRON_TZ=America/New_York */5 * * * *"),
        (QSTASH, "TZ=Asia/Tokyo @midnight"),
        (QSTASH, "*/10 * * * * "),
        (EVENTS_V1, "* * * 1 * *"),
        (EVENTS_V1, "* 5 * * *"),
        (EVENTS_V1, "0 0 0 L * ?"),
        (EVENTS_V1, "0 0 * * 5L"),
        (EVENTS_V1, "0 0 ? * 1#2"),
        (EVENTS_V1, "*/100 1,2,2 * * *"),
        (EVENTS_V1, "@secondly"),
    ],
)
def test_each_grammar_takes_its_own(grammar: Grammar, expression: str) -> None:
    assert parse(expression, grammar=grammar) == parse(expression)


def test_fewer_than_five_fields_never_become_every_minute() -> None:
    for grammar in (FULL, JITER, QSTASH, EVENTS_V1):
        for few in ("", " ", "5", "0 12", "0 12 1 *"):
            assert "needs 5 fields" in str(refusal(few, grammar=grammar))
