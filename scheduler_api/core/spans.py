"""Records the traces of events with OpenTelemetry, and sends them by OTLP over HTTP.

Only `traces.open_spans` imports this module: its library need not be installed. The
library itself reads the variables OTEL_*.
"""

import logging
import orjson
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from scheduler_api.core import public_ids
from scheduler_api.core.model import Begun, Draft, Owner
from scheduler_api.core.traces import CALLER, CALLERS_HEADERS, Headers
from threading import Thread
from urllib.parse import urlsplit

SERVICE = "scheduler"
CLOSE_WITHIN_S = 2.0
# Whether the caller has sent a trace context, in what is stored of it.
FROM_CALLER = "fromCaller"
W3C = TraceContextTextMapPropagator()
NOBODY: Mapping[str, str] = {}


class AttemptSpan:
    """The span of one attempt."""

    def __init__(self, span: Span, headers: Headers) -> None:
        self._span = span
        self.headers = headers

    def note(self, status: int | None, error: str | None) -> None:
        """Note the result of the attempt."""
        if status is not None:
            self._span.set_attribute("http.response.status_code", status)
        if error is not None:
            self._span.set_attribute("error.type", error)
        if error is not None or (status or 0) >= 400:
            self._span.set_status(StatusCode.ERROR)


class Spans:
    """Records the spans of one process."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("scheduler_api")

    def close(self) -> None:
        """Send what is left; give up after two seconds."""
        # The library itself would wait for 30 seconds.
        closing = Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_WITHIN_S)

    @contextmanager
    def create(self, owner: Owner, drafts: Sequence[Draft]) -> Iterator[list[Draft]]:
        """Record that drafts are stored; yield them with the context of this span."""
        caller = CALLER.get(NOBODY)
        attributes = {**_owner(owner), "scheduler.events": len(drafts)}
        with self._tracer.start_as_current_span(
            "create",
            context=W3C.extract(caller),
            kind=SpanKind.PRODUCER,
            attributes=attributes,
        ) as span:
            trace = _encode(span, from_caller=bool(caller))
            yield [
                replace(each, content=replace(each.content, trace=trace))
                for each in drafts
            ]

    @contextmanager
    def attempt(self, begun: Begun, headers: Headers) -> Iterator[AttemptSpan]:
        """Record an attempt and, before the first one, how long the event waited."""
        trace, content = {}, begun.content
        if content is not None and content.trace:
            trace = orjson.loads(content.trace)
        parent = W3C.extract(trace)
        if trace and begun.attempt == 1:
            self._record_claim(begun, parent)
        with self._tracer.start_as_current_span(
            "attempt", context=parent, kind=SpanKind.CLIENT, attributes=_attempt(begun)
        ) as span:
            if trace.get(FROM_CALLER):
                headers = _with_context(span, headers)
            yield AttemptSpan(span, headers)

    def _record_claim(self, begun: Begun, parent: Context) -> None:
        """Record the time from when an event was due until its attempt begins."""
        now_ns = time.time_ns()
        span = self._tracer.start_span(
            "claim",
            context=parent,
            start_time=min(begun.wanted_ms * 1_000_000, now_ns),
            attributes=_event(begun),
        )
        span.end(now_ns)


def new(role: str) -> Spans:
    """Return what records spans, and sends them from a thread of its own.

    Args:
        role: of this process.
    """
    # It warns of each try; an error follows when it gives a batch of spans up.
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)
    own = Resource({"service.name": SERVICE, "scheduler.role": role})
    resource = own.merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Spans(provider)


def _encode(span: Span, *, from_caller: bool) -> str:
    """Return what is stored of a span, for the spans below it."""
    found: dict[str, str | bool] = dict(_context_of(span))
    if from_caller:
        found[FROM_CALLER] = True
    return orjson.dumps(found).decode()


def _context_of(span: Span) -> dict[str, str]:
    """Return the headers of the W3C that name a span."""
    headers: dict[str, str] = {}
    W3C.inject(headers, set_span_in_context(span))
    return headers


def _with_context(span: Span, headers: Headers) -> Headers:
    """Add the context of a span, unless the publisher has set another one."""
    if any(name.lower() in CALLERS_HEADERS for name, _ in headers):
        return headers
    return (*headers, *_context_of(span).items())


def _owner(owner: Owner) -> dict[str, str | int]:
    return {"scheduler.tenant": owner.tenant, "scheduler.dialect": owner.dialect}


def _event(begun: Begun) -> dict[str, str | int]:
    event = public_ids.event_id(begun.owner, begun.id)
    return {**_owner(begun.owner), "scheduler.event": event}


def _attempt(begun: Begun) -> dict[str, str | int]:
    url = urlsplit(begun.content.url if begun.content else "")
    return {
        **_event(begun),
        "scheduler.attempt": begun.attempt,
        "server.address": url.hostname or "",
    }
