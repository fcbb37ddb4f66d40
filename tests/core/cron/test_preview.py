"""Tests of previews of cron expressions.

A preview must have the same fire times as the engine.
"""

import pytest
from datetime import datetime
from itertools import islice, product
from scheduler_api.core.cron.clock_changes import ClockChange, Fold, Gap
from scheduler_api.core.cron.expression import CronError, parse, upcoming
from scheduler_api.core.cron.preview import MAX_RUNS, Preview, preview
from zoneinfo import ZoneInfo

NEW_YORK = "America/New_York"
SPRING, AUTUMN = "2025-03-09T00:00-05:00", "2025-11-02T00:00-04:00"
FORWARD = "clocks go forward from 02:00 to 03:00"
BACK = "clocks go back from 02:00 to 01:00"


def ms(iso: str) -> int:
    return round(datetime.fromisoformat(iso).timestamp() * 1000)


def preview_of(
    expression: str,
    *,
    after: str,
    count: int,
    tz: str = NEW_YORK,
    gap: Gap = Gap.AFTER,
    fold: Fold = Fold.FIRST,
) -> Preview:
    cron = parse(expression, tz=tz, policy=ClockChange(gap, fold))
    return preview(cron, after_ms=ms(after), count=count)


def runs(found: Preview) -> list[tuple[str, str]]:
    return [(f"{run.local:%d %H:%M}", run.note) for run in found.runs]


def skipped(found: Preview) -> list[tuple[str, str]]:
    return [(f"{each.local:%d %H:%M}", each.reason) for each in found.skipped]


def test_a_run_without_a_clock_change_has_no_note() -> None:
    found = preview_of("0 9 * * *", after=SPRING, count=1)

    assert runs(found) == [("09 09:00", "")]
    assert found.runs[0].at_ms == ms("2025-03-09T13:00Z")


def test_times_in_a_gap_share_a_run_whose_note_lists_them() -> None:
    found = preview_of("0,15,30 2,3 * * *", after=SPRING, count=2)

    assert runs(found) == [
        ("09 03:00", f"moved here from 02:00 and 02:15 and 02:30: {FORWARD}"),
        ("09 03:15", ""),
    ]
    assert skipped(found) == []


def test_many_times_in_a_gap_are_counted_in_the_note() -> None:
    found = preview_of("0-59 2 * * *", after=SPRING, count=1)

    note = f"moved here from 60 times between 02:00 and 02:59: {FORWARD}"
    assert runs(found) == [("09 03:00", note)]


def test_the_note_of_a_shifted_run_has_its_original_time() -> None:
    found = preview_of("30 2,3 * * *", after=SPRING, count=1, gap=Gap.SHIFT)

    assert runs(found) == [("09 03:30", f"moved here from 02:30: {FORWARD}")]


def test_a_skipped_time_has_a_reason() -> None:
    found = preview_of("30 2 * * *", after=SPRING, count=1, gap=Gap.SKIP)

    assert runs(found) == [("10 02:30", "")]
    assert skipped(found) == [("09 02:30", f"clock change: {FORWARD}")]


def test_a_rule_that_follows_the_clock_lists_its_skipped_times() -> None:
    found = preview_of("*/30 2 * * *", after=SPRING, count=1)

    assert [local for local, _ in skipped(found)] == ["09 02:00", "09 02:30"]


@pytest.mark.parametrize(
    ("fold", "passes"),
    [
        (Fold.FIRST, ["first"]),
        (Fold.SECOND, ["second"]),
        (Fold.BOTH, ["first", "second"]),
    ],
)
def test_a_run_in_a_fold_notes_its_pass(fold: Fold, passes: list[str]) -> None:
    found = preview_of("30 1 * * *", after=AUTUMN, count=len(passes), fold=fold)

    assert runs(found) == [
        ("02 01:30", f"the {which} of two 01:30: {BACK}") for which in passes
    ]


def test_the_reason_for_a_skipped_day_has_dates() -> None:
    found = preview_of(
        "0 12 * * *", after="2011-12-30T00:00Z", count=1, tz="Pacific/Apia"
    )

    words = "clocks go forward from 2011-12-30 to 2011-12-31"
    assert skipped(found) == [("30 12:00", f"clock change: {words}")]


def test_only_times_skipped_between_the_start_and_the_last_run_are_listed() -> None:
    before = preview_of("30 1,2 * * *", after=SPRING, count=1, gap=Gap.SKIP)
    across = preview_of("30 1,2 * * *", after=SPRING, count=2, gap=Gap.SKIP)
    later = preview_of("30 2 * * *", after="2025-03-09T07:00Z", count=1, gap=Gap.SKIP)

    assert skipped(before) == []
    assert [local for local, _ in skipped(across)] == ["09 02:30"]
    assert skipped(later) == []


def test_the_list_of_skipped_times_is_bounded() -> None:
    found = preview_of("* * 2 * * *", after=SPRING, count=1)

    assert len(found.skipped) == MAX_RUNS


def test_an_interval_starts_at_the_given_instant() -> None:
    found = preview_of("@every 40m", after="2025-03-09T01:30-05:00", count=2)

    assert runs(found) == [("09 03:10", ""), ("09 03:50", "")]


def test_a_rule_that_clock_changes_always_skip_is_refused() -> None:
    with pytest.raises(CronError, match="the expression never fires"):
        preview_of("*/30 2 * 3 0#2", after=SPRING, count=1)


@pytest.mark.parametrize(("gap", "fold"), list(product(Gap, Fold)))
@pytest.mark.parametrize(
    "expression", ["10,40 * * * *", "5,35 0-4 * * *", "20 1,2 * 3,11 *", "@every 50m"]
)
def test_a_preview_has_the_fire_times_of_the_engine(
    expression: str, gap: Gap, fold: Fold
) -> None:
    cron = parse(expression, tz=NEW_YORK, policy=ClockChange(gap, fold))

    for start in ("2025-03-08T20:00Z", "2025-03-09T07:05Z", "2025-11-02T05:35Z"):
        found = preview(cron, after_ms=ms(start), count=40)
        assert [run.at_ms for run in found.runs] == list(
            islice(upcoming(cron, after_ms=ms(start)), 40)
        )
        zone = ZoneInfo(NEW_YORK)
        for run in found.runs:
            moment = datetime.fromtimestamp(run.at_ms / 1000, zone)
            assert run.local == moment.replace(tzinfo=None)
