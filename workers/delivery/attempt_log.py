"""Logs a line for each attempt, within limits."""

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from scheduler_api.core import logfmt, public_ids
from scheduler_api.core.delivery.causes import cause
from scheduler_api.core.delivery.destinations import BadDestination, parse
from scheduler_api.core.delivery.retry import BLOCKED
from scheduler_api.core.delivery.routes import route
from scheduler_api.core.log_limit import LogLimit, describe
from scheduler_api.core.model import Outcome, Owner
from scheduler_api.core.store.leases import Settled, Settlement
from scheduler_api.core.timestamps import to_iso

log = logging.getLogger("scheduler.worker")

LINES_PER_S = 20
# So many of these lines are left to failures.
FAILURES_PER_S = 10
FAILURES_PER_MINUTE = 10
DELIVERED, FAILED, DEAD = "delivered", "failed", "dead"
UNCHARGED = "uncharged"
LEVELS = {
    DELIVERED: logging.DEBUG,
    FAILED: logging.INFO,
    UNCHARGED: logging.INFO,
    DEAD: logging.WARNING,
}
NAMES = {
    DELIVERED: "attempt.delivered",
    FAILED: "attempt.failed",
    UNCHARGED: "attempt.uncharged",
    DEAD: "event.dead",
}
BLOCKED_HINT = "see SCHED_ALLOW_NETWORKS, SCHED_DESTINATION_PORTS, SCHED_HTTPS_ONLY"


class AttemptLog:
    """Logs attempts that the store has settled.

    At the level `debug`, all attempts are logged, up to 20 a second, of which 10 are
    left to failures. At higher levels, only failures are logged, up to 10 a minute for
    each route. What exceeds a limit is summed up in one line. Lines name the origin of
    a URL: path and query may have secrets.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._logs_all = log.isEnabledFor(logging.DEBUG)
        self._limit = LogLimit(
            limit=LINES_PER_S if self._logs_all else FAILURES_PER_MINUTE,
            period_s=1 if self._logs_all else 60,
            sum_up=_sum_up,
            clock=clock,
        )

    def add(self, owner: Owner, settlement: Settlement, settled: Settled) -> None:
        """Log an attempt, or count it for the next summary."""
        if settlement.outcome is Outcome.DELIVERED and not self._logs_all:
            return
        kind = _kind(settlement, settled)
        if not log.isEnabledFor(LEVELS[kind]):
            return
        key = "" if self._logs_all else _route(settlement.report.url)
        reserve = FAILURES_PER_S if kind == DELIVERED else 0
        if self._limit.admits(key, kind, reserve=reserve):
            _log(kind, owner, settlement, settled)

    def close(self) -> None:
        """Log the last summary."""
        self._limit.close()


def _kind(settlement: Settlement, settled: Settled) -> str:
    if settlement.outcome is Outcome.DELIVERED:
        return DELIVERED
    if settlement.outcome in (Outcome.INTERRUPTED, Outcome.UNSENT):
        return UNCHARGED
    # If a retry would begin after the event's end, the store makes the event dead.
    is_last = settlement.outcome is Outcome.DEAD or not settled.next_ms
    return DEAD if is_last and settled.code in ("settled", "repeated") else FAILED


def _log(kind: str, owner: Owner, settlement: Settlement, settled: Settled) -> None:
    report = settlement.report
    found = cause(report.status, report.error, report.detail)
    # Unlike tenants, operators may read the detail of every code. Without a code, the
    # detail says why the response body is incomplete.
    reason, body = (report.detail, "") if report.error else ("", report.detail)
    log.log(
        LEVELS[kind],
        logfmt.line(
            NAMES[kind],
            event=public_ids.event_id(owner, settlement.event_id),
            owner=owner,
            attempt=settlement.attempt,
            origin=_origin(report.url),
            status=report.status,
            error=found and found.code,
            cause=found and (reason or found.sentence),
            body=body or None,
            hint=BLOCKED_HINT if report.error == BLOCKED else None,
            ms=report.total_ms,
            next=to_iso(settled.next_ms) if settled.next_ms else None,
            reason=settlement.reason or None,
            contact=(report.contact or None) if kind == DEAD else None,
            stored=None if settled.code == "settled" else settled.code,
        ),
    )


def _origin(url: str) -> str | None:
    try:
        return str(parse(url).origin)
    except BadDestination:
        return None


def _route(url: str) -> str:
    try:
        return route(url)
    except BadDestination:
        return ""


def _sum_up(left_out: Mapping[str, Counter[str]]) -> None:
    by_origin: defaultdict[str | None, Counter[str]] = defaultdict(Counter)
    for key, counts in left_out.items():
        by_origin[_origin(key)] += counts
    for origin, counts in by_origin.items():
        log.log(
            logging.WARNING if counts[DEAD] else logging.INFO,
            logfmt.line(
                "attempts.more", origin=origin, summary=describe(counts), **counts
            ),
        )
