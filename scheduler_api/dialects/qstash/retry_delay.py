"""Computes the wait before a retry, from the response or the publisher's expression.

Source: https://upstash.com/docs/qstash/features/retry
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from scheduler_api.core.cron.durations import DurationSyntax
from scheduler_api.core.delivery.retry import LONGEST_WAIT_MS
from scheduler_api.core.delivery.retry_expression import ExpressionError, parse
from scheduler_api.core.timestamps import from_http_date

# Response headers that may request a wait. The first with a valid value is used.
WAIT_HEADERS = (
    "retry-after",
    "x-ratelimit-reset",
    "x-ratelimit-reset-requests",
    "x-ratelimit-reset-tokens",
)

_TEXT_MAX_LENGTH = 64
# Durations in Go's format. `_TEXT_MAX_LENGTH` also limits how long the numbers are.
_DURATION = DurationSyntax(
    *("h", "m", "s", "ms", "us", "\u00b5s", "\u03bcs", "ns"),
    number=r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+",
    bare_unit="s",
)


def requested_ms(headers: Sequence[tuple[str, str]], *, now_ms: int) -> int | None:
    """Return the wait that the headers of a response request, in ms.

    Return None if no header requests a wait of at most a day.
    """
    values = {name.lower(): value for name, value in reversed(headers)}
    waits_ms = (
        parse_wait_ms(values[name], now_ms=now_ms)
        for name in WAIT_HEADERS
        if name in values
    )
    return next((wait_ms for wait_ms in waits_ms if wait_ms is not None), None)


def parse_wait_ms(value: str, *, now_ms: int) -> int | None:
    """Parse seconds, a date, or a duration such as `6m5s`, into a wait in ms.

    Fractions of a millisecond are rounded up; a date in the past means 0. Return None
    for malformed text, and for waits of more than a day.
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


def configured_ms(retried: int, expression: str | None) -> int:
    """Return the value of the publisher's expression, or the default wait, in ms.

    An expression may have no value: `1000 / retried` has none before the first retry.
    The default wait is then used: the publisher would expect neither an immediate retry
    nor a wait of a day.

    Args:
        retried: the number of retries so far.
    """
    delay_ms = None
    if expression is not None:
        with suppress(ExpressionError):
            delay_ms = parse(expression).delay_ms(retried)
    return default_ms(retried) if delay_ms is None else delay_ms


def default_ms(retried: int) -> int:
    """Return the default wait in ms.

    Before the n-th retry, the default is `min(86400, e^(2.5 * n))` seconds.
    """
    exponent = min(2.5 * (retried + 1), math.log(LONGEST_WAIT_MS / 1000))
    return round(math.exp(exponent) * 1000)
