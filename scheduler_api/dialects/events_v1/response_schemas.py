"""OpenAPI schemas of responses and queries."""

from marshmallow import Schema, fields
from marshmallow.validate import OneOf, Range
from scheduler_api.dialects.events_v1.filters import DEFAULT_LIMIT, MAX_LIMIT
from scheduler_api.dialects.events_v1.rendering import (
    ACTIVE,
    DELIVERED,
    FAILED,
    FINISHED,
    INACTIVE,
    INTERRUPTED,
    PAUSED,
)
from scheduler_api.web.schedule_schemas import Options, RunResponse

_MESSAGES = [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]


class Error(Schema):
    """An error; `message` is a list if a body or a query has faults."""

    statusCode = fields.Integer(required=True)
    message = fields.Raw(required=True, metadata={"anyOf": _MESSAGES})
    error = fields.String(required=True)
    timestamp = fields.DateTime(required=True)


class EventOptions(Options):
    """Options of an event, without the end date, which is a field of the event."""

    class Meta:
        exclude = ("endDate",)


class Event(Schema):
    """An event."""

    eventId = fields.UUID(required=True)
    status = fields.String(
        required=True, validate=OneOf([INACTIVE, ACTIVE, PAUSED, FINISHED])
    )
    createdDate = fields.DateTime(required=True)
    eventOwner = fields.Email(required=True)
    endDate = fields.DateTime(required=True)
    interval = fields.String(required=True)
    callbackUrl = fields.String(required=True)
    context = fields.Dict(required=True, allow_none=True)
    tags = fields.List(fields.String(), required=True)
    nextRun = fields.DateTime(required=True, allow_none=True)
    options = fields.Nested(EventOptions, required=True)


class EventResponse(Schema):
    """An event, in `data`."""

    data = fields.Nested(Event, required=True)


class Meta(Schema):
    """The length of the whole list; the response contains one page of the list."""

    total = fields.Integer(required=True)


class EventList(Schema):
    """A page of a list of events."""

    data = fields.List(fields.Nested(Event), required=True)
    meta = fields.Nested(Meta, required=True)


class PageQuery(Schema):
    """The query parameters that select a page of a list."""

    limit = fields.Integer(
        validate=Range(0, MAX_LIMIT),
        metadata={"description": f"default {DEFAULT_LIMIT}"},
    )
    offset = fields.Integer(validate=Range(min=0))


class EventQuery(PageQuery):
    """Filters of the list of events, and the page."""

    query = fields.String(
        metadata={
            "description": "JSON with eventOwner, tags and context, or the same in"
            " brackets: query[tags][0]=prod"
        }
    )


class FailureQuery(PageQuery):
    """Filters of the list of failures, and the page."""

    eventOwner = fields.List(fields.Email())


class Callback(Schema):
    """A callback that a client requested."""

    callbackId = fields.String(required=True)
    eventId = fields.UUID(required=True)
    fireDate = fields.DateTime(required=True)


class CallbackResponse(Schema):
    """A callback, in `data`."""

    data = fields.Nested(Callback, required=True)


class EventRun(RunResponse):
    """What happened at a fire time of an event."""

    callbackId = fields.String(metadata={"description": "Id of the callback"})
    replayOf = fields.String(metadata={"description": "Id of the replayed callback"})


class RunList(Schema):
    """The newest fire times, newest first."""

    data = fields.List(fields.Nested(EventRun), required=True)


class Replay(Callback):
    """A callback that replays an earlier callback."""

    replayOf = fields.String(required=True)


class ReplayResponse(Schema):
    """A replay, in `data`."""

    data = fields.Nested(Replay, required=True)


class Attempt(Schema):
    """One request of a callback."""

    attemptId = fields.String(required=True)
    callbackId = fields.String(required=True)
    eventId = fields.UUID(required=True)
    fireDate = fields.DateTime(required=True)
    number = fields.Integer(required=True)
    status = fields.String(
        required=True, validate=OneOf([DELIVERED, FAILED, INTERRUPTED])
    )
    startedDate = fields.DateTime(required=True)
    endedDate = fields.DateTime(required=True)
    nextDate = fields.DateTime(required=True, allow_none=True)
    responseStatus = fields.Integer(required=True, allow_none=True)
    responseBody = fields.String(required=True)
    bodyIncomplete = fields.Boolean(
        metadata={"description": "Whether responseBody is not the entire body"}
    )
    bodyTruncated = fields.Boolean(
        metadata={"description": "Whether the body is longer than what is kept"}
    )
    error = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Why the attempt failed, as a sentence"},
    )
    errorCode = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Why the attempt failed, as a stable code"},
    )
    possibleDuplicate = fields.Boolean(required=True)
    replayOf = fields.String(required=True, allow_none=True)


class AttemptList(Schema):
    """A page of a list of attempts."""

    data = fields.List(fields.Nested(Attempt), required=True)


class Secret(Schema):
    """The secret with which receivers verify signatures."""

    signingSecret = fields.String(required=True)


class SecretResponse(Schema):
    """A secret, in `data`."""

    data = fields.Nested(Secret, required=True)


class Application(Secret):
    """A new application; its API key is never shown again."""

    appName = fields.String(required=True)
    apiKey = fields.String(required=True)


class ApplicationResponse(Schema):
    """A new application, in `data`."""

    data = fields.Nested(Application, required=True)
