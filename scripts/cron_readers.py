"""Reads the cron cases with Python libraries; `cron_scores.py` runs it where they are.

It gets cases as JSON on stdin, and prints for each library its version and its readings
by the ids of the cases: fire times in epoch ms, None if it refuses the expression.
"""

import json
import sys
from apscheduler.triggers.cron import CronTrigger
from collections.abc import Callable, Iterator
from croniter import croniter
from cronsim import CronSim
from datetime import datetime, timedelta
from importlib.metadata import version
from itertools import islice
from zoneinfo import ZoneInfo

Times = Iterator[datetime | None]


def _croniter(expression: str, start: datetime) -> Times:
    # As in the cases, the first of six fields has the seconds.
    return croniter(expression, start, second_at_beginning=True).all_next(datetime)


def _cronsim(expression: str, start: datetime) -> Times:
    return iter(CronSim(expression, start))


def _apscheduler(expression: str, start: datetime) -> Times:
    trigger = CronTrigger.from_crontab(expression, timezone=start.tzinfo)
    at, now = None, start + timedelta(microseconds=1)
    while True:
        at = trigger.get_next_fire_time(at, now)
        yield at
        now = at or now


READERS: dict[str, Callable[[str, datetime], Times]] = {
    "croniter": _croniter,
    "cronsim": _cronsim,
    "APScheduler": _apscheduler,
}


def answer(
    reader: Callable[[str, datetime], Times], case: dict[str, str]
) -> list[int] | None:
    """Return the first fire times after the start, or None if there is none."""
    start = datetime.fromisoformat(case["start"]).astimezone(ZoneInfo(case["tz"]))
    try:
        found = [at for at in islice(reader(case["expression"], start), 5) if at]
    except Exception:
        # Each library has errors of its own, and some raise any for a wrong text.
        return None
    return [round(at.timestamp() * 1000) for at in found] or None


def main() -> None:
    """Answer all cases with each library."""
    cases = json.load(sys.stdin)
    readings = {
        f"{name} {version(name)}": {case["id"]: answer(reader, case) for case in cases}
        for name, reader in READERS.items()
    }
    json.dump(readings, sys.stdout)


if __name__ == "__main__":
    main()
