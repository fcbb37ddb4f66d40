"""Decides after an attempt whether its event is delivered, dead or retried."""

import re
from collections.abc import Callable
from scheduler_api.core.delivery.request import Decision, Reply
from scheduler_api.core.model import Begun, Outcome
from scheduler_api.core.timestamps import from_http_date

LONGEST_WAIT_MS = 86_400_000
BLOCKED, GROUP_MISSING = "blocked", "group-missing"
EXHAUSTED, END = "exhausted", "end"
# Errors that a retry cannot fix.
PERMANENT = frozenset((BLOCKED, GROUP_MISSING, "bad-url", "bad-header"))
# Permanent errors whose code becomes the reason of the dead letter. For all other
# permanent errors, the reason is EXHAUSTED.
REASONS = frozenset((BLOCKED, GROUP_MISSING))
DELIVERED = Decision(Outcome.DELIVERED)
RETRY_AFTER_STATUSES = frozenset((429, 503))

_SECONDS = re.compile(r"[0-9]{1,15}")
_DATE_LENGTH = 64


def is_success(reply: Reply) -> bool:
    """Whether there is a response with a status from 200 to 299."""
    return (
        reply.error is None and reply.status is not None and 200 <= reply.status < 300
    )


def decide(
    begun: Begun, reply: Reply, next_delay_ms: Callable[[Begun, Reply], int | None]
) -> Decision:
    """Decide what happens to the event, by the rules that all dialects share.

    The event is dead if its retry would begin after the end of its schedule.

    Args:
        next_delay_ms: returns the time from the end of the attempt to the retry, or
            None if there are no more retries. Not called for permanent errors.
    """
    if is_success(reply):
        return DELIVERED
    if reply.error in PERMANENT:
        reason = str(reply.error) if reply.error in REASONS else EXHAUSTED
        return Decision(Outcome.DEAD, reason=reason)
    delay_ms = next_delay_ms(begun, reply)
    if delay_ms is None:
        return Decision(Outcome.DEAD, reason=EXHAUSTED)
    if begun.left_ms is not None and reply.total_ms + delay_ms > begun.left_ms:
        return Decision(Outcome.DEAD, reason=END)
    return Decision(Outcome.RETRY, delay_ms=delay_ms)


def planned_delay_ms(
    begun: Begun, reply: Reply, *, delays_ms: tuple[int, ...]
) -> int | None:
    """Return the wait before the next retry in ms, None after the last retry.

    A `Retry-After` with status 429 or 503 can lengthen the wait, but not shorten it.

    Args:
        delays_ms: the wait before each retry, in order.
    """
    if begun.failures >= len(delays_ms):
        return None
    requested_ms = 0
    if reply.status in RETRY_AFTER_STATUSES:
        ended_ms = reply.started_ms + int(reply.total_ms)
        requested_ms = retry_after_ms(_header(reply, "retry-after"), now_ms=ended_ms)
    return max(delays_ms[begun.failures], requested_ms)


def retry_after_ms(value: str, *, now_ms: int) -> int:
    """Return the wait in ms that a `Retry-After` requests, at most a day.

    The wait is 0 for malformed values and dates in the past.
    """
    text = value.strip()
    if _SECONDS.fullmatch(text):
        return min(int(text) * 1000, LONGEST_WAIT_MS)
    moment_ms = from_http_date(text) if len(text) <= _DATE_LENGTH else None
    if moment_ms is None:
        return 0
    return max(0, min(moment_ms - now_ms, LONGEST_WAIT_MS))


def _header(reply: Reply, name: str) -> str:
    return next((value for key, value in reply.headers if key.lower() == name), "")
