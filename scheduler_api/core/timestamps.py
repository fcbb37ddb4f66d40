"""Converts between milliseconds, which the engine uses, and text."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The first millisecond of the year 1 and the last one of the year 9999.
EARLIEST_MS, LATEST_MS = -62_135_596_800_000, 253_402_300_799_999
UNITS_MS = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000))


@lru_cache(maxsize=64)
def to_iso(ms: int) -> str:
    """Format as `YYYY-MM-DDTHH:MM:SS.mmmZ`, like JavaScript's `Date.toISOString`."""
    moment = EPOCH + timedelta(milliseconds=ms)
    return f"{moment.isoformat(timespec='milliseconds')[:-6]}Z"


def from_iso(text: str) -> int:
    """Parse an ISO 8601 date or timestamp, in UTC unless it has an offset.

    Microseconds are rounded up to milliseconds, so that an event is never due before
    its requested time.

    Raises: ValueError, also if the time in UTC is in no year from 1 to 9999.
    """
    if "T" not in text and " " not in text and len(text) != len("2026-01-31"):
        raise ValueError(f"not an ISO 8601 timestamp: {text!r}")
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - EPOCH
    micros = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    at_ms = -(-micros // 1000)
    if not EARLIEST_MS <= at_ms <= LATEST_MS:
        raise ValueError(f"out of range: {text!r}")
    return at_ms


def from_http_date(text: str) -> int | None:
    """Parse a date of an HTTP header, such as `Retry-After`; None if it is invalid."""
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1000)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def duration(ms: float) -> str:
    """Return a duration with its two largest units, such as `2 h 5 min`."""
    if ms < 1_000:
        return f"{ms:.0f} ms"
    if ms < 10_000:
        return f"{ms / 1_000:.1f} s"
    parts, left_ms = [], int(ms)
    for unit, unit_ms in UNITS_MS:
        count, left_ms = divmod(left_ms, unit_ms)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])
