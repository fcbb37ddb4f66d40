"""Renders the state of the whole cell for Prometheus.

Counters come from the store, so that they survive restarts, and are the same in every
web process.
"""

import time
from collections import Counter
from collections.abc import Iterator
from flask import Response
from itertools import accumulate
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from scheduler_api.core.queries import failing, held, store_state
from scheduler_api.core.store import keys, statistics
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.statistics import LATE_BOUNDS_MS, Totals
from scheduler_api.web.readiness import Answer, Readiness

# Further destinations are left out: each one would be a time series of its own.
MAX_DESTINATIONS = 10


class CellCollector(Collector):
    """Reads the metrics from the store. Redis: a fixed number of round trips."""

    def __init__(self, cell: Cell, readiness: Readiness) -> None:
        self._cell = cell
        self._readiness = readiness

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        started_s = time.monotonic()
        totals = statistics.read_totals(self._cell)
        latency_s = time.monotonic() - started_s
        yield GaugeMetricFamily(
            "scheduler_store_latency_seconds",
            "Duration of one read of the store, measured at the scrape.",
            value=latency_s,
        )
        yield from _attempts(totals)
        yield from _processes(self._readiness.check())
        yield from self._backlog()
        yield from self._memory()
        yield self._failing()

    def _backlog(self) -> Iterator[Metric]:
        pipe = self._cell.client.pipeline(transaction=False)
        pipe.zcount(keys.due(self._cell.prefix), "-inf", self._cell.now_ms())
        pipe.zcard(keys.leased(self._cell.prefix))
        due, leased = pipe.execute()
        yield GaugeMetricFamily(
            "scheduler_due",
            "Events, schedules and checks of gates that are due and not claimed.",
            value=due,
        )
        yield GaugeMetricFamily(
            "scheduler_leased_events", "Events that workers hold.", value=leased
        )
        yield GaugeMetricFamily(
            "scheduler_waiting_events",
            "Events that wait at queues, flow-control keys, limits and breakers.",
            value=held.held(self._cell, None, []).events,
        )

    def _memory(self) -> Iterator[Metric]:
        state = store_state.read(self._cell)
        yield GaugeMetricFamily(
            "scheduler_store_memory_bytes",
            "Memory that the store uses.",
            value=state.used_bytes,
        )
        yield GaugeMetricFamily(
            "scheduler_store_memory_limit_bytes",
            "Memory limit of the store; 0 for none.",
            value=state.limit_bytes,
        )

    def _failing(self) -> Metric:
        family = GaugeMetricFamily(
            "scheduler_destination_recent_failures",
            "Failed attempts in this hour and the one before, at the ten destinations"
            " with the most, among those whose last attempt failed.",
            labels=["destination"],
        )
        found = failing.failing(self._cell, None, now_ms=self._cell.now_ms())
        for each in found[:MAX_DESTINATIONS]:
            family.add_metric([each.name], each.counts.failed)
        return family


def render(cell: Cell, readiness: Readiness) -> Response:
    """Return the response to a scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(CellCollector(cell, readiness))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _attempts(totals: Totals) -> Iterator[Metric]:
    family = CounterMetricFamily(
        "scheduler_attempts",
        "Attempts that ended, by outcome and by the cause of a failure.",
        labels=["outcome", "cause"],
    )
    family.add_metric(["delivered", ""], totals.delivered)
    for cause, count in sorted(totals.causes.items()):
        family.add_metric(["failed", cause], count)
    yield family
    counts = accumulate(totals.late[i] for i in range(len(LATE_BOUNDS_MS) + 1))
    bounds = [*(str(ms / 1000) for ms in LATE_BOUNDS_MS), "+Inf"]
    late = HistogramMetricFamily(
        "scheduler_lateness_seconds",
        "Lateness of first attempts: from when the event was due to the request.",
    )
    late.add_metric([], [*zip(bounds, counts, strict=True)], totals.late_ms / 1000)
    yield late


def _processes(answer: Answer) -> Iterator[Metric]:
    if answer.oldest_due_ms is not None:
        yield GaugeMetricFamily(
            "scheduler_oldest_due_age_seconds",
            "How long the oldest event that nobody has claimed has been due.",
            value=answer.oldest_due_ms / 1000,
        )
    family = GaugeMetricFamily(
        "scheduler_processes",
        "Processes that have reported in the last ten seconds.",
        labels=["role"],
    )
    running = Counter({"web": 0, "ticker": 0, "worker": 0})
    running.update(each.role for each in answer.processes)
    for role, count in sorted(running.items()):
        family.add_metric([role], count)
    yield family
