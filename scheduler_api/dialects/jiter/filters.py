"""Parses the query of Jiter's list of events."""

from collections.abc import Mapping
from scheduler_api.core.queries.filters import Phase, Selection, Span
from scheduler_api.dialects.jiter.rendering import STATUSES
from scheduler_api.web.refusal import Refusal
from scheduler_api.web.values import read_timestamp

# A query may start this long before the search window. A client that requests the whole
# window computes the start of the window before it sends the request. The server
# computes the start a little later, so the start has moved.
TOLERANCE_MS = 60_000
DAY_MS = 86_400_000
# Values that clients send for an undefined parameter.
UNDEFINED = ("", "undefined")
FAILED = (Phase.DEAD, Phase.QUARANTINED)

_PHASES = {status: phase for phase, status in STATUSES.items()}


def read_selection(
    query: Mapping[str, str], *, now_ms: int, window_days: int
) -> Selection:
    """Return the selection of events that a query requests.

    Events that were sent or failed before the search window are never listed. A query
    that asks for such events is refused.

    Raises: Refusal.
    """
    earliest_ms = now_ms - window_days * DAY_MS
    sent, failed = (
        _ended_span(query, name, earliest_ms=earliest_ms)
        for name in ("sentAt", "failedAt")
    )
    phases = _phases(_value(query, "status"))
    if sent is not None:
        phases &= {Phase.DELIVERED}
    if failed is not None:
        phases &= set(FAILED)
    recent = Span(start_ms=earliest_ms)
    return Selection(
        phases=phases,
        wanted=_span(query, "scheduled"),
        ended={
            Phase.DELIVERED: sent or recent,
            **dict.fromkeys(FAILED, failed or recent),
        },
    )


def _phases(statuses: str | None) -> frozenset[Phase]:
    if statuses is None:
        return frozenset(Phase)
    try:
        return frozenset(_PHASES[status.strip()] for status in statuses.split(","))
    except KeyError as err:
        listed = ", ".join(f"'{status}'" for status in _PHASES)
        raise Refusal(400, f"'status' must be one of {listed}") from err


def _ended_span(
    query: Mapping[str, str], name: str, *, earliest_ms: int
) -> Span | None:
    span = _span(query, name)
    if span == Span():
        return None
    if span.start_ms is None:
        return Span(earliest_ms, span.end_ms)
    if span.start_ms < earliest_ms - TOLERANCE_MS:
        raise Refusal(400, f"{name}StartDate is outside of the searchable range")
    return span


def _span(query: Mapping[str, str], name: str) -> Span:
    return Span(
        _timestamp_ms(query, f"{name}StartDate"), _timestamp_ms(query, f"{name}EndDate")
    )


def _timestamp_ms(query: Mapping[str, str], name: str) -> int | None:
    text = _value(query, name)
    if text is None:
        return None
    try:
        return read_timestamp(text)
    except ValueError as err:
        raise Refusal(400, f"'{name}' must be a valid ISO timestamp") from err


def _value(query: Mapping[str, str], name: str) -> str | None:
    """Return the value of a parameter, or None if the parameter is undefined."""
    text = query.get(name, "").strip()
    return None if text in UNDEFINED else text
