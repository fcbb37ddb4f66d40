"""Tests of the log line and the entry in `/readyz` of a worker with slow receivers."""

import logging
import pytest
import redis
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from ipaddress import ip_network
from rq import Queue
from rq.serializers import JSONSerializer
from scheduler_api.app import create_app
from scheduler_api.core.model import Content, Draft, Owner
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.rq_envelopes import QUEUE
from scheduler_api.dialects import outbound
from scheduler_api.settings import Settings
from tests.system.processes import wait_until
from types import SimpleNamespace
from workers.bootstrap import open_cell
from workers.delivery import delivery_loop, in_flight
from workers.delivery.delivery_loop import DeliveryLoop
from workers.ticker import Ticker

CAPACITY = 10


class Worker:
    """A delivery loop whose receivers never answer, and the clock of its reports."""

    def __init__(self, client: redis.Redis, settings: Settings, port: int) -> None:
        self._port = port
        self._cell = open_cell(settings)
        tenant = outbound.tenants(self._cell, settings).create("one")
        self._owner = Owner(tenant.id, "jiter")
        self._ticker = Ticker(client, settings)
        self._ticker.tick()
        self._http = create_app(settings).test_client()
        queue = Queue(QUEUE, connection=client, serializer=JSONSerializer)
        self.loop = DeliveryLoop(queue, settings)
        self.now_s = 100.0

    def send(self, count: int) -> None:
        """Begin events, each to another origin."""
        begun = self.loop.in_flight
        origins = [f"127.0.0.{begun + n + 1}:{self._port}" for n in range(count)]
        drafts = [Draft(Content(f"http://{each}/", b""), 60_000) for each in origins]
        EventStore(self._cell).create_many(self._owner, drafts)
        self._ticker.tick()
        self.loop.fetch(for_s=5, is_burst=True, max_fetched=None)
        wait_until(lambda: self.loop.in_flight == begun + count)

    def degraded_after(self, seconds: float) -> list[str]:
        """Return what `/readyz` says after a report some seconds later."""
        self.now_s += seconds
        self.loop.report_alive()
        body = self._http.get("/readyz").json
        assert body is not None
        found: list[str] = body.get("degraded", [])
        return found


@pytest.fixture
def worker(valkey: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    settings = Settings(
        redis_url=valkey,
        secret_key="k" * 32,
        allow_networks=(ip_network("127.0.0.0/8"),),
        max_in_flight=CAPACITY,
        drain_grace_s=0,
    )
    with ExitStack() as stack:
        client = stack.enter_context(redis.Redis.from_url(valkey))
        client.flushall()
        listener = stack.enter_context(closing(socket.create_server(("0.0.0.0", 0))))
        started = Worker(client, settings, listener.getsockname()[1])
        stack.callback(started.loop.close)
        monkeypatch.setattr(in_flight, "SLOW_S", 0.0)
        clock = SimpleNamespace(monotonic=lambda: started.now_s)
        monkeypatch.setattr(delivery_loop, "time", clock)
        yield started


def test_i7_operators_are_told_that_slow_receivers_take_more_than_half_of_a_worker(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    worker.send(CAPACITY // 2)
    half = [worker.degraded_after(seconds) for seconds in (0, 11)]
    worker.send(1)
    with caplog.at_level(logging.WARNING):
        more = [worker.degraded_after(seconds) for seconds in (0, 9, 1, 5)]

    slow = ["slow receivers take more than half of the deliveries in 1 of 1 workers"]
    assert (half, more) == ([[], []], [[], [], slow, slow])
    [line] = [each for each in caplog.messages if "slow" in each]
    assert line.startswith("deliveries.slow events=6 ")
    assert line.count("http://127.0.0.") == 3
