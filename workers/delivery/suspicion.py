"""Whether a worker suspects itself, and not the receivers, of failed attempts."""

import asyncio
import logging
import time
from collections.abc import Callable
from scheduler_api.core import logfmt
from scheduler_api.core.model import Begun
from typing import TypeVar
from workers.http_client.client import Result
from workers.http_client.failures import CONNECTION_FAILURES, Failure

log = logging.getLogger("scheduler.worker")

# So many origins must fail within this time, without a response from any.
ORIGINS = 5
WITHIN_S = 10.0
# An origin that failed while others responded does not count for this long.
REFUTED_S = 60.0
# A worker that suspects itself begins so many events, and waits before it begins more.
PROBES = 5
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 15.0
# It first tries other routes than those that failed.
OTHERS_FIRST_S = 1.0
# It tries again, even if the probes have not ended.
PROBES_TAKE_S = 60.0
# An event is given back for so long. Then its failures count.
UNCHARGED_S = 300.0
# How long the failure of a last attempt waits for further evidence.
EVIDENCE_S, EVIDENCE_CHECK_S = 1.5, 0.05
MAX_REMEMBERED = 10_000
MAX_ROUTES = 500
T = TypeVar("T")


class Suspicion:
    """Decides by the results of attempts whether a worker suspects itself.

    If no attempt gets a response, and those at several origins end without a
    connection, or without a sign that the request has arrived, the worker's own
    network, name server or resources do not work. Then the results say nothing about
    the origins. The suspicion ends with the next response.

    Attributes:
        is_active: whether the worker suspects itself.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.is_active = False
        self._responses = 0
        # The origins that have responded to a tenant's event.
        self._responded: dict[str, None] = {}
        # When origins failed since the last response, and when origins failed that had
        # failed before this response; oldest first.
        self._failed_at: dict[str, float] = {}
        self._refuted_at: dict[str, float] = {}
        # While active: the failed routes, and when events were given back first.
        self._failed_routes: dict[str, None] = {}
        self._uncharged_since_s: dict[str, float] = {}
        self._wait_s = 0.0
        self._probes_from_s = 0.0
        self._probes_left = 0

    def note(self, begun: Begun, result: Result) -> None:
        """Note the result of an attempt."""
        if result.status is not None:
            self._responses += 1
            if begun.origin not in self._responded:
                _add(self._responded, begun.origin, None)
            if self._failed_at or self._refuted_at:
                self._note_response(_origin(begun))
        elif self.is_active or self._is_evidence(begun, result):
            self._note_failure(begun, result)

    def _is_evidence(self, begun: Begun, result: Result) -> bool:
        """Return whether the worker may have caused a failure itself.

        Receivers that do not run refuse connections, and a tenant can have many of
        them. So a refusal is evidence only from an origin that has responded before, or
        if none has.
        """
        if result.error is Failure.REFUSED and self._responded:
            return begun.origin in self._responded
        return result.error in CONNECTION_FAILURES or result.unheard

    def _note_response(self, origin: str) -> None:
        for each in self._failed_at:
            self._set_last(self._refuted_at, each)
        self._failed_at.clear()
        self._refuted_at.pop(origin, None)
        if self.is_active:
            self.is_active = False
            self._failed_routes.clear()
            self._uncharged_since_s.clear()
            log.warning(logfmt.line("worker.trusted"))

    def _note_failure(self, begun: Begun, result: Result) -> None:
        now_s, origin = self._clock(), _origin(begun)
        if self.is_active:
            if len(self._failed_routes) < MAX_ROUTES:
                self._failed_routes[begun.route] = None
            if now_s >= self._probes_from_s:
                self._wait(min(2 * self._wait_s, LONGEST_WAIT_S))
            return
        _forget(self._refuted_at, before_s=now_s - REFUTED_S)
        if origin in self._refuted_at:
            self._set_last(self._refuted_at, origin)
            return
        self._set_last(self._failed_at, origin)
        _forget(self._failed_at, before_s=now_s - WITHIN_S)
        # The worker's own lack of resources needs no further evidence.
        if len(self._failed_at) >= ORIGINS or result.error is Failure.WORKER:
            self.is_active = True
            self._wait(FIRST_WAIT_S)
            log.warning(
                logfmt.line(
                    "worker.suspected",
                    origins=len(self._failed_at),
                    error=result.error,
                    problem=result.detail,
                )
            )

    def _set_last(self, times: dict[str, float], key: str) -> None:
        times.pop(key, None)
        _add(times, key, self._clock())

    def _wait(self, wait_s: float) -> None:
        self._wait_s, self._probes_left = wait_s, PROBES
        self._probes_from_s = self._clock() + wait_s

    async def wait_for_evidence(self) -> None:
        """Wait until the worker suspects itself or gets a response, but not for long.

        The first failures of a worker that can reach nothing look like those of their
        receivers.
        """
        responses, end_s = self._responses, self._clock() + EVIDENCE_S
        while (
            not self.is_active
            and self._responses == responses
            and self._clock() < end_s
        ):
            await asyncio.sleep(EVIDENCE_CHECK_S)

    def forgives(self, begun: Begun) -> bool:
        """Whether a failed attempt of this event does not count."""
        if not self.is_active:
            return False
        now_s = self._clock()
        if now_s - self._uncharged_since_s.get(begun.id, now_s) >= UNCHARGED_S:
            return False
        if begun.id not in self._uncharged_since_s:
            self._set_last(self._uncharged_since_s, begun.id)
        return True

    @property
    def room(self) -> int:
        """How many events the worker may begin; to be asked while active."""
        since_s = self._clock() - self._probes_from_s
        if since_s >= PROBES_TAKE_S:
            self._wait(0.0)
            return PROBES
        return self._probes_left if since_s >= 0 else 0

    def count_begun(self, count: int) -> None:
        """Note that the worker has begun events."""
        self._probes_left = max(0, self._probes_left - count)

    @property
    def avoided_routes(self) -> list[str]:
        """The routes whose events must not begin now, so that others are tried."""
        others_first = self._clock() < self._probes_from_s + OTHERS_FIRST_S
        return list(self._failed_routes) if others_first else []


def _origin(begun: Begun) -> str:
    """Return the digest of an origin, which is the same for all tenants."""
    return begun.origin.rpartition(":")[2]


def _add(remembered: dict[str, T], key: str, value: T) -> None:
    remembered[key] = value
    if len(remembered) > MAX_REMEMBERED:
        del remembered[next(iter(remembered))]


def _forget(times: dict[str, float], *, before_s: float) -> None:
    while times and times[oldest := next(iter(times))] <= before_s:
        del times[oldest]
