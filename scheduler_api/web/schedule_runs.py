"""Renders the latest fire times of a schedule, in the same format for every dialect."""

from collections.abc import Mapping
from scheduler_api.core.model import FINAL_STATES, Held, State
from scheduler_api.core.schedules.run_history import Run
from scheduler_api.core.timestamps import to_iso
from scheduler_api.web.refusal import Refusal
from scheduler_api.web.values import read_integer

COUNT = "count"
DEFAULT_COUNT, MAX_COUNT = 20, 1_000
FIRED, SKIPPED, BY_HAND = "fired", "skipped", "run by hand"
WAITING, UNDER_WAY = "waiting", "under way"
OUTCOMES = (FIRED, SKIPPED, BY_HAND)
STATES = (WAITING, UNDER_WAY, *(state.value for state in FINAL_STATES))


def read_count(parameters: Mapping[str, str]) -> int:
    """Return the number of fire times that a client requests.

    Raises: Refusal.
    """
    count = read_integer(parameters.get(COUNT, str(DEFAULT_COUNT)))
    if count is not None and 1 <= count <= MAX_COUNT:
        return count
    raise Refusal(400, f"{COUNT} should be a whole number from 1 to {MAX_COUNT}")


def render_run(run: Run, **ids: str) -> dict[str, object]:
    """Return a fire time and its outcome as JSON.

    Args:
        ids: ids of the event that the schedule created at this fire time; each argument
            becomes a field of the same name.
    """
    rendered: dict[str, object] = {"at": to_iso(run.at_ms)}
    if run.event_id is None:
        return rendered | {"outcome": SKIPPED, "reason": run.reason}
    rendered |= {"outcome": BY_HAND if run.by_hand else FIRED} | ids
    rendered |= {"state": _state(run), "attempts": run.attempts}
    rendered |= render_held(run.held)
    return rendered | ({"reason": run.reason} if run.reason else {})


def render_held(held: Held | None) -> dict[str, object]:
    """Return the fields that say for which destination an event waits, if it does."""
    if held is None:
        return {}
    return {"heldBy": held.by, "heldSince": to_iso(held.since_ms)}


def _state(run: Run) -> str:
    if run.state is State.ACTIVE or run.state is None:
        return UNDER_WAY if run.attempts else WAITING
    return run.state.value
