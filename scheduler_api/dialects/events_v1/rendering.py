"""Renders events, callbacks and attempts as JSON."""

import json
from collections.abc import Iterable, Iterator, Sequence
from flask import Response
from scheduler_api.core.delivery.attempt_fields import body_marks
from scheduler_api.core.delivery.causes import cause_of
from scheduler_api.core.model import (
    Attempt,
    AttemptKind,
    Content,
    Schedule,
    ScheduleState,
)
from scheduler_api.core.schedules.run_history import Run
from scheduler_api.core.timestamps import to_iso
from scheduler_api.dialects.events_v1.ids import public_id
from scheduler_api.dialects.events_v1.outbound import OWNER, TAGS
from scheduler_api.dialects.json_text import dump
from scheduler_api.web import schedule_options, schedule_runs

Json = dict[str, object]

CONTENT_TYPE_JSON = "application/json"
INACTIVE, ACTIVE = "INACTIVE", "ACTIVE"
PAUSED, FINISHED = "PAUSED", "FINISHED"
DELIVERED, FAILED, INTERRUPTED = "DELIVERED", "FAILED", "INTERRUPTED"
# The content option of an event without a context.
NO_CONTEXT = "b"
# The end date is an option in the engine, but a field of the event in this dialect.
END = "endDate"


def respond(body: object, status: int = 200) -> Response:
    """A JSON response."""
    return Response(dump(body), status=status, mimetype=CONTENT_TYPE_JSON)


def respond_data(data: object, status: int = 200) -> Response:
    """A successful response."""
    return respond({"data": data}, status)


def respond_list(batches: Iterable[Sequence[Json]], *, total: int) -> Response:
    """Return a streamed page of a list, with the total length of the list.

    Only one batch of items is in memory at a time. The first batch is read before the
    function returns. If this read fails, the client therefore gets an error status.
    """
    remaining = iter(batches)
    first = next(remaining, ())

    def parts() -> Iterator[bytes]:
        yield b'{"data":[' + b",".join(map(dump, first))
        for batch in remaining:
            yield b"".join(b"," + dump(item) for item in batch)
        yield b'],"meta":{"total":%d}}' % total

    return Response(parts(), mimetype=CONTENT_TYPE_JSON)


def content(
    url: str, *, event_owner: str, context: object, tags: Sequence[str]
) -> Content:
    """Return the content of an event's callbacks: URL, context, and other fields.

    The context is the body; the owner and the tags are stored as content options.
    """
    options: Json = {OWNER: event_owner}
    if tags:
        options[TAGS] = list(tags)
    if context is None:
        options[NO_CONTEXT] = True
    return Content(url, dump({} if context is None else context), options)


def context_of(content: Content) -> object:
    """Return the context of an event, or None if the event has no context."""
    return None if NO_CONTEXT in content.options else json.loads(content.body)


def status(schedule: Schedule, *, now_ms: int) -> str:
    """The status of an event."""
    if schedule.is_over(now_ms):
        return FINISHED
    if schedule.state is ScheduleState.PAUSED:
        return PAUSED
    return INACTIVE if schedule.first_begun_ms is None else ACTIVE


def render_event(schedule: Schedule, *, now_ms: int, next_ms: int | None) -> Json:
    """Render an event; `nextRun` is null if the event is finished or paused."""
    event_status, content = status(schedule, now_ms=now_ms), schedule.content
    runs = next_ms is not None and event_status in (INACTIVE, ACTIVE)
    return {
        "eventId": public_id(schedule.id),
        "status": event_status,
        "createdDate": to_iso(schedule.created_ms),
        "eventOwner": content.options[OWNER],
        "endDate": to_iso(schedule.options.end_ms or 0),
        "interval": schedule.expression,
        "callbackUrl": content.url,
        "context": context_of(content),
        "tags": content.options.get(TAGS, []),
        "nextRun": to_iso(next_ms or 0) if runs else None,
        "options": _options(schedule),
    }


def _options(schedule: Schedule) -> Json:
    options = schedule_options.render(schedule)
    options.pop(END, None)
    return options


def render_callback(run_id: str) -> Json:
    """Render a callback that a client requested."""
    schedule, _, occurrence = run_id.partition(".")
    return {
        "callbackId": public_id(run_id),
        "eventId": public_id(schedule),
        "fireDate": _fire_date(occurrence),
    }


def render_replay(run_id: str, *, origin: str) -> Json:
    """Render a callback that replays an earlier callback, `origin`."""
    return render_callback(run_id) | {"replayOf": public_id(origin)}


def render_run(run: Run) -> Json:
    """Render what happened at a fire time of an event."""
    ids = {"callbackId": public_id(run.event_id or "0")}
    if run.replay_of is not None:
        ids["replayOf"] = public_id(run.replay_of)
    return schedule_runs.render_run(run, **ids)


def render_attempt(attempt: Attempt, *, origin: str | None) -> Json:
    """Render an attempt of a callback; `attemptId` is unique within the event.

    Args:
        origin: if the callback is a replay, the id of the replayed callback; else None.
    """
    schedule, _, occurrence = attempt.event_id.partition(".")
    interrupted = attempt.kind is AttemptKind.INTERRUPTED
    cause = cause_of(attempt)
    answered = attempt.error is None and attempt.status is not None
    delivered = answered and 200 <= (attempt.status or 0) < 300
    status = INTERRUPTED if interrupted else DELIVERED if delivered else FAILED
    return {
        "attemptId": f"{occurrence}-{attempt.number}",
        "callbackId": public_id(attempt.event_id),
        "eventId": public_id(schedule),
        "fireDate": _fire_date(occurrence),
        "number": attempt.number,
        "status": status,
        "startedDate": to_iso(attempt.started_ms),
        "endedDate": to_iso(attempt.ended_ms),
        "nextDate": None if attempt.next_ms is None else to_iso(attempt.next_ms),
        "responseStatus": attempt.status,
        "responseBody": attempt.response.decode("utf-8", "replace"),
        **body_marks(
            incomplete=attempt.body_incomplete, truncated=attempt.body_truncated
        ),
        "error": cause and cause.sentence,
        "errorCode": cause and cause.code,
        "possibleDuplicate": attempt.possible_duplicate,
        "replayOf": None if origin is None else public_id(origin),
    }


def _fire_date(occurrence: str) -> str:
    """Return the fire date of an occurrence.

    Args:
        occurrence: the part after the dot in the internal id of a callback. It begins
            with the fire time in seconds, such as `1700000000r1`.
    """
    return to_iso(int(occurrence.partition("r")[0]) * 1000)
