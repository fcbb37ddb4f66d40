"""Logs requests that a full store refuses: one line and one summary each minute."""

import atexit
import logging
from collections import Counter
from collections.abc import Mapping
from scheduler_api.core import logfmt
from scheduler_api.core.log_limit import LogLimit, describe

log = logging.getLogger("scheduler.web")

PERIOD_S = 60


def _sum_up(left_out: Mapping[str, Counter[str]]) -> None:
    for counts in left_out.values():
        log.warning(logfmt.line("store.full", summary=describe(counts), **counts))


_limit = LogLimit(limit=1, period_s=PERIOD_S, sum_up=_sum_up)
atexit.register(_limit.close)


def log_refused(kind: str) -> None:
    """Log or count that the store was too full, for example for one of `requests`."""
    if _limit.admits("", kind):
        log.warning(logfmt.line("store.full", refused=kind))
