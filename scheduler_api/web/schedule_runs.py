"""What happened at each fire time of a schedule, as every dialect tells it."""

from collections.abc import Mapping
from scheduler_api.core.model import FINAL_STATES, State
from scheduler_api.core.schedules.run_history import Run
from scheduler_api.core.timestamps import to_iso
from scheduler_api.web.refusal import Refusal
from scheduler_api.web.values import read_integer

COUNT = "count"
USUAL, MOST = 20, 1_000
FIRED, SKIPPED, BY_HAND = "fired", "skipped", "run by hand"
WAITING, UNDER_WAY = "waiting", "under way"
OUTCOMES = (FIRED, SKIPPED, BY_HAND)
STATES = (WAITING, UNDER_WAY, *(state.value for state in FINAL_STATES))


def read_count(parameters: Mapping[str, str]) -> int:
    """How many fire times are asked for.

    Raises: Refusal.
    """
    count = read_integer(parameters.get(COUNT, str(USUAL)))
    if count is not None and 1 <= count <= MOST:
        return count
    raise Refusal(400, f"{COUNT} should be a whole number from 1 to {MOST}")


def render_run(of: Run, **named: str) -> dict[str, object]:
    """One fire time.

    Args:
        named: what the dialect calls the id of the event that it made, and that id.
    """
    told: dict[str, object] = {"at": to_iso(of.at_ms)}
    if of.event_id is None:
        return told | {"outcome": SKIPPED, "reason": of.reason}
    told |= {"outcome": BY_HAND if of.by_hand else FIRED} | named
    told |= {"state": _state(of), "attempts": of.attempts}
    return told | ({"reason": of.reason} if of.reason else {})


def _state(of: Run) -> str:
    if of.state is State.ACTIVE or of.state is None:
        return UNDER_WAY if of.attempts else WAITING
    return of.state.value
