"""How events look to clients of Scheduler v1."""

import json
from collections.abc import Iterable, Iterator, Sequence
from flask import Response
from scheduler_api.core import model
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
from scheduler_api.dialects.events_v1.outbound import OWNER
from scheduler_api.dialects.json_text import dump
from scheduler_api.web import schedule_options, schedule_runs

Shown = dict[str, object]

JSON = "application/json"
INACTIVE, ACTIVE = "INACTIVE", "ACTIVE"
PAUSED, FINISHED = "PAUSED", "FINISHED"
DELIVERED, FAILED, INTERRUPTED = "DELIVERED", "FAILED", "INTERRUPTED"
# What a content's options say beside its owner: its tags, that it has no context.
TAGS, BARE = "t", "b"
# An option that is a field of its own here.
END = "endDate"


def respond(body: object, status: int = 200) -> Response:
    """A JSON response."""
    return Response(dump(body), status=status, mimetype=JSON)


def respond_data(data: object, status: int = 200) -> Response:
    """A success."""
    return respond({"data": data}, status)


def respond_list(batches: Iterable[Sequence[Shown]], *, total: int) -> Response:
    """A part of a list, written as it is read, and how long all of it is.

    However large its items are, only a batch of them is in memory. The first is read
    before this returns, so that a store that is away still has a status of its own.
    """
    reading = iter(batches)
    first = next(reading, ())

    def parts() -> Iterator[bytes]:
        yield b'{"data":[' + b",".join(map(dump, first))
        for batch in reading:
            yield b"".join(b"," + dump(item) for item in batch)
        yield b'],"meta":{"total":%d}}' % total

    return Response(parts(), mimetype=JSON)


def content(
    url: str, *, event_owner: str, context: object, tags: Sequence[str]
) -> Content:
    """What the callbacks of an event send, and what else is told of it."""
    options: Shown = {OWNER: event_owner}
    if tags:
        options[TAGS] = list(tags)
    if context is None:
        options[BARE] = True
    return Content(url, dump({} if context is None else context), options)


def context_of(of: Content) -> object:
    """The context that an event was given, None if none."""
    return None if BARE in of.options else json.loads(of.body)


def status(of: Schedule, *, now_ms: int) -> str:
    """How far an event is."""
    if of.is_over(now_ms):
        return FINISHED
    if of.state is ScheduleState.PAUSED:
        return PAUSED
    return INACTIVE if of.first_begun_ms is None else ACTIVE


def event(of: Schedule, *, now_ms: int, next_ms: int | None) -> Shown:
    """An event; `nextRun` is null while none is to come."""
    shown = status(of, now_ms=now_ms)
    runs = next_ms is not None and shown in (INACTIVE, ACTIVE)
    return {
        "eventId": public_id(of.id),
        "status": shown,
        "createdDate": to_iso(of.created_ms),
        "eventOwner": of.content.options[OWNER],
        "endDate": to_iso(of.options.end_ms or 0),
        "interval": of.expression,
        "callbackUrl": of.content.url,
        "context": context_of(of.content),
        "tags": of.content.options.get(TAGS, []),
        "nextRun": to_iso(next_ms or 0) if runs else None,
        "options": _options(of),
    }


def _options(of: Schedule) -> Shown:
    """What else the event does; its end stands beside them."""
    options = schedule_options.render(of)
    options.pop(END, None)
    return options


def callback(run_id: str) -> Shown:
    """A callback that somebody has asked for."""
    schedule, _, fired = run_id.partition(".")
    return {
        "callbackId": public_id(run_id),
        "eventId": public_id(schedule),
        "fireDate": _fire_date(fired),
    }


def replay(run_id: str, *, of: str) -> Shown:
    """A callback that sends again what another has sent."""
    return callback(run_id) | {"replayOf": public_id(of)}


def run(of: Run) -> Shown:
    """One fire time; what it made is named as the callback names itself."""
    named = {"callbackId": public_id(of.event_id or "0")}
    if of.replay_of is not None:
        named["replayOf"] = public_id(of.replay_of)
    return schedule_runs.render_run(of, **named)


def attempt(of: Attempt, *, origin: str | None) -> Shown:
    """One request of a callback; `attemptId` tells it from all others of its event.

    Args:
        origin: the callback that it sends again, if any.
    """
    schedule, _, fired = of.event_id.partition(".")
    lost = of.kind is AttemptKind.INTERRUPTED
    error = model.INTERRUPTED if lost else of.error
    answered = not lost and error is None and of.status is not None
    good = answered and 200 <= (of.status or 0) < 300
    return {
        "attemptId": f"{fired}-{of.number}",
        "callbackId": public_id(of.event_id),
        "eventId": public_id(schedule),
        "fireDate": _fire_date(fired),
        "number": of.number,
        "status": DELIVERED if good else INTERRUPTED if lost else FAILED,
        "startedDate": to_iso(of.started_ms),
        "endedDate": to_iso(of.ended_ms),
        "nextDate": None if of.next_ms is None else to_iso(of.next_ms),
        "responseStatus": of.status,
        "responseBody": of.response,
        "error": error,
        "possibleDuplicate": of.possible_duplicate,
        "replayOf": None if origin is None else public_id(origin),
    }


def _fire_date(fired: str) -> str:
    return to_iso(int(fired.partition("r")[0]) * 1000)
