"""Tests of schedule options: accepted and refused values, and responses."""

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
def test_an_option_is_set_and_null_resets_it(
    name: str, value: Any, expected: dict[str, Any]
) -> None:
    options = apply_options({name: value}, ZonedOptions())

    assert options == ZonedOptions(options=replace(ScheduleOptions(), **expected))
    assert apply_options({}, options) == options
    assert apply_options({name: None}, options) == ZonedOptions()


def test_a_time_zone_is_set_and_null_resets_it() -> None:
    options = apply_options({"timeZone": "Asia/Tokyo"}, ZonedOptions())

    assert options.tz == "Asia/Tokyo"
    assert apply_options({"timeZone": None}, options).tz == "UTC"


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
def test_a_wrong_value_is_refused_with_the_name_of_the_option(
    name: str, values: list[Any]
) -> None:
    for value in values:
        with pytest.raises(BadOption) as raised:
            apply_options({name: value}, ZonedOptions())

        assert raised.value.name == name
        assert len(str(raised.value)) < 150


@pytest.mark.parametrize("maximum", [0, 1_001, "many"])
def test_most_missed_is_from_1_to_1000(maximum: Any) -> None:
    with pytest.raises(BadOption):
        apply_options({"missedRuns": "all", "mostMissed": maximum}, ZonedOptions())


def test_most_missed_needs_missed_runs_all() -> None:
    limited = apply_options({"missedRuns": "all", "mostMissed": 5}, ZonedOptions())

    assert limited.options.max_missed == 5
    assert apply_options({"mostMissed": None}, limited).options.max_missed == 100
    assert apply_options({"missedRuns": "skip"}, limited).options.max_missed == 0
    with pytest.raises(BadOption):
        apply_options({"missedRuns": "latest", "mostMissed": 5}, ZonedOptions())


def test_a_start_after_the_end_is_refused() -> None:
    with_end = apply_options({"endDate": NOON}, ZonedOptions())

    with pytest.raises(BadOption):
        apply_options({"startDate": "2031-01-01T00:00Z"}, with_end)
    assert apply_options({"startDate": NOON}, with_end).options.start_ms == NOON_MS


def test_the_refusal_of_an_unknown_option_lists_the_known_ones() -> None:
    with pytest.raises(BadOption, match=r"maxRun is unknown.*maxRuns"):
        apply_options({"maxRun": 1}, ZonedOptions())
    with pytest.raises(BadOption, match=r"scheduler-Max-Run is.*Scheduler-Max-Runs"):
        read_headers([("scheduler-Max-Run", "1")])


def test_names_of_headers_are_case_insensitive() -> None:
    values = read_headers(
        [
            ("SCHEDULER-TIME-ZONE", " Asia/Tokyo "),
            ("scheduler-max-runs", "3"),
            ("Scheduler-Jitter", ""),
            ("Scheduler-Event-Id", "7"),
            ("Upstash-Retries", "3"),
        ]
    )

    assert values == {"timeZone": "Asia/Tokyo", "maxRuns": "3"}


def test_rendered_options_can_be_applied_again() -> None:
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

    rendered = schedule_options.render(schedule)

    assert rendered.keys() == set(schedule_options.NAMES)
    assert apply_options(rendered, ZonedOptions()) == ZonedOptions.of(schedule)
