"""When to try again: arithmetic over what a receiver answered; no clock, no store."""

import re
from scheduler_api.core.delivery.request import Reply
from scheduler_api.core.timestamps import from_http_date

LONGEST_WAIT_MS = 86_400_000
# What no later attempt can change: the address or the URL itself is refused.
HOPELESS = frozenset(("blocked", "bad-url", "bad-header"))
ASKING_FOR_TIME = frozenset((429, 503))

_SECONDS = re.compile(r"[0-9]{1,15}")
_DATE_LENGTH = 64


def is_success(reply: Reply) -> bool:
    """Whether a complete response with a status from 200 to 299 came."""
    return (
        reply.error is None and reply.status is not None and 200 <= reply.status < 300
    )


def next_delay_ms(
    failures: int, reply: Reply, *, delays_ms: tuple[int, ...]
) -> int | None:
    """How long to wait after a failed attempt, None to give up.

    A receiver's `Retry-After` beside 429 or 503 makes it later, never earlier.

    Args:
        failures: failed attempts before this one.
        delays_ms: one wait for each retry, in their order.
    """
    if failures >= len(delays_ms) or reply.error in HOPELESS:
        return None
    asked_ms = 0
    if reply.status in ASKING_FOR_TIME:
        ended_ms = reply.started_ms + int(reply.total_ms)
        asked_ms = retry_after_ms(_header(reply, "retry-after"), now_ms=ended_ms)
    return max(delays_ms[failures], asked_ms)


def retry_after_ms(value: str, *, now_ms: int) -> int:
    """The wait that a `Retry-After` asks for, at most a day; 0 for what is no such."""
    text = value.strip()
    if _SECONDS.fullmatch(text):
        return min(int(text) * 1000, LONGEST_WAIT_MS)
    moment_ms = from_http_date(text) if len(text) <= _DATE_LENGTH else None
    if moment_ms is None:
        return 0
    return max(0, min(moment_ms - now_ms, LONGEST_WAIT_MS))


def _header(reply: Reply, name: str) -> str:
    return next((value for key, value in reply.headers if key.lower() == name), "")
