"""Sentences for people: is anything late, failing or held, and by what?"""

from collections.abc import Sequence
from dataclasses import dataclass
from scheduler_api.core.delivery.causes import sentence_of
from scheduler_api.core.queries.failing import Destination
from scheduler_api.core.queries.held import SLOW, Held, Waiters
from scheduler_api.core.queries.lateness import Lateness
from scheduler_api.core.store.gate_names import (
    DESTINATION,
    EVERYTHING,
    FLOW,
    HOST,
    QUEUE,
    TENANT,
)
from scheduler_api.core.store.processes import Load
from scheduler_api.core.store.statistics import LATE_BOUNDS_MS
from scheduler_api.core.timestamps import duration

GOOD, WARN, BAD = "good", "warn", "bad"
# From this lateness on, people notice.
LATE_MS = 1_000
# What holds events, by the kind of a gate.
GATES = {
    QUEUE: "the queue {}",
    FLOW: "the flow-control key {}",
    DESTINATION: "a destination",
    SLOW: "slow destinations",
    TENANT: "the limit of a tenant",
    HOST: "the limit of a host",
    EVERYTHING: "the limit of all deliveries",
}


@dataclass(frozen=True)
class Sentence:
    """An answer, and details. `kind`: GOOD, WARN or BAD."""

    kind: str
    answer: str
    details: str


def late(
    found: Lateness, oldest_ms: int | None, *, waiting: Held, now_ms: int
) -> Sentence:
    """Say whether events begin in time.

    Args:
        oldest_ms: when the oldest event was due that could begin now; None: none is.
        waiting: what is held.
    """
    details = _began(found, now_ms)
    waited_ms = 0 if oldest_ms is None else now_ms - oldest_ms
    if waited_ms > LATE_MS:
        answer = f"Events are late: one has been due for {duration(waited_ms)}."
        return Sentence(BAD, answer, details)
    if found.attempts and (found.most_ms is None or found.most_ms > LATE_MS):
        return Sentence(WARN, "Some events began late.", details)
    if any(each.is_paused or each.is_failing for each in waiting.fullest):
        return Sentence(WARN, "Only what is held is late.", details)
    return Sentence(GOOD, "Nothing is late.", details)


def _began(found: Lateness, now_ms: int) -> str:
    period = duration((now_ms - found.since_ms) // 60_000 * 60_000)
    if not found.attempts:
        return f"No event began in the last {period}."
    start = f"Of {count(found.attempts, 'event')} in the last {period},"
    last = duration(LATE_BOUNDS_MS[-1])
    if found.half_ms is None:
        return f"{start} more than half began over {last} after their time."
    half = f"half began within {duration(found.half_ms)} of their time"
    if found.most_ms is None:
        return f"{start} {half}, but over 1 % more than {last} after it."
    return f"{start} {half}, and 99 % within {duration(found.most_ms)} of it."


def failing(
    found: Sequence[Destination], *, delivered: int, failed: int, now_ms: int
) -> Sentence:
    """Say which destinations fail, and why.

    Args:
        delivered, failed: the numbers of attempts in the last hour.
    """
    attempts = delivered + failed
    details = "No attempt in the last hour."
    if attempts:
        details = f"{count(delivered, 'delivery')} in the last hour"
        details += f", {count(failed, 'failed attempt')}."
    if not found:
        return Sentence(GOOD, "Nothing is failing.", details)
    first = found[0].counts
    answer = f"{found[0].name} is failing."
    if len(found) > 1:
        answer = f"{len(found):,} destinations are failing, most of all {answer[:-12]}."
    why = (
        f"Its last attempt, {duration(max(0, now_ms - first.failed_ms))} ago:"
        f" {sentence_of(first.cause)}."
    )
    return Sentence(BAD, answer, f"{why} {details}")


def held(found: Held) -> Sentence:
    """Say how much is held, and by which gate."""
    if not found.fullest:
        details = "No event waits in a queue, for a limit or for its destination."
        return Sentence(GOOD, "Nothing is held.", details)
    first = found.fullest[0]
    number = f"{'' if found.is_complete else 'At least '}{count(found.events, 'event')}"
    answer = f"{number} {'is' if found.events == 1 else 'are'} held."
    number = f"{first.events:,}" if found.gates > 1 else "All"
    details = f"{number} by {gate(first)}: {reason(first)}."
    if found.gates > 1:
        details += f" {count(found.events - first.events, 'event')} elsewhere."
    return Sentence(WARN, answer, details)


def gate(waiters: Waiters) -> str:
    """Return what holds events, in words."""
    if waiters.kind == DESTINATION and waiters.name:
        return waiters.name
    return GATES[waiters.kind].format(waiters.name)


def reason(waiters: Waiters) -> str:
    """Return why a gate holds events."""
    if waiters.is_paused:
        return "paused"
    if waiters.is_failing:
        return waiters.cause or "nearly all attempts fail"
    if waiters.kind == QUEUE:
        return "behind those that the queue lets through at the same time"
    if waiters.kind == SLOW:
        return "workers keep room for destinations that answer fast"
    return "as many are sent as the limit allows"


def load(reported: Load) -> str:
    """Return the load of a process in words."""
    words = []
    if "inFlight" in reported:
        words.append(f"{reported['inFlight']:,} of {reported.get('capacity', 0):,}")
    if reported.get("slow"):
        words.append("slow receivers")
    if reported.get("suspected"):
        words.append("reaches no destination")
    return ", ".join(words)


def count(number: int, noun: str) -> str:
    """Return a number of things, such as `1 event` or `2,000 deliveries`."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"
