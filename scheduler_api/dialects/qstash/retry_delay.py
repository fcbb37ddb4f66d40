"""How long to wait before the next attempt: what the receiver asks for, or a formula.

Source: https://upstash.com/docs/qstash/features/retry
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from scheduler_api.core.cron.durations import DurationSyntax
from scheduler_api.core.delivery.retry import LONGEST_WAIT_MS
from scheduler_api.core.delivery.retry_expression import ExpressionError, parse
from scheduler_api.core.timestamps import from_http_date

# The first of them that says anything decides.
ASKING = (
    "retry-after",
    "x-ratelimit-reset",
    "x-ratelimit-reset-requests",
    "x-ratelimit-reset-tokens",
)

_TEXT_MAX_LENGTH = 64
# As Go writes durations; the length of the text bounds its numbers.
_DURATION = DurationSyntax(
    *("h", "m", "s", "ms", "us", "\u00b5s", "\u03bcs", "ns"),
    number=r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+",
    bare_unit="s",
)


def asked_ms(headers: Sequence[tuple[str, str]], *, now_ms: int) -> int | None:
    """The wait that a response asks for, None if it asks for none within a day."""
    given = {name.lower(): value for name, value in reversed(headers)}
    waits = (
        read_wait_ms(given[name], now_ms=now_ms) for name in ASKING if name in given
    )
    return next((wait for wait in waits if wait is not None), None)


def read_wait_ms(value: str, *, now_ms: int) -> int | None:
    """Seconds, a date, or a duration such as `6m5s`, as the wait that they mean.

    Parts of a millisecond round up, a date that is over is 0. None is for more than a
    day, and for anything else.
    """
    text = value.strip()
    if len(text) > _TEXT_MAX_LENGTH:
        return None
    wait_ms = _DURATION.parse_ms(text)
    if wait_ms is None:
        moment_ms = from_http_date(text)
        if moment_ms is None:
            return None
        wait_ms = max(0, moment_ms - now_ms)
    return wait_ms if wait_ms <= LONGEST_WAIT_MS else None


def planned_ms(retried: int, expression: str | None) -> int:
    """The wait that the publisher chose, or the default.

    The default also holds where an expression has no value, such as `1000 / retried`
    before the first retry: neither at once nor in a day is what was meant.

    Args:
        retried: retries made so far.
    """
    delay_ms = None
    if expression is not None:
        with suppress(ExpressionError):
            delay_ms = parse(expression).delay_ms(retried)
    return default_ms(retried) if delay_ms is None else delay_ms


def default_ms(retried: int) -> int:
    """`min(86400, e^(2.5 * n))` seconds before the n-th retry."""
    exponent = min(2.5 * (retried + 1), math.log(LONGEST_WAIT_MS / 1000))
    return round(math.exp(exponent) * 1000)
