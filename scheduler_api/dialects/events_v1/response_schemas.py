"""What clients of Scheduler v1 are shown and may ask for, as its document has it."""

from marshmallow import Schema, fields
from marshmallow.validate import OneOf, Range
from scheduler_api.dialects.events_v1.filters import LIMIT, MOST
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
    """What is wrong: all faults of a body or a query, else one message."""

    statusCode = fields.Integer(required=True)
    message = fields.Raw(required=True, metadata={"anyOf": _MESSAGES})
    error = fields.String(required=True)
    timestamp = fields.DateTime(required=True)


class EventOptions(Options):
    """What an event does beside firing until its end."""

    class Meta:
        exclude = ("endDate",)


class ShownEvent(Schema):
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


class OneEvent(Schema):
    """An event, as all that succeeds is shown."""

    data = fields.Nested(ShownEvent, required=True)


class Meta(Schema):
    """How long a whole list is."""

    total = fields.Integer(required=True)


class EventList(Schema):
    """A part of a list of events."""

    data = fields.List(fields.Nested(ShownEvent), required=True)
    meta = fields.Nested(Meta, required=True)


class Part(Schema):
    """Which part of a list is wanted."""

    limit = fields.Integer(
        validate=Range(0, MOST), metadata={"description": f"{LIMIT} if not given"}
    )
    offset = fields.Integer(validate=Range(min=0))


class EventQuery(Part):
    """Which events are wanted, and which part of them."""

    query = fields.String(
        metadata={
            "description": "JSON with eventOwner, tags and context, or the same in"
            " brackets: query[tags][0]=prod"
        }
    )


class FailureQuery(Part):
    """Of which owners' events failures are wanted, and which part of them."""

    eventOwner = fields.List(fields.Email())


class Callback(Schema):
    """A callback that somebody has asked for."""

    callbackId = fields.String(required=True)
    eventId = fields.UUID(required=True)
    fireDate = fields.DateTime(required=True)


class OneCallback(Schema):
    """A callback, as all that succeeds is shown."""

    data = fields.Nested(Callback, required=True)


class EventRun(RunResponse):
    """What happened at one fire time of an event."""

    callbackId = fields.String(metadata={"description": "The id that it bears"})
    replayOf = fields.String(metadata={"description": "The one that it sends again"})


class RunList(Schema):
    """What happened at the newest fire times, newest first."""

    data = fields.List(fields.Nested(EventRun), required=True)


class Replay(Callback):
    """A callback that sends again what another has sent."""

    replayOf = fields.String(required=True)


class OneReplay(Schema):
    """A replay, as all that succeeds is shown."""

    data = fields.Nested(Replay, required=True)


class ShownAttempt(Schema):
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
    error = fields.String(required=True, allow_none=True)
    possibleDuplicate = fields.Boolean(required=True)
    replayOf = fields.String(required=True, allow_none=True)


class AttemptList(Schema):
    """A part of a list of attempts."""

    data = fields.List(fields.Nested(ShownAttempt), required=True)


class Secret(Schema):
    """What receivers check signatures with."""

    signingSecret = fields.String(required=True)


class OneSecret(Schema):
    """A secret, as all that succeeds is shown."""

    data = fields.Nested(Secret, required=True)


class Application(Secret):
    """An application that was registered; its key is told only now."""

    appName = fields.String(required=True)
    apiKey = fields.String(required=True)


class OneApplication(Schema):
    """An application, as all that succeeds is shown."""

    data = fields.Nested(Application, required=True)
