"""Tests of fetching envelopes from RQ on a real server."""

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


class FakeInFlight:
    """A fake of `InFlight` that records what it accepts.

    Args:
        maximum: the number of accepted envelopes at which `is_accepting` becomes false.
        room: the number of accepted envelopes at which `has_room` becomes false.
        bad: an id that makes `accept` fail.
    """

    def __init__(
        self, maximum: int = 1_000, *, room: int = 1_000, bad: str = ""
    ) -> None:
        self.accepted: list[tuple[list[str], bool]] = []
        self._maximum, self._room, self._bad = maximum, room, bad

    @property
    def is_accepting(self) -> bool:
        return len(self.accepted) < self._maximum

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
    """An RQ queue. `offer` adds claimed events; `fetch` reads them with a `Fetcher`."""

    def __init__(self, client: redis.Redis, url: str) -> None:
        self.client = client
        self.in_flight = FakeInFlight()
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

    def enqueue_raw(self, job_id: str, data: str | None = None) -> str:
        if data is not None:
            self.client.hset(Job.key_for(job_id), "data", data)
        self.client.rpush(self.queue.key, job_id)
        return job_id

    def fetch(
        self,
        *,
        for_s: float = 60,
        is_burst: bool = True,
        max_fetched: int | None = None,
    ) -> int:
        async def work(fetcher: Fetcher) -> int:
            await fetcher.fetch(for_s=for_s, is_burst=is_burst, max_fetched=max_fetched)
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
                # Wait for a last reply: replies arrive in the order of the commands,
                # so all earlier commands have then run.
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
def test_a_fetched_envelope_has_the_arguments_of_its_rq_job(
    station: Station, count: int
):
    claim = station.offer(count)
    [job] = station.queue.jobs
    ids, schedule_ids, isolated = job.args

    fetched = station.fetch()

    assert fetched == 1
    assert station.in_flight.accepted == [(ids, isolated)] == [(claim.ids, False)]
    assert station.planned == schedule_ids == []
    assert len(ids) == count


def test_fetching_removes_all_of_an_envelope_from_rq(station: Station):
    for count in (3, 30):
        station.offer(count)

    station.fetch()

    kept = {station.queue.redis_queues_keys.encode()}
    assert {*station.client.scan_iter("rq:*")} == kept


@pytest.mark.parametrize("is_burst", [True, False])
def test_r32_an_envelope_is_fetched_from_a_full_store(station: Station, is_burst: bool):
    claim = station.offer(20)
    station.client.config_set("maxmemory", 1)
    try:
        fetched = station.fetch(is_burst=is_burst, max_fetched=1)
    finally:
        station.client.config_set("maxmemory", 0)

    assert fetched == 1
    assert station.in_flight.accepted == [(claim.ids, False)]
    assert {*station.client.scan_iter("rq:*")} == {b"rq:queues"}


def test_schedules_of_an_envelope_are_planned(station: Station):
    data = '["workers.deliver.deliver", null, [["1"], ["a", "b"], true], {}]'
    station.enqueue_raw("job", data)

    station.fetch()

    assert station.planned == [["a", "b"]]
    assert station.in_flight.accepted == [(["1"], True)]


def test_envelopes_are_fetched_in_order_up_to_a_maximum(station: Station):
    first = station.offer(2)
    second = station.offer(1)

    assert station.fetch(max_fetched=1) == 1
    assert station.in_flight.accepted == [(first.ids, False)]
    assert station.fetch(max_fetched=5) == 1
    assert station.in_flight.accepted[1:] == [(second.ids, False)]


def test_nothing_is_fetched_after_accepting_has_stopped(station: Station):
    station.in_flight = FakeInFlight(maximum=0)
    station.offer(1)

    assert station.fetch(is_burst=False) == 0
    assert len(station.queue.job_ids) == 1


def test_an_envelope_that_arrives_during_a_wait_is_fetched_at_once(station: Station):
    async def wait_and_offer(fetcher: Fetcher) -> int:
        fetching = asyncio.create_task(
            fetcher.fetch(for_s=60, is_burst=False, max_fetched=1)
        )
        await asyncio.to_thread(station.offer, 1)
        await fetching
        return fetcher.fetched

    assert station.with_fetcher(wait_and_offer) == 1


def test_e14_no_envelope_is_fetched_without_room_for_it(station: Station):
    station.in_flight = FakeInFlight(room=1)
    for _ in range(2):
        station.offer(1)

    assert station.fetch(for_s=0.1) == 1
    assert len(station.queue.job_ids) == 1


def test_r13_an_error_with_one_envelope_does_not_affect_the_next(
    station: Station, caplog: pytest.LogCaptureFixture
):
    first, second = station.offer(1), station.offer(1)
    station.in_flight = FakeInFlight(bad=first.ids[0])

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
def test_r13_a_job_that_is_no_envelope_is_left_to_rq_and_the_next_is_fetched(
    station: Station, data: str | None, caplog: pytest.LogCaptureFixture
):
    garbage = station.enqueue_raw("foreign-job", data)
    claim = station.offer(1)

    assert station.fetch() == 2

    assert station.in_flight.accepted == [(claim.ids, False)]
    assert station.unread == [garbage.encode()]
    assert station.client.exists(Job.key_for(garbage)) == (data is not None)
    assert "envelope.unreadable" in caplog.text


def test_r13_a_job_id_that_is_not_utf8_is_removed(station: Station):
    station.client.rpush(station.queue.key, b"\xff\x00")
    claim = station.offer(1)

    station.fetch()

    assert station.in_flight.accepted == [(claim.ids, False)]
    # If the job stayed in RQ, RQ's maintenance would fail to decode the job's id.
    assert station.unread == []
