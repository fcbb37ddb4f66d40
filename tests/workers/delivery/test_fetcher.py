"""How a worker fetches what a claim left in RQ, on a real server."""

import asyncio
import pytest
import redis
from collections.abc import Awaitable, Callable, Iterator, Sequence
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer
from scheduler_api.core.model import Content, Draft, Owner
from scheduler_api.core.store import claims
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.claims import Claim
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.rq_envelopes import QUEUE, RqEnqueuer
from tests.core.engine import PREFIX, TIMEOUTS
from workers.delivery.fetcher import Fetcher
from workers.redis_connection import RedisConnection

OWNER = Owner("acme", "jiter")
DRAFT = Draft(Content("http://127.0.0.1:9/", b"{}"), deadline_ms=10_000)


class Accepting:
    """Stands for `InFlight`, and keeps what it is given.

    It shuts after so many envelopes, has room for so many, and fails over some ids.
    """

    def __init__(self, most: int = 1_000, *, room: int = 1_000, bad: str = "") -> None:
        self.accepted: list[tuple[list[str], bool]] = []
        self._most, self._room, self._bad = most, room, bad

    @property
    def is_shut(self) -> bool:
        return len(self.accepted) == self._most

    async def has_room(self, _timeout_s: float) -> bool:
        has_room = len(self.accepted) < self._room
        if not has_room:
            await asyncio.sleep(0)
        return has_room

    async def accept(self, ids: Sequence[str], *, isolated: bool) -> None:
        if self._bad in ids:
            raise UnicodeEncodeError("utf-8", self._bad, 0, 1, "surrogates")
        self.accepted.append(([*ids], isolated))


class Station:
    """An RQ queue, what claims leave in it, and a worker's way to fetch from it."""

    def __init__(self, client: redis.Redis, url: str) -> None:
        self.client = client
        self.in_flight = Accepting()
        self.planned: list[list[str]] = []
        self.queue = Queue(QUEUE, connection=client, serializer=JSONSerializer)
        self._store = EventStore(Cell(client, PREFIX))
        self._enqueuer = RqEnqueuer(client)
        self._url = url

    def offer(self, count: int) -> Claim:
        self._store.create_many(OWNER, [DRAFT] * count)
        return claims.claim(
            self._store.cell, room=100, timeouts=TIMEOUTS, enqueuer=self._enqueuer
        )

    def garble(self, job_id: str, data: str | None = None) -> str:
        if data is not None:
            self.client.hset(Job.key_for(job_id), "data", data)
        self.client.rpush(self.queue.key, job_id)
        return job_id

    def fetch(
        self, *, for_s: float = 60, is_burst: bool = True, most: int | None = None
    ) -> int:
        async def work(fetcher: Fetcher) -> int:
            await fetcher.fetch(for_s=for_s, is_burst=is_burst, most=most)
            return fetcher.fetched

        return self.with_fetcher(work)

    def with_fetcher(self, work: Callable[[Fetcher], Awaitable[int]]) -> int:
        async def main() -> int:
            connection = RedisConnection(self._url, timeout_s=5)
            fetcher = Fetcher(
                connection, self.queue, self.in_flight, self.planned.append
            )
            try:
                fetched = await work(fetcher)
                await fetcher.finish()
                # Answers come in their order: what was only told has been done as well.
                await connection.get("nothing")
                return fetched
            finally:
                connection.close()

        return asyncio.run(main())

    @property
    def unread(self) -> list[bytes]:
        return self.client.lrange(self.queue.intermediate_queue_key, 0, -1)


@pytest.fixture
def station(valkey: str) -> Iterator[Station]:
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        yield Station(client, valkey)


@pytest.mark.parametrize("count", [1, 10, 11, 100])
def test_a_worker_takes_from_an_envelope_what_any_rq_worker_would(
    station: Station, count: int
):
    claim = station.offer(count)
    [stock] = station.queue.jobs
    ids, schedule_ids, isolated = stock.args

    fetched = station.fetch()

    assert fetched == 1
    assert station.in_flight.accepted == [(ids, isolated)] == [(claim.ids, False)]
    assert station.planned == schedule_ids == []
    assert len(ids) == count


def test_what_is_taken_leaves_nothing_in_rq(station: Station):
    for count in (3, 30):
        station.offer(count)

    station.fetch()

    kept = {station.queue.redis_queues_keys.encode()}
    assert {*station.client.scan_iter("rq:*")} == kept


def test_schedules_of_an_envelope_are_planned(station: Station):
    data = '["workers.deliver.deliver", null, [["1"], ["a", "b"], true], {}]'
    station.garble("job", data)

    station.fetch()

    assert station.planned == [["a", "b"]]
    assert station.in_flight.accepted == [(["1"], True)]


def test_envelopes_are_taken_in_their_order_as_many_as_wanted(station: Station):
    first = station.offer(2)
    second = station.offer(1)

    assert station.fetch(most=1) == 1
    assert station.in_flight.accepted == [(first.ids, False)]
    assert station.fetch(most=5) == 1
    assert station.in_flight.accepted[1:] == [(second.ids, False)]


def test_nothing_is_fetched_once_nothing_more_is_begun(station: Station):
    station.in_flight = Accepting(most=0)
    station.offer(1)

    assert station.fetch(is_burst=False) == 0
    assert len(station.queue.job_ids) == 1


def test_one_that_comes_while_none_is_there_is_taken_at_once(station: Station):
    async def wait_and_offer(fetcher: Fetcher) -> int:
        fetching = asyncio.create_task(fetcher.fetch(for_s=60, is_burst=False, most=1))
        await asyncio.to_thread(station.offer, 1)
        await fetching
        return fetcher.fetched

    assert station.with_fetcher(wait_and_offer) == 1


def test_e14_no_envelope_is_taken_that_has_no_room(station: Station):
    station.in_flight = Accepting(room=1)
    for _ in range(2):
        station.offer(1)

    assert station.fetch(for_s=0.1) == 1
    assert len(station.queue.job_ids) == 1


def test_r13_a_fault_over_one_envelope_is_no_fault_of_the_next(
    station: Station, caplog: pytest.LogCaptureFixture
):
    first, second = station.offer(1), station.offer(1)
    station.in_flight = Accepting(bad=first.ids[0])

    assert station.fetch() == 2
    assert station.in_flight.accepted == [(second.ids, False)]
    assert "envelope.lost" in caplog.text


@pytest.mark.parametrize(
    "data",
    [
        None,
        "no JSON",
        '["elsewhere.another", null, [[], [], false], {}]',
        '["workers.deliver.deliver", null, [["1"]], {}]',
        '["workers.deliver.deliver", null, [1, 2, 3], {}]',
        '["workers.deliver.deliver", null, [[1], [], false], {}]',
        "[" * 100_000,
    ],
)
def test_r13_what_is_no_envelope_is_left_to_rq_and_the_next_is_taken(
    station: Station, data: str | None, caplog: pytest.LogCaptureFixture
):
    garbage = station.garble("job-of-another", data)
    claim = station.offer(1)

    assert station.fetch() == 2

    assert station.in_flight.accepted == [(claim.ids, False)]
    assert station.unread == [garbage.encode()]
    assert station.client.exists(Job.key_for(garbage)) == (data is not None)
    assert "envelope.unreadable" in caplog.text


def test_r13_a_name_that_is_no_text_costs_nothing_but_itself(station: Station):
    station.client.rpush(station.queue.key, b"\xff\x00")
    claim = station.offer(1)

    station.fetch()

    assert station.in_flight.accepted == [(claim.ids, False)]
    # RQ's maintenance fails over such a name.
    assert station.unread == []
