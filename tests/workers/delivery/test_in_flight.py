"""Tests of what a worker says about events that it cannot begin."""

import asyncio
import logging
import pytest
import redis
from scheduler_api.core.model import Content, Draft, Owner
from scheduler_api.core.store import claims, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.claims import ClaimTimeouts
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.leases import WorkerStore
from scheduler_api.core.store.records import EVENT
from tests.sync_worker import AwaitableClient
from typing import Any, cast
from workers.delivery.in_flight import InFlight

PREFIX = "{s1}:"
TIMEOUTS = ClaimTimeouts(
    offer_ms=3_000, lease_ms=15_000, grace_ms=15_000, missed_grace_ms=60_000
)


def test_an_event_that_a_worker_cannot_read_is_logged_with_its_id_and_the_reason(
    store_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    cell = Cell(store_client, PREFIX)
    client = cast(Any, AwaitableClient(store_client))
    store = WorkerStore(client, cell, lease_ms=15_000)
    draft = Draft(Content("http://a/", b""), 1_000)
    [event] = EventStore(cell).create_many(Owner("1", "qstash"), [draft])
    claimed = claims.claim(cell, room=10, timeouts=TIMEOUTS).ids
    store_client.hset(keys.event(PREFIX, event.id), EVENT.code("due_ms"), "soon")

    async def accept() -> None:
        deliverer = cast(Any, None)
        in_flight = InFlight(store, deliverer, capacity=10, renew_interval_ms=5_000)
        await in_flight.accept(claimed, isolated=False)

    with caplog.at_level(logging.INFO):
        asyncio.run(accept())

    assert caplog.messages == [
        f"record.quarantined event=msg_{event.id} owner=1:qstash"
        ' problem="due_ms is not an integer: soon"'
    ]


class RecordingStore:
    """A store that begins nothing, and has no room for the first events."""

    lease_ms = 15_000

    def __init__(self, *, full: int) -> None:
        self.full = full
        self.calls: list[tuple[list[str], bool]] = []
        self.released: list[str] = []

    async def begin(self, ids: list[str], **options: Any) -> tuple[list[Any], Any]:
        self.calls.append((list(ids), options["share"] is not None))
        codes = {each: "held" for each in ids}
        codes |= dict.fromkeys(ids[: self.full], "full")
        self.full = 0
        return [], codes

    async def release(self, ids: list[str]) -> int:
        self.released += ids
        return len(ids)


def accept_in(store: RecordingStore, *, capacity: int, events: int) -> None:
    async def accept() -> None:
        in_flight = InFlight(
            cast(Any, store),
            cast(Any, None),
            capacity=capacity,
            renew_interval_ms=5_000,
        )
        ids = [str(number) for number in range(events)]
        await in_flight.accept(ids, isolated=False)
        await in_flight.close()

    asyncio.run(accept())


def test_events_without_room_begin_later_in_their_order() -> None:
    store = RecordingStore(full=2)
    accept_in(store, capacity=100, events=27)

    first, second = (ids for ids, _ in store.calls)
    assert (first[:2], second) == (["0", "1"], ["0", "1", "25", "26"])
    assert store.released == []


@pytest.mark.parametrize(("capacity", "is_limited"), [(100, False), (10, True)])
def test_i1_begin_gets_limits_only_if_a_batch_may_fill_the_rest(
    capacity: int, is_limited: bool
) -> None:
    store = RecordingStore(full=0)
    accept_in(store, capacity=capacity, events=10)

    assert [limited for _, limited in store.calls] == [is_limited]
