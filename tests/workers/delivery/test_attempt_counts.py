"""Tests of what a worker counts of its attempts, and when it writes the counts."""

import asyncio
import fakeredis
import pytest
import redis
import socket
from ipaddress import ip_network
from scheduler_api.core.model import Begun, Content, Draft, Outcome, Owner
from scheduler_api.core.store import claims, statistics
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.leases import Report, Settlement, WorkerStore
from scheduler_api.core.store.statistics import DestinationCounts, Hour
from scheduler_api.dialects import outbound
from scheduler_api.settings import Settings
from tests import attempts
from tests.dialects.engine import TIMEOUTS
from tests.sync_worker import AwaitableClient
from typing import Any, cast
from workers.bootstrap import open_cell
from workers.delivery import attempt_counts
from workers.delivery.assembly import open_in_flight
from workers.delivery.attempt_counts import AttemptCounts

NOW_MS = attempts.NOW_MS
URL = "https://shop.example/users/7/hook?key=secret"
ORIGIN = "d:5:shop"


class Worker:
    """Counts attempts in a store whose clock is a minute ahead of the worker's."""

    def __init__(self, client: redis.Redis) -> None:
        self.cell = Cell(client, "{s1}:", clock_ms=NOW_MS)
        self.client = client
        self.calls_left = 100
        self.counts = AttemptCounts(
            WorkerStore(cast(Any, self), self.cell, lease_ms=1),
            clock=lambda: 40.0,
            wall_clock=lambda: NOW_MS / 1000 - 60,
        )

    async def fcall(self, *args: Any) -> Any:
        if not self.calls_left:
            raise redis.ConnectionError
        self.calls_left -= 1
        return await AwaitableClient(self.client).fcall(*args)

    async def function_load(self, source: str) -> Any:
        return self.client.function_load(source)

    def write(self) -> None:
        asyncio.run(self.counts.write())

    def end(
        self, outcome: Outcome, url: str = URL, origin: str = ORIGIN, **report: Any
    ) -> None:
        """Count an attempt that ended in this way."""
        begun = self.begun(url, origin)
        self.counts.count(
            begun,
            Settlement(
                event_id=begun.id,
                token=begun.token,
                attempt=1,
                outcome=outcome,
                log_entry=b"",
                report=Report(url=url, **report),
            ),
        )

    def begun(self, url: str = URL, origin: str = ORIGIN, **changes: Any) -> Begun:
        return attempts.begun("jiter", Content(url, b""), origin=origin, **changes)

    def hour(self) -> Hour:
        self.write()
        [hour] = statistics.read(self.cell, "5", since_ms=NOW_MS, now_ms=NOW_MS)
        return hour

    def destinations(self) -> dict[str, DestinationCounts]:
        return statistics.read_destinations(
            self.cell, "5", since_ms=NOW_MS, now_ms=NOW_MS
        )


@pytest.fixture
def worker() -> Worker:
    return Worker(fakeredis.FakeRedis())


def test_deliveries_and_failures_are_counted_by_cause_and_origin(
    worker: Worker,
) -> None:
    worker.end(Outcome.DELIVERED, status=200)
    worker.end(Outcome.DELIVERED, status=204)
    worker.end(Outcome.RETRY, status=503)
    worker.end(Outcome.DEAD, error="timeout")
    hour = worker.hour()

    assert (hour.delivered.total(), hour.failed.total()) == (2, 2)
    assert hour.causes == {"http-503": 1, "timeout": 1}
    assert worker.destinations() == {
        "https://shop.example": DestinationCounts(2, 2, True, NOW_MS, "timeout")
    }


def test_a_success_after_failures_shows_that_the_destination_works(
    worker: Worker,
) -> None:
    worker.end(Outcome.RETRY, status=503)
    worker.end(Outcome.DELIVERED, status=200)
    worker.write()

    [destination] = worker.destinations().values()
    assert (destination.is_failing, destination.cause) == (False, "http-503")


@pytest.mark.parametrize("outcome", [Outcome.INTERRUPTED, Outcome.UNSENT])
def test_an_attempt_without_an_outcome_counts_nothing(
    worker: Worker, outcome: Outcome
) -> None:
    worker.end(outcome, error="lease-lost")

    assert worker.hour() == Hour(worker.hour().starts_ms)
    assert worker.destinations() == {}


def test_an_event_for_a_url_group_is_no_delivery(worker: Worker) -> None:
    worker.end(Outcome.DELIVERED, url="")

    assert worker.hour().delivered == {}


def test_a_url_without_an_origin_is_counted_among_the_others(worker: Worker) -> None:
    worker.end(Outcome.DEAD, url="nonsense", error="bad-url")
    worker.write()

    assert worker.destinations()[""].failed == 1


@pytest.mark.parametrize("outcome", [Outcome.UNSENT, Outcome.DEAD])
def test_an_attempt_without_a_url_does_not_hide_the_name_of_its_origin(
    worker: Worker, outcome: Outcome
) -> None:
    worker.end(outcome, url="", error="unreadable")
    worker.write()
    worker.end(Outcome.DELIVERED, status=200)
    worker.write()

    assert worker.destinations()["https://shop.example"].delivered == 1


def test_lateness_is_measured_with_the_clock_of_the_store(worker: Worker) -> None:
    worker.write()
    late = worker.begun(wanted_ms=NOW_MS - 70)
    early = worker.begun(wanted_ms=NOW_MS + 1)
    worker.counts.count_begun([late, late, early], 40.0)
    worker.counts.count_begun([worker.begun(attempt=2, wanted_ms=0)], 40.0)
    hour = worker.hour()

    [part] = hour.late.values()
    assert part == {statistics.bucket_of(70): 2, 0: 1}
    assert hour.late_ms == 140


def test_the_duration_of_each_request_is_counted(worker: Worker) -> None:
    worker.end(Outcome.DELIVERED, status=200, total_ms=30)
    worker.end(Outcome.RETRY, error="timeout", total_ms=10_001)
    worker.end(Outcome.DEAD, error="unreadable")
    worker.end(Outcome.INTERRUPTED, error="lease-lost", total_ms=5)
    worker.write()

    totals = statistics.read_totals(worker.cell)
    buckets = statistics.bucket_of(30), statistics.bucket_of(10_001)
    assert totals.durations == dict.fromkeys(buckets, 1)
    assert totals.duration_ms == 10_031


def test_what_the_store_does_not_take_is_written_later(worker: Worker) -> None:
    worker.end(Outcome.DELIVERED, status=200)
    worker.calls_left = 0
    worker.write()
    worker.end(Outcome.DELIVERED, status=200)
    worker.write()
    worker.calls_left = 100

    assert worker.hour().delivered.total() == 2
    assert worker.hour().delivered.total() == 2


def test_no_count_is_added_twice_if_the_store_goes_away_between_two_calls(
    worker: Worker,
) -> None:
    for host in map(str, range(4 * statistics.DESTINATIONS_AT_ONCE)):
        worker.end(Outcome.DELIVERED, f"https://{host}.example/", host, status=200)
    worker.calls_left = 1
    worker.write()
    worker.calls_left = 100

    assert worker.hour().delivered.total() == 4 * statistics.DESTINATIONS_AT_ONCE
    assert len(worker.destinations()) == 4 * statistics.DESTINATIONS_AT_ONCE
    assert {each.delivered for each in worker.destinations().values()} == {1}


def test_a_worker_that_stops_writes_what_it_has_counted(
    valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt_counts, "WRITE_EVERY_S", 3_600)
    allowed = (ip_network("127.0.0.0/8"),)
    settings = Settings(redis_url=valkey, secret_key="k" * 32, allow_networks=allowed)
    with redis.Redis.from_url(valkey) as client, socket.socket() as closed:
        client.flushall()
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        cell = open_cell(settings)
        tenant = outbound.tenants(cell, settings).create("one").id
        owner, draft = Owner(tenant, "jiter"), Draft(Content(url, b""), 1_000)
        [event] = EventStore(cell).create_many(owner, [draft])
        claims.claim(cell, room=10, timeouts=TIMEOUTS)

        async def work() -> None:
            async with open_in_flight(settings) as in_flight:
                await in_flight.accept([event.id], isolated=False)
                await in_flight.drain(5)

        asyncio.run(work())
        now_ms = cell.now_ms()
        [*_, hour] = statistics.read(
            cell, tenant, since_ms=now_ms - 60_000, now_ms=now_ms
        )

    assert hour.causes == {"refused": 1}
    assert sum(part.total() for part in hour.late.values()) == 1
