"""Replaces the event of a group with one event for each endpoint."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from scheduler_api.core.model import Begun, Draft, Verdict
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.tenants.url_groups import MAX_ENDPOINTS, Group, Groups

Expand = Callable[[Begun, Group], Sequence[Draft]]


class FanOut:
    """Creates the events for the endpoints of groups.

    The id of a new event is derived from the group's event and the endpoint. So if
    `create` is repeated after a crash, it creates only the missing events.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._groups = Groups(store.cell)

    def create(self, begun: Begun, name: str, *, expand: Expand) -> bool:
        """Create the events that do not exist yet; return False if the store is full.

        If the store becomes full meanwhile, only some of the events are created.

        Raises: NotFound (unknown group), UnreadableRecord.
        """
        group = self._groups.get(begun.owner, name)
        drafts = expand(begun, group)
        if begun.content and begun.content.trace:
            drafts = [_traced(each, begun.content.trace) for each in drafts]
        accepted = self._store.create_many(
            begun.owner, drafts, batch_size=MAX_ENDPOINTS
        )
        return not any(each.verdict is Verdict.FULL for each in accepted)


def _traced(draft: Draft, trace: str) -> Draft:
    return replace(draft, content=replace(draft.content, trace=trace))
