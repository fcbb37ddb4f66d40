"""Replays finished events: sends the content of an event again, as a new event.

The finished event does not change. To replay a dead letter and remove it, use
`DeadLetters.replay`.
"""

from collections.abc import Mapping
from dataclasses import replace
from scheduler_api.core.deduplication import DeduplicationKey
from scheduler_api.core.errors import NotFinished
from scheduler_api.core.model import Draft, Event
from scheduler_api.core.queries.filters import Phase, phase_of
from scheduler_api.core.store.events import EventStore
from typing import Any


def replay(
    store: EventStore,
    event: Event,
    *,
    options: Mapping[str, Any],
    deadline_ms: int,
    deduplication: DeduplicationKey | None = None,
) -> Event:
    """Store an event with the same URL and body, due now; return the new event.

    Args:
        options: the options of the new event. Dialects may put the original event's id
            into the options.

    Raises: NotFinished, StoreFull, Repeated.
    """
    if phase_of(event) in (Phase.WAITING, Phase.UNDER_WAY):
        raise NotFinished
    content = replace(event.content, options=options)
    return store.create(
        event.owner, Draft(content, deadline_ms, deduplication=deduplication)
    )
