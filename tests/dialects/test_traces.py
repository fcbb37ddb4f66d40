"""Tests of traces, with a collector that receives them by OTLP over HTTP."""

import importlib
import pytest
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from scheduler_api.core import spans as spans_module
from scheduler_api.core import traces
from tests.clients.receivers import Answer, Destination, Receivers, serve_receivers
from tests.dialects.conformance.adaptor import Adaptor, Client
from tests.dialects.conformance.world import World
from tests.system.processes import wait_until
from typing import Any

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLER = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1"}
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def receivers() -> Iterator[Receivers]:
    with serve_receivers() as receivers:
        yield receivers


@dataclass(frozen=True)
class Traced:
    """A world whose processes send their spans to a collector."""

    world: World
    adaptor: Adaptor
    collector: Destination
    receiver: Destination

    def client(self, caller: dict[str, str]) -> Client:
        """Return a client of a new tenant that sends these headers."""
        tenant = self.world.new_tenant()
        headers = self.adaptor.headers(tenant.token) | caller
        return Client(self.world.app, tenant, headers)

    def accept(self, caller: dict[str, str]) -> None:
        """Create a webhook, as a caller with these headers."""
        self.adaptor.accept(self.client(caller), self.receiver.url)

    def spans(self, count: int) -> list[Any]:
        """Wait for so many spans; return them by their start."""
        wait_until(lambda: len(self._received()) >= count)
        return sorted(self._received(), key=lambda span: span.start_time_unix_nano)

    def _received(self) -> list[Any]:
        exports = map(ExportTraceServiceRequest.FromString, self._bodies())
        return [
            span
            for export in exports
            for resource in export.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def _bodies(self) -> list[bytes]:
        return [each.body for each in self.collector.arrivals]


NewTraced = Callable[..., Traced]


@pytest.fixture
def new_traced(
    store_url: str, receivers: Receivers, monkeypatch: pytest.MonkeyPatch
) -> Iterator[NewTraced]:
    """A function that creates a world.

    Args:
        answers: those of the receiver.
        endpoint: of the collector; '': one that takes all spans.
    """

    def new(dialect: str = "jiter", *answers: Answer, endpoint: str = "") -> Traced:
        collector = receivers.new_destination()
        endpoint = endpoint or collector.url
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        monkeypatch.setattr(spans_module, "CLOSE_WITHIN_S", 0.1)
        spans = traces.open_spans(are_wanted=True, role="worker")
        world = World(store_url, spans=spans, otlp_endpoint=endpoint)
        opened.extend((spans, world.app.extensions[traces.EXTENSION]))
        adaptor = importlib.import_module(f"tests.dialects.{dialect}.adaptor").ADAPTOR
        return Traced(world, adaptor, collector, receivers.new_destination(*answers))

    opened: list[traces.Spans] = []
    yield new
    for each in opened:
        each.close()


@pytest.mark.parametrize("dialect", ["jiter", "qstash"])
def test_the_callers_trace_leads_through_all_processes_to_the_receiver(
    new_traced: NewTraced, dialect: str
) -> None:
    traced = new_traced(dialect)
    traced.accept(CALLER)
    traced.world.run_for(HOUR_MS)
    spans = {each.name: each for each in traced.spans(3)}
    [arrival] = traced.receiver.arrivals

    assert spans.keys() == {"create", "claim", "attempt"}
    assert {each.trace_id.hex() for each in spans.values()} == {TRACE}
    assert spans["create"].parent_span_id.hex() == PARENT
    for name in ("claim", "attempt"):
        assert spans[name].parent_span_id == spans["create"].span_id
    sent = spans["attempt"].span_id.hex()
    assert arrival.headers["traceparent"] == f"00-{TRACE}-{sent}-01"
    assert arrival.headers["tracestate"] == "vendor=1"


def test_a_run_of_a_schedule_has_a_trace_of_its_own(new_traced: NewTraced) -> None:
    traced = new_traced("events_v1")
    traced.accept(CALLER)
    traced.world.run_for(HOUR_MS)
    [attempt] = traced.spans(1)
    [arrival] = traced.receiver.arrivals

    assert (attempt.name, attempt.parent_span_id) == ("attempt", b"")
    assert attempt.trace_id.hex() != TRACE
    assert "traceparent" not in arrival.headers


def test_each_attempt_has_a_span_of_its_own(new_traced: NewTraced) -> None:
    traced = new_traced("jiter", Answer(500), Answer())
    traced.accept(CALLER)
    traced.world.run_for(HOUR_MS)
    spans = traced.spans(4)

    assert sorted(each.name for each in spans) == ["attempt"] * 2 + ["claim", "create"]
    sent = [each.headers["traceparent"] for each in traced.receiver.arrivals]
    attempts = [each for each in spans if each.name == "attempt"]
    assert [each.split("-")[2] for each in sent] == [
        each.span_id.hex() for each in attempts
    ]
    assert [each.status.code for each in attempts] == [2, 0]


def test_the_events_of_a_url_group_are_below_the_creation_of_the_message(
    new_traced: NewTraced,
) -> None:
    traced = new_traced("qstash")
    client = traced.client(CALLER)
    endpoints = {"endpoints": [{"url": f"{traced.receiver.url}?{n}"} for n in "ab"]}
    client.call("POST", "/v2/topics/g/endpoints", json=endpoints)
    client.call("POST", "/v2/publish/g", data=b"x")
    traced.world.run_for(HOUR_MS)
    spans = traced.spans(5)

    [create] = [each for each in spans if each.name == "create"]
    attempts = [each for each in spans if each.name == "attempt"]
    assert {each.parent_span_id for each in attempts} == {create.span_id}
    assert [each.headers["traceparent"][3:35] for each in traced.receiver.arrivals] == [
        TRACE,
        TRACE,
    ]


def test_the_publishers_own_traceparent_is_sent_as_it_is(
    new_traced: NewTraced,
) -> None:
    traced, own = new_traced("qstash"), f"00-{'1' * 32}-{'2' * 16}-01"
    client = traced.client(CALLER | {"Upstash-Forward-Traceparent": own})
    client.call("POST", f"/v2/publish/{traced.receiver.url}", data=b"x")
    traced.world.run_for(HOUR_MS)

    assert traced.receiver.arrivals[0].headers["traceparent"] == own


def test_without_a_callers_trace_the_receiver_gets_none(new_traced: NewTraced) -> None:
    traced = new_traced()
    traced.accept({})
    traced.world.run_for(HOUR_MS)
    spans = traced.spans(3)
    [arrival] = traced.receiver.arrivals

    assert len({each.trace_id for each in spans}) == 1
    assert "traceparent" not in arrival.headers


def test_a_trace_that_the_caller_does_not_sample_is_not_sent(
    new_traced: NewTraced,
) -> None:
    traced = new_traced()
    traced.accept({"traceparent": f"00-{TRACE}-{PARENT}-00"})
    traced.accept({})
    traced.world.run_for(HOUR_MS)
    spans = traced.spans(3)

    assert TRACE not in {each.trace_id.hex() for each in spans}
    handed_on = [each.headers.get("traceparent") for each in traced.receiver.arrivals]
    assert sorted(filter(None, handed_on))[0].startswith(f"00-{TRACE}-")
    assert sorted(filter(None, handed_on))[0].endswith("-00")


def test_a_collector_that_is_away_delays_no_delivery(new_traced: NewTraced) -> None:
    traced = new_traced(endpoint="http://127.0.0.1:1")
    traced.accept(CALLER)
    traced.world.run_for(HOUR_MS)

    assert len(traced.receiver.arrivals) == 1


def test_without_an_endpoint_nothing_is_recorded(
    store_url: str, receivers: Receivers
) -> None:
    adaptor: Adaptor = importlib.import_module("tests.dialects.jiter.adaptor").ADAPTOR
    receiver, nobody = receivers.new_destination(), receivers.new_destination()
    traced = Traced(World(store_url), adaptor, nobody, receiver)
    traced.accept(CALLER)
    traced.world.run_for(HOUR_MS)

    assert "traceparent" not in receiver.arrivals[0].headers


def test_a_missing_library_is_logged_and_ends_no_process(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(traces, "MODULE", "scheduler_api.core.no_such_module")

    assert traces.open_spans(are_wanted=True, role="web") is None
    assert "traces.not_sent" in caplog.text
