"""How events look to Jiter clients."""

import json
from flask import Response
from scheduler_api.core.ids import to_number
from scheduler_api.core.model import Attempt, AttemptKind, Event, State
from scheduler_api.core.timing import to_iso
from scheduler_api.dialects.jiter.outbound import CONTENT_TYPE, TIMESTAMP, body_bytes
from typing import Any

INTERRUPTED = "the attempt was interrupted; the request may have arrived"

PENDING = "Pending"
QUEUED = "Queued"
SENT = "Sent"
CANCELLED = "Cancelled"
FAILED_TO_SEND = "Failed To Send"
FAILED_TO_QUEUE = "Failed To Queue"

_FINAL = {
    State.DELIVERED: SENT,
    State.DEAD: FAILED_TO_SEND,
    State.CANCELLED: CANCELLED,
}


def respond(body: object, status: int = 200) -> Response:
    """A JSON response; lone surrogates are escaped, as JSON has no other way."""
    text = json.dumps(body, separators=(",", ":"))
    return Response(text, status=status, mimetype="application/json")


def status_of(event: Event) -> str:
    """The Jiter status of an event."""
    if event.stuck_ms is not None:
        return FAILED_TO_QUEUE
    if event.state is State.ACTIVE:
        return QUEUED if event.attempts else PENDING
    return _FINAL[event.state]


def event(event: Event) -> dict[str, Any]:
    """An event without its history."""
    status = status_of(event)
    shown = {
        "id": str(to_number(event.id)),
        "org": event.owner.tenant,
        "payload": event.content.body.decode("utf-8", "surrogatepass"),
        "destination": event.content.url,
        "scheduledTime": to_iso(event.wanted_ms),
        "status": status,
        "createdAt": to_iso(event.created_ms),
        "updatedAt": to_iso(max(event.updated_ms, event.stuck_ms or 0)),
    }
    if status == SENT and event.finished_ms is not None:
        shown["sentAt"] = to_iso(event.finished_ms)
    failed_ms = event.stuck_ms if status == FAILED_TO_QUEUE else event.finished_ms
    if status in (FAILED_TO_SEND, FAILED_TO_QUEUE) and failed_ms is not None:
        shown["failedAt"] = to_iso(failed_ms)
    return shown


def event_with_history(of: Event, attempts: list[Attempt]) -> dict[str, Any]:
    """An event with one record per attempt."""
    shown = event(of)
    payload, scheduled_ms = of.content.body, of.wanted_ms
    shown["history"] = [
        {
            "id": f"{shown['id']}{attempt.number:03d}",
            "event": shown["id"],
            **_record(attempt, body_bytes(payload, scheduled_ms=scheduled_ms)),
        }
        for attempt in attempts
    ]
    return shown


def _record(attempt: Attempt, body: bytes) -> dict[str, Any]:
    """What all history records have in common; `status` only if there was an answer."""
    answered = {} if attempt.status is None else {"status": str(attempt.status)}
    return answered | {
        "responseData": _response_text(attempt),
        "requestData": _request_text(attempt, body),
        "createdAt": to_iso(attempt.started_ms),
        "updatedAt": to_iso(attempt.ended_ms),
    }


def _response_text(attempt: Attempt) -> str:
    if attempt.response or attempt.error is None:
        interrupted = attempt.kind is AttemptKind.INTERRUPTED
        return INTERRUPTED if interrupted else attempt.response
    return attempt.error


def _request_text(attempt: Attempt, body: bytes) -> str:
    headers: dict[str, str | int] = dict(sorted((attempt.signed or {}).items()))
    if TIMESTAMP in headers:
        headers[TIMESTAMP] = int(headers[TIMESTAMP])
    headers |= dict([CONTENT_TYPE])
    head = json.dumps({"headers": headers}, separators=(",", ":"))
    return f'{head[:-1]},"body":{body.decode()}}}'
