"""Reports the results of attempts to the store, which changes breakers."""

import asyncio
import logging
import random
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from redis.exceptions import RedisError
from scheduler_api.core import logfmt
from scheduler_api.core.delivery.causes import cause
from scheduler_api.core.delivery.destinations import BadDestination
from scheduler_api.core.delivery.retry import RETRY_AFTER_STATUSES, retry_after_ms
from scheduler_api.core.model import Begun
from scheduler_api.core.settings.limits import BreakerLimits
from scheduler_api.core.store import gate_names
from scheduler_api.core.store.leases import Outcomes, WorkerStore
from workers.delivery.pacer import Pacer
from workers.delivery.suspicion import Suspicion
from workers.http_client.client import Result
from workers.http_client.failures import ORIGIN_FAILURES, ROUTE_FAILURES

log = logging.getLogger("scheduler.worker")

REPORT_EVERY_S = 1.0
# The store compares the last ten outcomes.
LATEST = 10
# How many origins and routes are remembered because their last attempt failed.
MAX_REMEMBERED = 10_000
# How many responses in a row must ask for a delay.
DELAYS_TO_OPEN = 3
# By how much the time until a probe may differ from the setting.
DEVIATION = 0.2
SUCCESS, ROUTE_FAILURE, ORIGIN_FAILURE, DELAY, NEUTRAL = "s", "r", "o", "n", "x"
# The words for codes of the store.
STATES = {"half_open": "half-open", "probe_failed": "probe failed"}


@dataclass
class Counts:
    """Attempts at an origin or route since the last report; see `Outcomes`."""

    attempts: int = 0
    failures: int = 0
    successes: int = 0
    latest: str = ""
    latest_held: str = ""
    delay_ms: int = 0
    is_notable: bool = False  # whether any attempt was not a success
    url: str = ""  # of the last attempt
    cause: str = ""

    def add_success(self, url: str, *, held: bool) -> None:
        """Count a successful attempt."""
        self.url = url
        self.attempts += 1
        self.successes += 1
        self._add_latest(SUCCESS, held=held)

    def add_other(
        self, outcome: str, *, failed: bool, held: bool, url: str, cause: str
    ) -> None:
        """Count an attempt that was not successful."""
        self.url, self.cause = url, cause
        self.is_notable = True
        self.attempts += outcome not in (DELAY, NEUTRAL)
        self.failures += failed
        self._add_latest(outcome, held=held)

    def _add_latest(self, outcome: str, *, held: bool) -> None:
        if outcome != NEUTRAL:
            self.latest = (self.latest + outcome)[-LATEST:]
        if held:
            self.latest_held = (self.latest_held + outcome)[-LATEST:]

    def add_delay(self, delay_ms: int) -> None:
        """Note how long the receiver asked to wait."""
        self.delay_ms = min(self.delay_ms or delay_ms, delay_ms)

    @property
    def delays_in_a_row(self) -> int:
        """How many of the last responses asked for a delay."""
        return len(self.latest) - len(self.latest.rstrip(DELAY))


@dataclass
class Reported:
    """What a worker has reported of an origin or route that does not work.

    `failures` are those that did not change the breaker, `delays` those in a row.
    """

    failures: int = 0
    delays: int = 0

    def add(self, counts: Counts, *, limit: int) -> None:
        """Add what is about to be reported."""
        self.failures += counts.failures
        if self.failures >= limit:
            self.failures = 0
        row = counts.delays_in_a_row
        self.delays = row + (self.delays if row == len(counts.latest) else 0)


NOTHING = Reported()


class BreakerReports:
    """Count attempts by origin and by route, and report them to the store.

    An origin or route is "held" while its events may have to wait, because its breaker
    is not closed. What failed is reported until a success was reported. Other origins
    are reported only if they are held, other routes only if they or their origins are:
    events of a route with a success pass a slowed origin. While the worker suspects
    itself, it reports nothing.
    """

    def __init__(
        self,
        store: WorkerStore,
        limits: BreakerLimits,
        *,
        pacer: Pacer | None = None,
        suspicion: Suspicion | None = None,
    ) -> None:
        self._store = store
        self._limits = limits
        self._pacer = pacer or Pacer(0)
        # By gate. Both are reported together, routes first.
        self._routes = defaultdict[str, Counts](Counts)
        self._origins = defaultdict[str, Counts](Counts)
        # By gate, for gates to report even if all attempts succeed, least recent first.
        self._remembered: dict[str, Reported] = {}
        self._urgent = asyncio.Event()
        self._suspicion = suspicion or Suspicion()

    def count(self, begun: Begun, result: Result) -> None:
        """Count an attempt; report at once if the attempt may change a breaker."""
        if not (self._limits.attempts and begun.origin):
            return
        if self._suspicion.is_active:
            self._clear_counts()
            return
        outcome, delay_ms = classify(result)
        held = begun.origin_held or begun.route_held
        if outcome == SUCCESS:
            self._count_success(begun)
        elif outcome != NEUTRAL or held:
            self._count_other(begun, result, outcome, delay_ms)
        if held:
            self._urgent.set()

    def _count_success(self, begun: Begun) -> None:
        url = "" if begun.content is None else begun.content.url
        self._origins[begun.origin].add_success(url, held=begun.origin_held)
        self._routes[begun.route].add_success(url, held=begun.route_held)
        self._pacer.note(begun.route, succeeded=True)
        if begun.origin_held:
            self._remember(begun.origin)
        if begun.origin_held or begun.route_held or begun.passes_origin:
            self._remember(begun.route)

    def _count_other(
        self, begun: Begun, result: Result, outcome: str, delay_ms: int
    ) -> None:
        found = cause(result.status, result.error, result.detail)
        sentence = found.sentence if found else ""
        url = "" if begun.content is None else begun.content.url
        origin = self._origins[begun.origin]
        origin.add_other(
            outcome,
            failed=outcome == ORIGIN_FAILURE,
            held=begun.origin_held,
            url=url,
            cause=sentence,
        )
        may_trip = self._may_trip(begun.origin, origin)
        if outcome != ORIGIN_FAILURE:
            route = self._routes[begun.route]
            route.add_other(
                outcome,
                failed=outcome == ROUTE_FAILURE,
                held=begun.route_held,
                url=url,
                cause=sentence,
            )
            if outcome == DELAY:
                route.add_delay(delay_ms)
            may_trip = may_trip or self._may_trip(begun.route, route)
        if outcome != NEUTRAL:
            self._pacer.note(begun.route, succeeded=False)
        self._remember(begun.origin)
        self._remember(begun.route)
        if may_trip:
            self._pacer.set_reporting(True)
            self._urgent.set()

    def _clear_counts(self) -> None:
        self._routes.clear()
        self._origins.clear()

    def _may_trip(self, gate: str, counts: Counts) -> bool:
        """Whether the attempts of this worker alone are enough to change a breaker."""
        before = self._remembered.get(gate, NOTHING)
        if counts.latest[-1:] == DELAY:
            return before.delays + counts.delays_in_a_row >= DELAYS_TO_OPEN
        enough = before.failures + counts.failures >= self._limits.attempts
        percent = self._limits.percent
        return enough and counts.failures * 100 >= counts.attempts * percent

    def _remember(self, gate: str) -> None:
        self._remembered[gate] = self._remembered.pop(gate, Reported())
        if len(self._remembered) > MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]

    async def run(self) -> None:
        """Report once a second, or at once if a report is urgent, until cancelled."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._urgent.wait(), REPORT_EVERY_S)
            self._urgent.clear()
            if self._suspicion.is_active:
                self._clear_counts()
            counts = {**self._routes, **self._origins}
            self._clear_counts()
            reported = {g: c for g, c in counts.items() if g in self._remembered}
            for gate, each in reported.items():
                if each.successes and not each.is_notable:
                    del self._remembered[gate]
                else:
                    limit = self._limits.attempts
                    self._remembered[gate].add(each, limit=limit)
            if reported:
                await self._send(reported)
            self._pacer.set_reporting(self._urgent.is_set())

    async def _send(self, reported: dict[str, Counts]) -> None:
        outcomes = {gate: _outcomes(gate, each) for gate, each in reported.items()}
        deviation = random.uniform(1 - DEVIATION, 1 + DEVIATION)
        try:
            changed = await self._store.report(
                outcomes, limits=self._limits, deviation=deviation
            )
        except RedisError as err:
            log.warning(logfmt.line("report.failed", problem=err))
            return
        for gate, state in changed.items():
            log.warning(
                logfmt.line(
                    "breaker.changed",
                    url=outcomes[gate].url or gate,
                    tenant=gate.split(":")[1],
                    state=STATES.get(state, state),
                    cause=outcomes[gate].cause or None,
                )
            )


def classify(result: Result) -> tuple[str, int]:
    """Return the outcome of an attempt, and the wait in ms that the receiver requests.

    The outcome is NEUTRAL if the attempt says nothing about the receiver.
    """
    if result.status in RETRY_AFTER_STATUSES:
        delay_ms = _requested_ms(result)
        if delay_ms:
            return DELAY, delay_ms
    if result.status is not None:
        return (SUCCESS if result.status < 500 else ROUTE_FAILURE), 0
    if result.error in ORIGIN_FAILURES:
        return ORIGIN_FAILURE, 0
    return (ROUTE_FAILURE if result.error in ROUTE_FAILURES else NEUTRAL), 0


def _requested_ms(result: Result) -> int:
    values = {name.lower(): value for name, value in reversed(result.headers)}
    ended_ms = result.started_ms + int(result.total_ms)
    return retry_after_ms(values.get("retry-after", ""), now_ms=ended_ms)


def _outcomes(gate: str, counts: Counts) -> Outcomes:
    return Outcomes(
        attempts=counts.attempts,
        failures=counts.failures,
        successes=counts.successes,
        latest=counts.latest,
        latest_held=counts.latest_held,
        delay_ms=counts.delay_ms,
        url=_readable(gate, counts.url),
        cause=counts.cause,
    )


def _readable(gate: str, url: str) -> str:
    """Return the origin or route of a URL, for people; '' if it is unknown."""
    readable = (
        gate_names.readable_route
        if gate_names.is_route(gate)
        else gate_names.readable_origin
    )
    try:
        return readable(url)
    except BadDestination:
        return ""
