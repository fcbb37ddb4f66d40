"""Property-based tests of generated cron expressions, in many time zones."""

import pytest
from datetime import UTC, date, datetime, timedelta
from functools import cache
from hypothesis import given, settings
from hypothesis import strategies as st
from itertools import islice, pairwise
from scheduler_api.core.cron.expression import CronError, parse, upcoming
from tests.core.cron.cron_times import NEW_YORK, ZONES, ms, times
from zoneinfo import ZoneInfo

minutes = st.integers(0, 59)
hours = st.integers(0, 23)


def listed(numbers: st.SearchStrategy[int], *, maximum: int) -> st.SearchStrategy[str]:
    lists = st.lists(numbers, min_size=1, max_size=maximum)
    return lists.map(lambda some: ",".join(map(str, some)))


def stepped(steps: st.SearchStrategy[int]) -> st.SearchStrategy[str]:
    return st.one_of(st.just("*"), steps.map(lambda step: f"*/{step}"))


expressions = st.builds(
    "{} {} {} {} {}".format,
    st.one_of(listed(minutes, maximum=5), stepped(st.integers(1, 40))),
    st.one_of(listed(hours, maximum=5), stepped(st.integers(1, 12))),
    # Days up to 28 exist in every month, so every generated expression fires.
    st.one_of(listed(st.integers(1, 28), maximum=5), stepped(st.integers(1, 15))),
    st.one_of(listed(st.integers(1, 12), maximum=5), st.just("*")),
    st.one_of(listed(st.integers(0, 7), maximum=3), st.just("*")),
)
instants = st.integers(ms("2000-01-01T00:00Z"), ms("2035-01-01T00:00Z"))


@cache
def unfolded(text: str, *, low: int, high: int) -> set[int]:
    """Return all numbers that a field of an expression matches."""
    if not text.startswith("*"):
        return set(map(int, text.split(",")))
    step = int(text.partition("/")[2] or 1)
    return {number for number in range(low, high + 1) if (number - low) % step == 0}


def matches(expression: str, local: datetime) -> bool:
    """Return whether a local time matches an expression."""
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
def test_times_are_strictly_ascending_and_after_the_start(
    expression: str, tz: str, after_ms: int
) -> None:
    got = list(islice(upcoming(parse(expression, tz=tz), after_ms=after_ms), 50))

    assert all(earlier < later for earlier, later in pairwise([after_ms, *got]))


@given(expressions, st.sampled_from(ZONES), instants, st.integers(0, 29))
@settings(max_examples=60, deadline=None)
def test_starting_at_a_fire_time_gives_the_times_that_follow_it(
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
    # The window starts just before the first fire time, and so contains this fire time.
    start = datetime.fromtimestamp(first_ms // 1000, UTC) - timedelta(minutes=1)
    window = [start + timedelta(minutes=n) for n in range(1, 1440)]
    wanted = [moment for moment in window if matches(expression, moment)]

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
    wanted = [moment for moment in window if matches(midnights, moment)]

    got = times(midnights, after=midnight.isoformat(), count=len(wanted))

    assert got == [f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in wanted]


# Clock changes. Some happen at midnight, and some are half an hour or two hours long.
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
def test_a_wildcard_fires_at_every_minute_that_matches_the_local_time(
    tz: str, change: str, expression: str
) -> None:
    start = datetime.fromisoformat(change) - timedelta(hours=4)
    window = [start + timedelta(minutes=n) for n in range(1, 12 * 60)]
    wanted = [
        f"{moment:%Y-%m-%dT%H:%M:%SZ}"
        for moment in window
        if matches(expression, moment.astimezone(ZoneInfo(tz)))
    ]

    got = times(expression, after=start.isoformat(), count=len(wanted), tz=tz)

    assert got == wanted


@pytest.mark.parametrize(
    ("tz", "change"),
    # Clocks went forward by 44.5 minutes in Monrovia, and by 28 seconds in Amsterdam.
    [
        (NEW_YORK, "2025-03-09T07:00Z"),
        (NEW_YORK, "2025-11-02T06:00Z"),
        ("Africa/Monrovia", "1972-01-07T00:44:30Z"),
        ("Europe/Amsterdam", "1937-06-30T22:40:28Z"),
    ],
)
@pytest.mark.parametrize("seconds", ["*", "*/7", "*/45"])
def test_a_wildcard_fires_at_every_second_that_matches_the_local_time(
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
