"""Filters for lists of events, and the phases that users see. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from scheduler_api.core.model import Content, Event, Owner, State
from scheduler_api.core.store import gate_names
from scheduler_api.core.store.records import Record
from typing import Any


class Phase(StrEnum):
    """The state of an event as users see it."""

    WAITING = "waiting"
    UNDER_WAY = "under way"
    QUARANTINED = "quarantined"
    DELIVERED = "delivered"
    DEAD = "dead"
    CANCELLED = "cancelled"


FINAL_PHASES = {
    State.DELIVERED: Phase.DELIVERED,
    State.DEAD: Phase.DEAD,
    State.CANCELLED: Phase.CANCELLED,
    State.CLEARED: Phase.DEAD,
}


def phase_of(event: Event) -> Phase:
    """The phase of an event; an event is also under way between its attempts."""
    if event.quarantined_ms is not None:
        return Phase.QUARANTINED
    if event.state is State.ACTIVE:
        return Phase.UNDER_WAY if event.attempts else Phase.WAITING
    return FINAL_PHASES[event.state]


@dataclass(frozen=True)
class Span:
    """A time span in epoch ms, including both ends; None is unbounded."""

    start_ms: int | None = None
    end_ms: int | None = None

    def contains(self, at_ms: float) -> bool:
        """Whether an instant is within the span."""
        after = self.start_ms is None or at_ms >= self.start_ms
        return after and (self.end_ms is None or at_ms <= self.end_ms)

    def until(self, end_ms: int | None) -> "Span":
        """The part of the span up to an instant."""
        ends = [end for end in (self.end_ms, end_ms) if end is not None]
        return Span(self.start_ms, min(ends, default=None))

    @property
    def bounds(self) -> tuple[str | int, str | int]:
        """Both ends as Redis scores."""
        start = "-inf" if self.start_ms is None else self.start_ms
        return start, "+inf" if self.end_ms is None else self.end_ms


ALWAYS = Span()


@dataclass(frozen=True)
class Selection:
    """Selects events by their phase, their fire time, and the time when they ended.

    The fire time must be in the span `wanted`. `ended` maps a phase to a span. Events
    in this phase must have ended in this span; quarantined events must have been
    quarantined in this span. If a phase is not in `ended`, its events may have ended at
    any time.
    """

    phases: frozenset[Phase] = frozenset(Phase)
    wanted: Span = ALWAYS
    ended: Mapping[Phase, Span] = field(default_factory=dict)

    def matches(self, event: Event) -> bool:
        """Whether an event meets all conditions."""
        phase = phase_of(event)
        if phase not in self.phases or not self.wanted.contains(event.wanted_ms):
            return False
        end_ms = (
            event.quarantined_ms if phase is Phase.QUARANTINED else event.finished_ms
        )
        return end_ms is None or self.ended.get(phase, ALWAYS).contains(end_ms)


# Returns the labels in the options of content, by the name of the dialect.
Labels = Mapping[str, Callable[[Mapping[str, Any]], Sequence[str]]]


def has_label(
    label: str, content: Content | None, labels: Labels, dialect: str
) -> bool:
    """Whether a client gave a label to content; any content has the label ''.

    Args:
        content: None if it is unreadable.
    """
    if not label:
        return True
    of_dialect = labels.get(dialect)
    return bool(content and of_dialect and label in of_dialect(content.options))


@dataclass(frozen=True)
class Target:
    """Where events go, or the occurrences of schedules.

    Attributes:
        url: the beginning of the URL; '' for any.
        queue: the name of the queue; '' for any.
    """

    url: str = ""
    queue: str = ""

    def may_match(self, record: Record) -> bool:
        """Whether an event or a schedule can match, by its record. `matches` decides.

        Args:
            record: with `owner`, `gates` and `destination`.
        """
        if self.queue:
            owner = Owner.parse(record["owner"].decode())
            # Schedules store the limits of each gate after a comma.
            words = record.get("gates", b"").decode().split()
            gates = [word.partition(",")[0] for word in words]
            if gate_names.queue_gate(owner, self.queue) not in gates:
                return False
        # The beginning of a URL may end in the middle of its host.
        if self.url.count("/") > 2 and "destination" in record:
            origin = gate_names.destination_digest(self.url)
            stored = record["destination"].decode().partition(".")[0]
            return not origin or origin == stored
        return True

    def matches(self, content: Content | None) -> bool:
        """Whether an event matches whose record may match.

        Args:
            content: None if it is unreadable.
        """
        if not self.url:
            return True
        return content is not None and content.url.startswith(self.url)


ANYWHERE = Target()
