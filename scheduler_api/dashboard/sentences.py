"""The sentences with which the overview opens."""

from dataclasses import dataclass
from scheduler_api.core.queries.lateness import Lateness
from scheduler_api.core.store.statistics import LATE_BOUNDS_MS
from scheduler_api.dashboard.rendering import duration

GOOD, BAD = "good", "bad"
# From this lateness on, people notice.
LATE_MS = 1_000


@dataclass(frozen=True)
class Sentence:
    """An answer, and details. `kind`: GOOD or BAD; `path`: where more is to be seen."""

    kind: str
    answer: str
    details: str
    path: str


def late(found: Lateness, *, now_ms: int, path: str) -> Sentence:
    """Say whether events begin in time."""
    if not found.attempts:
        details = f"No event began in the last {_since(found, now_ms)}."
        return Sentence(GOOD, "Nothing is late.", details, path)
    details = (
        f"Half of {found.attempts:,} events in the last {_since(found, now_ms)} began"
        f" within {_bound(found.half_ms)}, and 99 % within {_bound(found.most_ms)}."
    )
    if found.most_ms is None or found.most_ms > LATE_MS:
        return Sentence(BAD, "Some events begin late.", details, path)
    return Sentence(GOOD, "Nothing is late.", details, path)


def _since(found: Lateness, now_ms: int) -> str:
    return duration(now_ms - found.since_ms)


def _bound(bound_ms: int | None) -> str:
    """Return a bound; beyond the last one, lateness has none."""
    if bound_ms is None:
        return f"more than {duration(LATE_BOUNDS_MS[-1])}"
    return duration(bound_ms)
