"""An event for a group: instead of sending it, one is made for each endpoint."""

from collections.abc import Callable, Sequence
from scheduler_api.core.model import Begun, Draft, Verdict
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.tenants.url_groups import Group, Groups

Expand = Callable[[Begun, Group], Sequence[Draft]]


class FanOut:
    """Makes the events; every step may be repeated, by anybody.

    Their ids derive from the event's and the endpoint's, so that what was made before a
    crash is found there by whoever begins the event anew, and not made again.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._groups = Groups(store.cell)

    def make(self, begun: Begun, name: str, *, expand: Expand) -> bool:
        """Makes what is missing; answers whether the store had room for all of it.

        Redis: create_events, a few hundred at a time.

        Raises: NotFound (there is no such group), UnreadableRecord, redis.RedisError.
        """
        group = self._groups.get(begun.owner, name)
        drafts = expand(begun, group)
        accepted = self._store.create_many(begun.owner, drafts)
        return not any(each.verdict is Verdict.FULL for each in accepted)
