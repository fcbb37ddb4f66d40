"""Converts between epoch milliseconds, which the engine uses, and dates as text."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=64)
def to_iso(ms: int) -> str:
    """Format as `YYYY-MM-DDTHH:MM:SS.mmmZ`, like JavaScript's `Date.toISOString`."""
    moment = EPOCH + timedelta(milliseconds=ms)
    return f"{moment.isoformat(timespec='milliseconds')[:-6]}Z"


def from_iso(text: str) -> int:
    """Parse an ISO 8601 date or timestamp, in UTC unless it has an offset.

    Microseconds are rounded up to milliseconds, so that an event is never due before
    its requested time.

    Raises: ValueError.
    """
    if "T" not in text and " " not in text and len(text) != len("2026-01-31"):
        raise ValueError(f"not an ISO 8601 timestamp: {text!r}")
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        since = moment - EPOCH
    except OverflowError as err:
        raise ValueError(f"out of range: {text!r}") from err
    micros = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return -(-micros // 1000)


def from_http_date(text: str) -> int | None:
    """Parse a date of an HTTP header, such as `Retry-After`; None if it is invalid."""
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1000)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
