"""Renders schedules for QStash clients.

Source: https://upstash.com/docs/qstash/api-reference/schedules/get-a-schedule
"""

from collections.abc import Mapping
from scheduler_api.core.model import Schedule, ScheduleState, State
from scheduler_api.core.schedules.schedules import newest_occurrence
from scheduler_api.dialects.qstash.parsing.ids import schedule_id
from scheduler_api.dialects.qstash.parsing.message import (
    from_options,
    message_id,
    readable_headers,
)
from scheduler_api.dialects.qstash.rendering import responses
from scheduler_api.dialects.qstash.rendering.responses import Json
from scheduler_api.web import schedule_options

STATES = {
    State.ACTIVE: "IN_PROGRESS",
    State.DELIVERED: "SUCCESS",
    State.DEAD: "FAIL",
    State.CANCELLED: "FAIL",
    State.CLEARED: "FAIL",
}


def public_id(schedule: Schedule) -> str:
    """Return the id that clients see."""
    return schedule_id(schedule.id, schedule.name)


def render_schedule(
    schedule: Schedule,
    *,
    next_ms: int | None,
    states: Mapping[str, State],
    error: str | None,
    key: bytes,
) -> Json:
    """Return a schedule as JSON.

    Args:
        next_ms: the next fire time.
        states: the states of the newest runs, by event id.
        error: why the last run could not send any message, or None.
        key: the tenant's redaction key.

    Raises: UnreadableRecord.
    """
    message = from_options(schedule.content.options)
    headers = responses.redacted_headers(message, readable_headers(message), key=key)
    body = message.redaction.redact_body(schedule.content.body, key=key)
    return responses.drop_none(
        {
            "scheduleId": public_id(schedule),
            "destination": schedule.content.url,
            "cron": schedule.expression,
            "createdAt": schedule.created_ms,
            "isPaused": schedule.state is ScheduleState.PAUSED,
            **responses.settings_fields(message),
            # Some clients read `callerIp` instead of `callerIP`.
            "callerIp": message.caller_ip,
            "header": headers,
            **responses.body_fields(body),
            "delay": _seconds(message.delay_ms) or None,
            "timeout": message.timeout_ms and _seconds(message.timeout_ms),
            "retries": message.retries,
            "retryDelayExpression": message.retry_delay,
            **responses.callback_fields(message, key=key),
            **_run_fields(schedule, next_ms, states),
            "error": error,
        }
    )


def _seconds(duration_ms: int) -> int:
    """Convert to whole seconds, rounded up."""
    return -(-duration_ms // 1000)


def _run_fields(
    schedule: Schedule, next_ms: int | None, states: Mapping[str, State]
) -> Json:
    newest = newest_occurrence(schedule)
    last_states = None
    if newest is not None and newest in states:
        last_states = {message_id(newest): STATES[states[newest]]}
    return {
        "nextScheduleTime": next_ms,
        "lastScheduleTime": schedule.last_fired_ms,
        "lastScheduleStates": last_states,
        "skippedRuns": schedule.missed,
        **schedule_options.render(schedule),
    }
