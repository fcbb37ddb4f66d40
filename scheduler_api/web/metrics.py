"""Renders the state of the whole cell for Prometheus.

Counters come from the store, so that they survive restarts, and are the same in every
web process.
"""

import redis
import time
from collections import Counter
from collections.abc import Iterator
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
from scheduler_api.core.queries import counts, failing, held, store_state
from scheduler_api.core.store import keys, statistics
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.gate_names import (
    DESTINATION,
    EVERYTHING,
    FLOW,
    HOST,
    QUEUE,
    TENANT,
)
from scheduler_api.core.store.statistics import LATE_BOUNDS_MS, Totals
from scheduler_api.web.readiness import Readiness
from werkzeug import Response

# Further destinations are left out: each one would be a time series of its own.
MAX_DESTINATIONS = 10
# The roles whose processes are missing if none has reported.
ROLES = ("web", "ticker", "worker", "clock", "chores")
# The values of the label `gate`, by the kind of a gate.
GATES = {
    QUEUE: "queue",
    FLOW: "flow_control_key",
    DESTINATION: "destination",
    held.SLOW: "slow_destinations",
    TENANT: "tenant_limit",
    HOST: "host_limit",
    EVERYTHING: "global_limit",
}


class CellCollector(Collector):
    """Reads the metrics from the store. Redis: a fixed number of round trips."""

    def __init__(self, cell: Cell, readiness: Readiness) -> None:
        self._cell = cell
        self._readiness = readiness

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics that the store answers; leave out all others.

        After a failed connection or a time-out, do not wait for the store again:
        Prometheus waits for ten seconds only.
        """
        parts = (
            *(self._processes, self._totals, self._backlog, self._waiting),
            *(self._dead_letters, self._rq_jobs, self._memory, self._failing),
        )
        for part in parts:
            try:
                yield from [*part()]
            except (redis.ConnectionError, redis.TimeoutError):
                return
            except redis.RedisError:
                continue

    def _processes(self) -> Iterator[Metric]:
        answer = self._readiness.check()
        if answer.oldest_due_ms is None:
            return
        yield GaugeMetricFamily(
            "scheduler_oldest_due_age_seconds",
            "How long the oldest event that nobody has claimed has been due.",
            value=answer.oldest_due_ms / 1000,
        )
        running = Counter(dict.fromkeys(ROLES, 0))
        running.update(each.role for each in answer.processes)
        yield _gauges(
            "scheduler_processes",
            "Processes that have reported in the last ten seconds.",
            "role",
            running,
        )

    def _totals(self) -> Iterator[Metric]:
        started_s = time.monotonic()
        totals = statistics.read_totals(self._cell)
        yield GaugeMetricFamily(
            "scheduler_store_latency_seconds",
            "Duration of one read of the store, measured at the scrape.",
            value=time.monotonic() - started_s,
        )
        yield from _counters(totals)
        yield _histogram(
            "scheduler_lateness_seconds",
            "Lateness of first attempts: from when the event was due to the request.",
            totals.late,
            totals.late_ms,
        )
        yield _histogram(
            "scheduler_attempt_duration_seconds",
            "Duration of attempts that made a request, until the end of the response.",
            totals.durations,
            totals.duration_ms,
        )

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

    def _waiting(self) -> Iterator[Metric]:
        found = held.held(self._cell, None, []).by_kind
        yield _gauges(
            "scheduler_waiting_events",
            "Events that wait at queues, flow-control keys, limits and breakers.",
            "gate",
            {name: found[kind] for kind, name in GATES.items()},
        )

    def _dead_letters(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "scheduler_dead_letters",
            "Events that failed for good, until they are replayed or deleted.",
            value=counts.dead_letters(self._cell),
        )

    def _rq_jobs(self) -> Iterator[Metric]:
        yield _gauges(
            "scheduler_rq_jobs",
            "Jobs that wait in RQ for a worker.",
            "queue",
            counts.rq_jobs(self._cell),
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

    def _failing(self) -> Iterator[Metric]:
        found = failing.failing(self._cell, None, now_ms=self._cell.now_ms())
        yield _gauges(
            "scheduler_destination_recent_failures",
            "Failed attempts in this hour and the one before, at the ten destinations"
            " with the most, among those whose last attempt failed.",
            "destination",
            {each.name: each.counts.failed for each in found[:MAX_DESTINATIONS]},
        )


def render(cell: Cell, readiness: Readiness) -> Response:
    """Return the response to a scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(CellCollector(cell, readiness))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _counters(totals: Totals) -> Iterator[Metric]:
    family = CounterMetricFamily(
        "scheduler_attempts",
        "Attempts that ended, by outcome and by the cause of a failure.",
        labels=["outcome", "cause"],
    )
    family.add_metric(["delivered", ""], totals.delivered)
    for cause, count in sorted(totals.causes.items()):
        family.add_metric(["failed", cause], count)
    yield family
    yield CounterMetricFamily(
        "scheduler_created_events",
        "Events that were stored: by clients, schedules, callbacks and replays.",
        value=totals.created,
    )
    yield CounterMetricFamily(
        "scheduler_claimed_events",
        "Offers of events to workers; each attempt needs at least one.",
        value=totals.claimed,
    )
    yield CounterMetricFamily(
        "scheduler_lost_leases",
        "Attempts whose lease ended, because the worker died or could not renew it.",
        value=totals.lost_leases,
    )


def _histogram(name: str, help_: str, buckets: Counter[int], sum_ms: int) -> Metric:
    below = accumulate(buckets[i] for i in range(len(LATE_BOUNDS_MS) + 1))
    bounds = [*(str(ms / 1000) for ms in LATE_BOUNDS_MS), "+Inf"]
    family = HistogramMetricFamily(name, help_)
    family.add_metric([], [*zip(bounds, below, strict=True)], sum_ms / 1000)
    return family


def _gauges(name: str, help_: str, label: str, values: dict[str, int]) -> Metric:
    family = GaugeMetricFamily(name, help_, labels=[label])
    for value_of_label, value in sorted(values.items()):
        family.add_metric([value_of_label], value)
    return family
