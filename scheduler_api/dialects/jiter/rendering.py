"""How events and cron jobs look to Jiter clients."""

import json
from collections.abc import Iterable, Iterator
from flask import Response
from scheduler_api.core.model import (
    INTERRUPTED,
    Attempt,
    AttemptKind,
    Content,
    Event,
    Schedule,
    ScheduleState,
)
from scheduler_api.core.queries.events import PastAttempt
from scheduler_api.core.queries.filters import Phase, phase_of
from scheduler_api.core.schedules.run_history import Run
from scheduler_api.core.timestamps import to_iso
from scheduler_api.dialects.jiter.outbound import (
    CONTENT_TYPE,
    TIMESTAMP,
    body_bytes,
    public_id,
)
from scheduler_api.web import schedule_options, schedule_runs
from typing import Any

Shown = dict[str, Any]

JSON = "application/json"
# Compact, and in ASCII: lone surrogates have no other way.
_ENCODER = json.JSONEncoder(separators=(",", ":"))
ORIGIN = "ro"
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
    return Response(_dump(body), status=status, mimetype=JSON)


def respond_array(items: Iterable[Shown], *, of: Shown | None = None) -> Response:
    """A JSON array, or an object with a last field `history`, written as it is read.

    However long it is, only a batch of it is in memory. The first item is read before
    this returns, so that a store that is away still has a status of its own.
    """
    head, tail = ("[", "]") if of is None else (_dump(of)[:-1] + ',"history":[', "]}")
    reading = iter(items)
    first = next(reading, None)

    def parts() -> Iterator[str]:
        yield head if first is None else head + _dump(first)
        for item in reading:
            yield "," + _dump(item)
        yield tail

    return Response(parts(), mimetype=JSON)


def _dump(body: object) -> str:
    return _ENCODER.encode(body)


def event(of: Event) -> Shown:
    """An event without its history."""
    phase = phase_of(of)
    shown = {
        "id": public_id(of.id),
        "org": of.owner.tenant,
        **_content(of.content),
        "scheduledTime": to_iso(of.wanted_ms),
        "status": STATUSES[phase],
        "createdAt": to_iso(of.created_ms),
        "updatedAt": to_iso(max(of.updated_ms, of.quarantined_ms or 0)),
    }
    if phase is Phase.DELIVERED and of.finished_ms is not None:
        shown["sentAt"] = to_iso(of.finished_ms)
    if ORIGIN in of.content.options:
        shown["replayOf"] = public_id(of.content.options[ORIGIN])
    failed_ms = of.finished_ms if phase is Phase.DEAD else of.quarantined_ms
    if failed_ms is not None:
        shown["failedAt"] = to_iso(failed_ms)
    return shown


def replay_of(origin: Event) -> Shown:
    """The options of an event that sends again what another has sent."""
    return {ORIGIN: origin.id}


def event_with_history(of: Event, attempts: list[Attempt]) -> Shown:
    """An event with one record per attempt."""
    shown = event(of)
    body = body_bytes(of.content.body, scheduled_ms=of.wanted_ms)
    shown["history"] = [
        {
            "id": f"{shown['id']}{attempt.number:03d}",
            "event": shown["id"],
            **_record(attempt, body),
        }
        for attempt in attempts
    ]
    return shown


def cron_job(of: Schedule, *, next_ms: int | None, busy: bool) -> Shown:
    """A cron job without its history."""
    paused = of.state is ScheduleState.PAUSED
    shown = {
        "id": public_id(of.id),
        "org": of.owner.tenant,
        **_content(of.content),
        "expression": of.expression,
        "status": DISABLED if paused else ACTIVE,
        "nextExecutionStatus": QUEUED if busy else PENDING,
        "createdAt": to_iso(of.created_ms),
        "updatedAt": to_iso(of.updated_ms),
        "options": schedule_options.render(of),
    }
    if next_ms is not None:
        shown["nextExecutionDate"] = to_iso(next_ms)
    return shown


def past(of: PastAttempt, *, cron_id: str) -> Shown:
    """One attempt of a cron job, as its history shows it."""
    attempt, tick_ms = of.attempt, of.occurrence_ms
    body = None
    if of.content is not None:
        body = body_bytes(of.content.body, scheduled_ms=tick_ms)
    return {
        "id": f"{public_id(cron_id)}{tick_ms // 1000}{attempt.number:03d}",
        "cron": public_id(cron_id),
        **_record(attempt, body),
    }


def run(of: Run) -> Shown:
    """One fire time; what it made is named as its deliveries name it."""
    return schedule_runs.render_run(of, execution=public_id(of.event_id or "0"))


def _content(of: Content) -> Shown:
    return {
        "payload": of.body.decode("utf-8", "surrogatepass"),
        "destination": of.url,
    }


def _record(attempt: Attempt, body: bytes | None) -> Shown:
    """What all history records have in common; `status` only if there was an answer."""
    answered = {} if attempt.status is None else {"status": str(attempt.status)}
    return answered | {
        "responseData": _response_text(attempt),
        "requestData": _request_text(attempt, body),
        "createdAt": to_iso(attempt.started_ms),
        "updatedAt": to_iso(attempt.ended_ms),
    }


def _response_text(attempt: Attempt) -> str:
    if attempt.response:
        return attempt.response
    if attempt.kind is AttemptKind.INTERRUPTED:
        return INTERRUPTED
    return attempt.error or ""


def _request_text(attempt: Attempt, body: bytes | None) -> str:
    """The headers that were signed, and the very bytes that were sent."""
    headers: Shown = dict(sorted((attempt.signed or {}).items()))
    if TIMESTAMP in headers:
        headers[TIMESTAMP] = int(headers[TIMESTAMP])
    headers |= dict([CONTENT_TYPE])
    head = _dump({"headers": headers})
    return head if body is None else f'{head[:-1]},"body":{body.decode()}}}'
