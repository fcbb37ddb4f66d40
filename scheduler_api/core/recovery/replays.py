"""Replays: what a finished event sent is sent again, as an event of its own.

The finished one stays what it was. Where a dead letter is to be one no more, its place
is taken in the same call: see `dead_letters`.
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
    """Store an event that sends the same to the same at once; answer the new one.

    Args:
        options: those of the new event, in which its dialect names the origin.

    Raises: NotFinished, StoreFull, Repeated.
    """
    if phase_of(event) in (Phase.WAITING, Phase.UNDER_WAY):
        raise NotFinished
    content = replace(event.content, options=options)
    return store.create(
        event.owner, Draft(content, deadline_ms, deduplication=deduplication)
    )
