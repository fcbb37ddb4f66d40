"""Compares the runs of a cron expression here and elsewhere. Pure."""

from croniter import CroniterError, croniter
from datetime import datetime, timedelta
from itertools import islice
from scheduler_api.core.cron.expression import Cron, Every, parse
from scheduler_api.core.cron.preview import preview
from scheduler_api.core.cron.zones import PREFIX

COMPARED_RUNS = 20
DAY_AND_TIME = "%a %Y-%m-%d %H:%M"


def differing_runs(cron: Cron, *, after_ms: int) -> list[tuple[str, str, str]]:
    """Compare the next runs with those of another reader of cron expressions.

    Returns rows (here, the other reader, note), or no rows if all runs are the same, or
    the other reader has none, and no clock change affects them. Both times are local.

    Raises: CronError.
    """
    runs = preview(cron, after_ms=after_ms, count=COMPARED_RUNS).runs
    start = preview(parse("* * * * *", tz=cron.tz), after_ms=after_ms, count=1).runs[0]
    others = _others(cron.expression, start.local)
    ours = [(f"{run.local:{DAY_AND_TIME}}", run.note) for run in runs]
    is_same = not others or [at for at, _ in ours] == others
    if is_same and not any(note for _, note in ours):
        return []
    others += ["-"] * (len(ours) - len(others))
    return [(at, other, note) for (at, note), other in zip(ours, others, strict=True)]


def is_next(cron: Cron, at_ms: int, *, after_ms: int) -> bool:
    """Whether a time is that of the next run here.

    It may have passed meanwhile. The times of an interval depend on its start, so any
    time is.

    Raises: CronError.
    """
    start_ms = min(at_ms - 1, after_ms)
    if isinstance(cron.rule, Every):
        return True
    return preview(cron, after_ms=start_ms, count=1).runs[0].at_ms == at_ms


def _others(expression: str, start: datetime) -> list[str]:
    """Return runs from a local time on, or none if croniter refuses the expression."""
    zone, _, rest = expression.strip().partition(" ")
    text = rest if PREFIX.match(zone) else expression
    try:
        times = croniter(text, start - timedelta(seconds=1)).all_next(datetime)
        return [f"{at:{DAY_AND_TIME}}" for at in islice(times, COMPARED_RUNS)]
    except CroniterError:
        return []
