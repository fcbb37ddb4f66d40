"""What a preview shows; that it agrees with the engine is held for every policy."""

import pytest
from datetime import datetime
from itertools import islice, product
from scheduler_api.core.cron.clock_changes import ClockChange, Fold, Gap
from scheduler_api.core.cron.expression import CronError, parse, upcoming
from scheduler_api.core.cron.preview import MOST, Preview, preview
from zoneinfo import ZoneInfo

NEW_YORK = "America/New_York"
SPRING, AUTUMN = "2025-03-09T00:00-05:00", "2025-11-02T00:00-04:00"
FORWARD = "clocks go forward from 02:00 to 03:00"
BACK = "clocks go back from 02:00 to 01:00"


def ms(iso: str) -> int:
    return round(datetime.fromisoformat(iso).timestamp() * 1000)


def shown(
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
    return [(f"{each.local:%d %H:%M}", each.why) for each in found.skipped]


def test_run_that_no_clock_change_touches_has_no_note() -> None:
    found = shown("0 9 * * *", after=SPRING, count=1)

    assert runs(found) == [("09 09:00", "")]
    assert found.runs[0].at_ms == ms("2025-03-09T13:00Z")


def test_times_that_run_after_a_gap_are_one_run_that_names_them() -> None:
    found = shown("0,15,30 2,3 * * *", after=SPRING, count=2)

    assert runs(found) == [
        ("09 03:00", f"moved here from 02:00 and 02:15 and 02:30: {FORWARD}"),
        ("09 03:15", ""),
    ]
    assert skipped(found) == []


def test_many_times_that_run_after_a_gap_are_counted() -> None:
    found = shown("0-59 2 * * *", after=SPRING, count=1)

    note = f"moved here from 60 times between 02:00 and 02:59: {FORWARD}"
    assert runs(found) == [("09 03:00", note)]


def test_time_that_is_put_off_is_named_where_it_runs() -> None:
    found = shown("30 2,3 * * *", after=SPRING, count=1, gap=Gap.SHIFT)

    assert runs(found) == [("09 03:30", f"moved here from 02:30: {FORWARD}")]


def test_skipped_time_is_told_with_its_reason() -> None:
    found = shown("30 2 * * *", after=SPRING, count=1, gap=Gap.SKIP)

    assert runs(found) == [("10 02:30", "")]
    assert skipped(found) == [("09 02:30", f"clock change: {FORWARD}")]


def test_rule_that_follows_the_clock_tells_what_it_skips() -> None:
    found = shown("*/30 2 * * *", after=SPRING, count=1)

    assert [local for local, _ in skipped(found)] == ["09 02:00", "09 02:30"]


@pytest.mark.parametrize(
    ("fold", "passes"),
    [
        (Fold.FIRST, ["first"]),
        (Fold.SECOND, ["second"]),
        (Fold.BOTH, ["first", "second"]),
    ],
)
def test_doubled_time_tells_its_pass(fold: Fold, passes: list[str]) -> None:
    found = shown("30 1 * * *", after=AUTUMN, count=len(passes), fold=fold)

    assert runs(found) == [
        ("02 01:30", f"the {which} of two 01:30: {BACK}") for which in passes
    ]


def test_skipped_day_is_told_by_its_date() -> None:
    found = shown("0 12 * * *", after="2011-12-30T00:00Z", count=1, tz="Pacific/Apia")

    words = "clocks go forward from 2011-12-30 to 2011-12-31"
    assert skipped(found) == [("30 12:00", f"clock change: {words}")]


def test_only_what_is_skipped_between_the_instant_and_the_last_run_is_told() -> None:
    before = shown("30 1,2 * * *", after=SPRING, count=1, gap=Gap.SKIP)
    across = shown("30 1,2 * * *", after=SPRING, count=2, gap=Gap.SKIP)
    later = shown("30 2 * * *", after="2025-03-09T07:00Z", count=1, gap=Gap.SKIP)

    assert skipped(before) == []
    assert [local for local, _ in skipped(across)] == ["09 02:30"]
    assert skipped(later) == []


def test_no_more_is_told_as_skipped_than_a_reader_bears() -> None:
    found = shown("* * 2 * * *", after=SPRING, count=1)

    assert len(found.skipped) == MOST


def test_distance_is_counted_from_the_instant() -> None:
    found = shown("@every 40m", after="2025-03-09T01:30-05:00", count=2)

    assert runs(found) == [("09 03:10", ""), ("09 03:50", "")]


def test_rule_that_clock_changes_always_skip_is_refused() -> None:
    with pytest.raises(CronError, match="it never fires"):
        shown("*/30 2 * 3 0#2", after=SPRING, count=1)


@pytest.mark.parametrize(("gap", "fold"), list(product(Gap, Fold)))
@pytest.mark.parametrize(
    "expression", ["10,40 * * * *", "5,35 0-4 * * *", "20 1,2 * 3,11 *", "@every 50m"]
)
def test_shows_the_fire_times_of_the_engine(
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
