"""Renders events, cron jobs and their history as JSON for Jiter clients."""

import json
from collections.abc import Iterable, Iterator
from flask import Response
from scheduler_api.core.delivery.attempt_fields import body_marks, error_fields
from scheduler_api.core.delivery.causes import cause_of
from scheduler_api.core.model import (
    Attempt,
    Content,
    Event,
    Schedule,
    ScheduleState,
)
from scheduler_api.core.queries.events import PastAttempt
from scheduler_api.core.queries.filters import Phase, phase_of
from scheduler_api.core.schedules.run_history import Run
from scheduler_api.core.timestamps import to_iso
from scheduler_api.dialects.jiter.ids import public_id
from scheduler_api.dialects.jiter.outbound import (
    CONTENT_TYPE,
    TIMESTAMP,
    body_bytes,
)
from scheduler_api.dialects.jiter.replays import REPLAY_OF
from scheduler_api.web import schedule_options, schedule_runs
from typing import Any

Json = dict[str, Any]

CONTENT_TYPE_JSON = "application/json"
# The encoder escapes all characters outside ASCII, including lone surrogates, which
# UTF-8 cannot encode.
_ENCODER = json.JSONEncoder(separators=(",", ":"))
PENDING, QUEUED = "Pending", "Queued"
ACTIVE, DISABLED = "Active", "Disabled"

STATUSES = {
    Phase.WAITING: PENDING,
    Phase.CANCELLED: "Cancelled",
    Phase.UNDER_WAY: QUEUED,
    Phase.DELIVERED: "Sent",
    Phase.DEAD: "Failed To Send",
    Phase.QUARANTINED: "Failed To Queue",
}


def respond(body: object, status: int = 200) -> Response:
    """A JSON response."""
    return Response(_dump(body), status=status, mimetype=CONTENT_TYPE_JSON)


def respond_array(items: Iterable[Json], *, parent: Json | None = None) -> Response:
    """Return a streamed JSON array.

    With `parent`, return this object with the array in its field `history` instead.

    Only one batch of items is in memory at a time. The first item is read before the
    function returns. If this read fails, the client therefore gets an error status.
    """
    head, tail = "[", "]"
    if parent is not None:
        head, tail = _dump(parent)[:-1] + ',"history":[', "]}"
    remaining = iter(items)
    first = next(remaining, None)

    def parts() -> Iterator[str]:
        yield head if first is None else head + _dump(first)
        for item in remaining:
            yield "," + _dump(item)
        yield tail

    return Response(parts(), mimetype=CONTENT_TYPE_JSON)


def _dump(body: object) -> str:
    return _ENCODER.encode(body)


def render_event(event: Event) -> Json:
    """Render an event without its history."""
    phase = phase_of(event)
    rendered = {
        "id": public_id(event.id),
        "org": event.owner.tenant,
        **_content(event.content),
        "scheduledTime": to_iso(event.wanted_ms),
        "status": STATUSES[phase],
        "createdAt": to_iso(event.created_ms),
        "updatedAt": to_iso(max(event.updated_ms, event.quarantined_ms or 0)),
    }
    if phase is Phase.DELIVERED and event.finished_ms is not None:
        rendered["sentAt"] = to_iso(event.finished_ms)
    if REPLAY_OF in event.content.options:
        rendered["replayOf"] = public_id(event.content.options[REPLAY_OF])
    failed_ms = event.finished_ms if phase is Phase.DEAD else event.quarantined_ms
    if failed_ms is not None:
        rendered["failedAt"] = to_iso(failed_ms)
    return rendered | schedule_runs.render_held(event.held)


def render_event_with_history(event: Event, attempts: list[Attempt]) -> Json:
    """Render an event with one history record per attempt."""
    rendered = render_event(event)
    body = body_bytes(event.content.body, scheduled_ms=event.wanted_ms)
    rendered["history"] = [
        {
            "id": f"{rendered['id']}{attempt.number:03d}",
            "event": rendered["id"],
            **_record(attempt, body),
        }
        for attempt in attempts
    ]
    return rendered


def render_cron_job(schedule: Schedule, *, next_ms: int | None, busy: bool) -> Json:
    """Render a cron job without its history."""
    paused = schedule.state is ScheduleState.PAUSED
    rendered = {
        "id": public_id(schedule.id),
        "org": schedule.owner.tenant,
        **_content(schedule.content),
        "expression": schedule.expression,
        "status": DISABLED if paused else ACTIVE,
        "nextExecutionStatus": QUEUED if busy else PENDING,
        "createdAt": to_iso(schedule.created_ms),
        "updatedAt": to_iso(schedule.updated_ms),
        "options": schedule_options.render(schedule),
    }
    if next_ms is not None:
        rendered["nextExecutionDate"] = to_iso(next_ms)
    return rendered


def render_cron_record(past: PastAttempt, *, cron_id: str) -> Json:
    """Render an attempt of a cron job as a history record."""
    attempt, fire_ms = past.attempt, past.occurrence_ms
    body = None
    if past.content is not None:
        body = body_bytes(past.content.body, scheduled_ms=fire_ms)
    return {
        "id": f"{public_id(cron_id)}{fire_ms // 1000}{attempt.number:03d}",
        "cron": public_id(cron_id),
        **_record(attempt, body),
    }


def render_run(run: Run) -> Json:
    """Render what happened at a fire time of a cron job."""
    return schedule_runs.render_run(run, execution=public_id(run.event_id or "0"))


def _content(content: Content) -> Json:
    return {
        "payload": content.body.decode("utf-8", "surrogatepass"),
        "destination": content.url,
    }


def _record(attempt: Attempt, body: bytes | None) -> Json:
    """Render the fields that all history records have.

    If the attempt got no response status, the field `status` is left out. If it got no
    response, `responseData` says why.
    """
    status = {} if attempt.status is None else {"status": str(attempt.status)}
    error = error_fields(cause_of(attempt))
    answered = attempt.status is not None and attempt.error is None
    reason = "" if answered else error.get("error", "")
    return status | {
        "responseData": attempt.response.decode("utf-8", "replace") or reason,
        **error,
        **body_marks(
            incomplete=attempt.body_incomplete, truncated=attempt.body_truncated
        ),
        "requestData": _request_text(attempt, body),
        "createdAt": to_iso(attempt.started_ms),
        "updatedAt": to_iso(attempt.ended_ms),
    }


def _request_text(attempt: Attempt, body: bytes | None) -> str:
    """Render the signed headers and the exact body of a request as JSON."""
    headers: Json = dict(sorted((attempt.signed or {}).items()))
    if TIMESTAMP in headers:
        headers[TIMESTAMP] = int(headers[TIMESTAMP])
    headers |= dict([CONTENT_TYPE])
    head = _dump({"headers": headers})
    return head if body is None else f'{head[:-1]},"body":{body.decode()}}}'
