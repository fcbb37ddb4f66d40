"""Tells failures of receivers from those that may be the worker's own."""

from scheduler_api.core.model import Begun, Outcome
from workers.delivery.freezes import Freezes
from workers.delivery.suspicion import Suspicion
from workers.http_client.client import Result
from workers.http_client.failures import UNCERTAIN_FAILURES, Failure

# These are the worker's own in any case.
OWN = frozenset((Failure.LEASE_LOST, Failure.WORKER))
MARGIN_S = 0.1


class OwnFaults:
    """Decides which failed attempts say nothing about their receivers.

    They are those of a worker that was frozen during the attempt, that suspects itself,
    or that has no resources or lease.
    """

    def __init__(self, suspicion: Suspicion, freezes: Freezes) -> None:
        self.suspicion = suspicion
        self.freezes = freezes

    def outcome(self, begun: Begun, result: Result) -> Outcome | None:
        """Note a result; return its outcome if it says nothing about the receiver."""
        if result.error is not Failure.LEASE_LOST:
            self.suspicion.note(begun, result)
        return self._outcome(begun, result)

    async def last_outcome(self, begun: Begun, result: Result) -> Outcome | None:
        """Like `outcome`, for a result that is noted and would end the event."""
        if result.status is None and result.error in UNCERTAIN_FAILURES:
            await self.suspicion.wait_for_evidence()
        return self._outcome(begun, result)

    def _outcome(self, begun: Begun, result: Result) -> Outcome | None:
        if result.status is None and self._is_own(begun, result):
            return Outcome.INTERRUPTED if result.dispatched else Outcome.UNSENT
        return None

    def _is_own(self, begun: Begun, result: Result) -> bool:
        if result.error not in UNCERTAIN_FAILURES:
            return result.error in OWN
        # The time of an attempt does not count while the machine is suspended.
        was_frozen = self.freezes.ended_within(result.total_ms / 1000 + MARGIN_S)
        return was_frozen or result.error in OWN or self.suspicion.forgives(begun)
