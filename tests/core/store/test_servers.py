"""Tests of a store that comes back without its newest writes: ids and repeats (R-30).

The servers are real: one that is restarted from an older copy of its files, and a
replica that lacks the newest writes of its primary.
"""

import asyncio
import pytest
import redis
import redis.asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from scheduler_api.core.ids import to_number
from scheduler_api.core.model import Draft
from scheduler_api.core.store import claims, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.claims import Claim, LastContact
from scheduler_api.core.store.epoch import ID_MARGIN, accept
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.id_sequence import BLOCK, IdSequence
from scheduler_api.core.store.leases import WorkerStore
from tests.conftest import LosingStore
from tests.core.engine import (
    CONTENT,
    DEADLINE_MS,
    LEASE_MS,
    OWNER,
    PREFIX,
    TIMEOUTS,
    settlement,
)
from tests.sync_worker import SyncWorker

MINUTE_MS = 60_000
START_MS = 1_000_000_000


class Cells:
    """A cell on a server, with a clock that the test sets and a ticker's knowledge."""

    def __init__(self, client: redis.Redis) -> None:
        self.cell = Cell(client, PREFIX, clock_ms=START_MS)
        self.store = EventStore(self.cell)
        self.contact: LastContact | None = None

    def claim(self) -> Claim:
        """Claim like a ticker that remembers its last claim."""
        claim = claims.claim(
            self.cell, room=100, timeouts=TIMEOUTS, contact=self.contact
        )
        self.contact = LastContact(claim.server, claim.now_ms, claim.now_ms)
        return claim

    def create(self, delay_ms: int = 0) -> str:
        draft = Draft(CONTENT, DEADLINE_MS, ascending=True, delay_ms=delay_ms)
        [accepted] = self.store.create_many(OWNER, [draft])
        return accepted.id

    def wait(self, ms: int) -> None:
        assert self.cell.clock_ms is not None
        self.cell.clock_ms += ms


@contextmanager
def working(cell: Cell, url: str) -> Iterator[SyncWorker]:
    with asyncio.Runner() as runner:
        client = redis.asyncio.Redis.from_url(url)
        yield SyncWorker(WorkerStore(client, cell, lease_ms=LEASE_MS), runner)
        runner.run(client.aclose())


@pytest.fixture
def cells(losing_store: LosingStore) -> Cells:
    return Cells(losing_store.client)


def test_r30_no_id_is_issued_twice_after_a_lost_tail(
    losing_store: LosingStore, cells: Cells
) -> None:
    blocks = IdSequence(cells.cell)
    first = [cells.create(), blocks.take()]
    older = losing_store.copy()
    lost = [cells.create() for _ in range(3)] + [blocks.next() for _ in range(3)]

    losing_store.restart(older=older)
    # These two processes have issued none of the lost ids.
    new = [Cells(losing_store.client).create(), IdSequence(cells.cell).take()]
    kept = [blocks.take() for _ in range(BLOCK)]

    assert first[0] == "1"
    ids = [*first, *lost, *new, *kept]
    assert len(set(ids)) == len(ids)
    assert to_number(new[0]) == to_number(first[1]) + BLOCK + ID_MARGIN


def test_r30_ids_stay_ascending_after_a_lost_tail(
    losing_store: LosingStore, cells: Cells
) -> None:
    first = cells.create()
    older = losing_store.copy()
    before = [first, *(cells.create() for _ in range(3))]
    losing_store.restart(older=older)
    after = [cells.create() for _ in range(3)]

    numbers = [to_number(each) for each in before + after]
    assert numbers == sorted(numbers)


def test_r30_a_promoted_replica_issues_no_id_of_its_primary(
    losing_store: LosingStore, cells: Cells, own_valkey: tuple[str, int]
) -> None:
    primary, replica = losing_store.client, redis.Redis.from_url(own_valkey[0])
    primary.config_set("repl-diskless-sync-delay", 0)
    cells.create()
    replica.replicaof("127.0.0.1", primary.connection_pool.connection_kwargs["port"])
    while replica.info("replication")["master_link_status"] != "up":
        pass
    replica.replicaof("NO", "ONE")
    lost = [cells.create() for _ in range(3)]

    promoted = Cells(replica)
    new = [promoted.create() for _ in range(3)]
    # The first server becomes the primary again, and lacks the newest writes of the
    # second one.
    more = [cells.create() for _ in range(2)]
    replica.close()

    assert len({*lost, *new, *more}) == 8
    assert to_number(new[0]) > ID_MARGIN


def test_r30_a_change_of_the_epoch_skips_ids(cells: Cells) -> None:
    cells.create()
    accept(cells.cell.client, PREFIX)

    assert to_number(cells.create()) == 2 + ID_MARGIN


def test_r30_repeats_of_lost_deliveries_are_marked(
    losing_store: LosingStore, cells: Cells
) -> None:
    cells.claim()
    early, later = cells.create(), cells.create(delay_ms=MINUTE_MS)
    older = losing_store.copy()
    cells.wait(500)
    delivered = cells.claim().ids
    with working(cells.cell, losing_store.url) as worker:
        worker.settle(*(settlement(each) for each in worker.begin(*delivered)))

    losing_store.restart(older=older)
    cells.wait(500)
    claim = cells.claim()
    with working(cells.cell, losing_store.url) as worker:
        [repeated] = worker.begin(*claim.ids)
        cells.wait(MINUTE_MS)
        [other] = worker.begin(later) if later in cells.claim().ids else []

    assert delivered == [early]
    assert claim.lost_ms == 500
    assert (repeated.id, repeated.possible_duplicate) == (early, True)
    assert (other.id, other.possible_duplicate) == (later, False)
    assert losing_store.client.get(keys.lost_tail(PREFIX)) == b"500"
    assert losing_store.client.ttl(keys.lost_tail(PREFIX)) > 0


def test_r30_a_delivery_after_the_last_claim_is_marked_if_its_begin_is_lost(
    losing_store: LosingStore, cells: Cells
) -> None:
    event_id = cells.create()
    [offered] = cells.claim().ids
    older = losing_store.copy()
    with working(cells.cell, losing_store.url) as worker:
        worker.settle(*(settlement(each) for each in worker.begin(offered)))

    losing_store.restart(older=older)
    cells.wait(MINUTE_MS)
    claim = cells.claim()
    with working(cells.cell, losing_store.url) as worker:
        [repeated] = worker.begin(*claim.ids)

    assert claim.lost_ms == 0
    assert (repeated.id, repeated.possible_duplicate) == (event_id, True)


def test_a_restart_that_loses_nothing_marks_no_delivery(
    losing_store: LosingStore, cells: Cells
) -> None:
    cells.claim()
    event_id = cells.create()

    losing_store.restart()
    cells.wait(MINUTE_MS)
    claim = cells.claim()
    with working(cells.cell, losing_store.url) as worker:
        [begun] = worker.begin(event_id)

    assert claim.lost_ms == 0
    assert not begun.possible_duplicate


def test_r30_a_second_ticker_compares_the_store_with_what_it_has_seen(
    losing_store: LosingStore, cells: Cells
) -> None:
    other = Cells(losing_store.client)
    cells.claim()
    older = losing_store.copy()
    other.wait(MINUTE_MS * 2)
    other.claim()

    losing_store.restart(older=older)
    cells.wait(MINUTE_MS * 3)
    lost_ms = [cells.claim().lost_ms, other.claim().lost_ms, other.claim().lost_ms]

    assert lost_ms == [0, MINUTE_MS * 2, 0]
    assert losing_store.client.ttl(keys.lost_tail(PREFIX)) == -1


def test_r30_nothing_begins_on_another_server_before_a_claim(
    losing_store: LosingStore, cells: Cells
) -> None:
    cells.create()
    [event_id] = cells.claim().ids

    losing_store.restart()
    with working(cells.cell, losing_store.url) as worker:
        begun, refused = worker.try_begin(event_id)
        cells.wait(1)
        cells.claim()
        [later] = worker.begin(event_id)

    assert (begun, refused) == ([], {event_id: "unchecked"})
    assert later.id == event_id
