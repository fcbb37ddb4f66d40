"""How schedules look to QStash clients.

Source: https://upstash.com/docs/qstash/api-reference/schedules/get-a-schedule
"""

from collections.abc import Mapping
from scheduler_api.core.model import Schedule, ScheduleState, State
from scheduler_api.core.schedules.schedules import newest_occurrence
from scheduler_api.dialects.qstash.parsing.message import from_options, message_id
from scheduler_api.dialects.qstash.rendering import responses
from scheduler_api.dialects.qstash.rendering.responses import Shown
from scheduler_api.web import schedule_options

ID_PREFIX = "scd_"
STATES = {
    State.ACTIVE: "IN_PROGRESS",
    State.DELIVERED: "SUCCESS",
    State.DEAD: "FAIL",
    State.CANCELLED: "FAIL",
    State.CLEARED: "FAIL",
}


def public_id(of: Schedule) -> str:
    """The id by which clients know a schedule: its name, if its owner gave it one."""
    return of.name or f"{ID_PREFIX}{of.id}"


def schedule(
    of: Schedule,
    *,
    next_ms: int | None,
    states: Mapping[str, State],
    error: str | None,
    key: bytes,
) -> Shown:
    """A schedule.

    Args:
        states: how far occurrences are, by their ids.
        error: what kept its last run from being sent at all.
        key: of the marks that stand for what is hidden.

    Raises: UnreadableRecord.
    """
    said = from_options(of.content.options)
    body = said.redaction.shown_body(of.content.body, key=key)
    return responses.given(
        {
            "scheduleId": public_id(of),
            "destination": of.content.url,
            "cron": of.expression,
            "createdAt": of.created_ms,
            "isPaused": of.state is ScheduleState.PAUSED,
            **responses.sending(said),
            # Another spelling that clients look for.
            "callerIp": said.caller_ip,
            "header": responses.shown_headers(said, said.sent_headers, key=key),
            **responses.body_fields(body),
            "delay": _seconds(said.delay_ms) or None,
            "timeout": said.timeout_ms and _seconds(said.timeout_ms),
            "retries": said.retries,
            "retryDelayExpression": said.retry_delay,
            **responses.callbacks(said, key=key),
            **_runs(of, next_ms, states),
            "error": error,
        }
    )


def _seconds(duration_ms: int) -> int:
    """Whole seconds, where a part of one counts as one."""
    return -(-duration_ms // 1000)


def _runs(of: Schedule, next_ms: int | None, states: Mapping[str, State]) -> Shown:
    """Its last run and its next, and what it does beside firing."""
    newest = newest_occurrence(of)
    last_states = None
    if newest is not None and newest in states:
        last_states = {message_id(newest): STATES[states[newest]]}
    return {
        "nextScheduleTime": next_ms,
        "lastScheduleTime": of.fired_ms,
        "lastScheduleStates": last_states,
        "skippedRuns": of.missed,
        **schedule_options.shown(of),
    }
