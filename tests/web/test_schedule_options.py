"""Options of schedules: what is taken, what is refused, what is told."""

import pytest
from dataclasses import replace
from scheduler_api.core.cron.clock_changes import ClockChange, Fold, Gap
from scheduler_api.core.model import (
    Content,
    MissedRuns,
    Overlap,
    Owner,
    Schedule,
    ScheduleOptions,
)
from scheduler_api.web import schedule_options
from scheduler_api.web.schedule_options import (
    BadOption,
    ZonedOptions,
    apply_options,
    read_headers,
)
from typing import Any

HOUR_MS = 3_600_000
NOON_MS = 1_924_948_800_000
NOON = "2030-12-31T12:00:00Z"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("gap", "shift", {"clock": ClockChange(gap=Gap.SHIFT)}),
        ("fold", "SECOND", {"clock": ClockChange(fold=Fold.SECOND)}),
        ("missedRuns", "skip", {"missed_runs": MissedRuns.SKIP}),
        ("missedRuns", "all", {"missed_runs": MissedRuns.ALL, "max_missed": 100}),
        ("startDate", NOON, {"start_ms": NOON_MS}),
        ("endDate", "2030-12-31T13:00+01:00", {"end_ms": NOON_MS}),
        ("maxRuns", 3, {"max_runs": 3}),
        ("maxRuns", "3", {"max_runs": 3}),
        ("jitter", "1h", {"jitter_ms": HOUR_MS}),
        ("jitter", "1m30s", {"jitter_ms": 90_000}),
        ("jitter", 90, {"jitter_ms": 90_000}),
        ("jitter", "90", {"jitter_ms": 90_000}),
        ("jitter", "0s", {}),
        ("overlap", "queue", {"overlap": Overlap.QUEUE}),
    ],
)
def test_an_option_says_one_thing_and_null_takes_it_back(
    name: str, value: Any, expected: dict[str, Any]
) -> None:
    said = apply_options({name: value}, ZonedOptions())

    assert said == ZonedOptions(options=replace(ScheduleOptions(), **expected))
    assert apply_options({}, said) == said
    assert apply_options({name: None}, said) == ZonedOptions()


def test_a_time_zone_is_said_and_taken_back() -> None:
    said = apply_options({"timeZone": "Asia/Tokyo"}, ZonedOptions())

    assert said.tz == "Asia/Tokyo"
    assert apply_options({"timeZone": None}, said).tz == "UTC"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("timeZone", ["", "Mars/Base", 7, "localtime", "a\0", ["UTC"]]),
        ("gap", ["", "never", 1, True]),
        ("fold", ["neither", [], {}]),
        ("missedRuns", ["some", 0]),
        ("overlap", ["RUNS", 1.5]),
        ("startDate", ["", "soon", 7, "2030-02-30", "1969-12-31T00:00Z", "now\0"]),
        ("endDate", ["10000-01-01T00:00Z", True, "2030"]),
        ("maxRuns", [0, -1, 1.0, True, "x", "", 10**10, "9" * 40, "-1", "٣"]),
        ("jitter", ["", "-1s", "25h", "1d", -1, True, 1.5, "s", "1s1h", "9" * 40]),
    ],
)
def test_what_is_no_value_is_refused_by_name(name: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(BadOption) as refused:
            apply_options({name: value}, ZonedOptions())

        assert refused.value.name == name
        assert len(str(refused.value)) < 150


@pytest.mark.parametrize("most", [0, 1_001, "many"])
def test_a_bound_of_missed_runs_has_limits(most: Any) -> None:
    with pytest.raises(BadOption):
        apply_options({"missedRuns": "all", "mostMissed": most}, ZonedOptions())


def test_a_bound_goes_with_all_missed_runs_only() -> None:
    bounded = apply_options({"missedRuns": "all", "mostMissed": 5}, ZonedOptions())

    assert bounded.options.max_missed == 5
    assert apply_options({"mostMissed": None}, bounded).options.max_missed == 100
    assert apply_options({"missedRuns": "skip"}, bounded).options.max_missed == 0
    with pytest.raises(BadOption):
        apply_options({"missedRuns": "latest", "mostMissed": 5}, ZonedOptions())


def test_a_start_after_the_end_is_refused() -> None:
    ends = apply_options({"endDate": NOON}, ZonedOptions())

    with pytest.raises(BadOption):
        apply_options({"startDate": "2031-01-01T00:00Z"}, ends)
    assert apply_options({"startDate": NOON}, ends).options.start_ms == NOON_MS


def test_an_unknown_option_is_refused_and_the_known_ones_are_told() -> None:
    with pytest.raises(BadOption, match=r"maxRun is unknown.*maxRuns"):
        apply_options({"maxRun": 1}, ZonedOptions())
    with pytest.raises(BadOption, match=r"scheduler-Max-Run is.*Scheduler-Max-Runs"):
        read_headers([("scheduler-Max-Run", "1")])


def test_headers_say_options_in_any_case() -> None:
    said = read_headers(
        [
            ("SCHEDULER-TIME-ZONE", " Asia/Tokyo "),
            ("scheduler-max-runs", "3"),
            ("Scheduler-Jitter", ""),
            ("Scheduler-Event-Id", "7"),
            ("Upstash-Retries", "3"),
        ]
    )

    assert said == {"timeZone": "Asia/Tokyo", "maxRuns": "3"}


def test_what_is_told_may_be_said_again() -> None:
    options = ScheduleOptions(
        missed_runs=MissedRuns.ALL,
        max_missed=7,
        start_ms=NOON_MS,
        end_ms=NOON_MS + 1,
        max_runs=3,
        jitter_ms=90_000,
        overlap=Overlap.QUEUE,
        clock=ClockChange(gap=Gap.SKIP, fold=Fold.BOTH),
    )
    schedule = Schedule.new(
        *("7", Owner("1", "jiter"), Content("https://a.example/", b"")),
        expression="@daily",
        tz="Asia/Tokyo",
        deadline_ms=1,
        options=options,
    )

    told = schedule_options.render(schedule)

    assert told.keys() == set(schedule_options.NAMES)
    assert apply_options(told, ZonedOptions()) == ZonedOptions.of(schedule)
