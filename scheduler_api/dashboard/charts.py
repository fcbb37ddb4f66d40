"""The charts of the overview, drawn as SVG, each with its figures as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from markupsafe import Markup
from scheduler_api.core.queries.recent_hours import per_minute
from scheduler_api.core.store.statistics import Hour
from scheduler_api.dashboard.svg import Picture

# The height of a chart in the units of its picture. What is not zero is at least this
# high, so that it is seen.
HEIGHT, LOWEST = 100, 2
# A minute is drawn as wide as so many minutes before and after it.
WIDENED = 2
HOURS = 24
MINUTES = HOURS * 60
# The figures of a chart of the next minutes are summed up by so many.
ROW_MINUTES = 10


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        id: unique in the page.
        highest: how much the full height stands for, in words.
        axis: labels below the chart, from left to right.
        columns, rows: the table. A row begins with a text, or a time in ms.
    """

    id: str
    title: str
    picture: Markup
    highest: str
    axis: Sequence[str]
    columns: Sequence[str]
    rows: Sequence[tuple[str | int, tuple[int, ...]]]


def next_hour(due: Sequence[int]) -> Chart:
    """Draw how much is due in each of the next minutes."""
    picture, highest = Picture(), max(due, default=0)
    for minute, count in enumerate(due):
        if count:
            height = _height(count, highest)
            tip = f"in {minute} to {minute + 1} min: {count:,}"
            picture.bar(
                *(minute + 0.1, HEIGHT - height, 0.8, height), kind="due", tip=tip
            )
    starts = range(0, len(due), ROW_MINUTES)
    return Chart(
        id="next-hour",
        title="Due in the next hour",
        picture=_stretched(
            picture, len(due), f"Events and schedules due per minute: {sum(due):,}"
        ),
        highest=f"{highest:,} in a minute",
        axis=("now", f"in {len(due) // 2} min", f"in {len(due)} min"),
        columns=("From now", "Due"),
        rows=[
            (f"{n} to {n + ROW_MINUTES} min", (sum(due[n : n + ROW_MINUTES]),))
            for n in starts
        ],
    )


def last_day(hours: Sequence[Hour], *, now_ms: int) -> Chart:
    """Draw how many attempts delivered and failed in each minute of the last day."""
    delivered = per_minute(hours, "delivered", count=MINUTES, now_ms=now_ms)
    failed = per_minute(hours, "failed", count=MINUTES, now_ms=now_ms)
    highest = max(*delivered, *failed)
    picture = Picture()
    for counts, kind in ((delivered, "delivered"), (failed, "failed")):
        heights = [_height(each, highest) for each in counts]
        picture.steps(_widened(heights), base=HEIGHT, kind=kind)
    title = (
        f"Attempts per minute in the last 24 hours: {sum(delivered):,} delivered,"
        f" {sum(failed):,} failed"
    )
    return Chart(
        id="last-day",
        title="Deliveries and failures in the last 24 hours",
        picture=_stretched(picture, MINUTES, title),
        highest=f"{highest:,} in a minute",
        axis=("24 h ago", "12 h ago", "now"),
        columns=("Hour from", "Delivered", "Failed attempts"),
        rows=[
            (hour.starts_ms, (hour.delivered.total(), hour.failed.total()))
            for hour in reversed(hours)
            if hour.delivered or hour.failed
        ],
    )


def _height(count: int, highest: int) -> int:
    return max(LOWEST, round(HEIGHT * count / highest)) if count else 0


def _widened(heights: Sequence[int]) -> list[int]:
    """Widen each step, so that a minute is seen on a narrow screen."""
    margin = [0] * WIDENED
    padded = [*margin, *heights, *margin]
    shifted = (padded[n : n + len(heights)] for n in range(2 * WIDENED + 1))
    return list(map(max, *shifted))


def _stretched(picture: Picture, width: int, title: str) -> Markup:
    # `Picture` escapes all text.
    return Markup(picture.stretched(width=width, height=HEIGHT, title=title))
