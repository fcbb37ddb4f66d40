"""OpenAPI schemas of responses and queries."""

from marshmallow import Schema, fields
from marshmallow.validate import OneOf
from scheduler_api.dialects.jiter.rendering import (
    ACTIVE,
    DISABLED,
    PENDING,
    QUEUED,
    STATUSES,
)
from scheduler_api.web.schedule_schemas import (
    HELD_BY,
    HELD_SINCE,
    Options,
    RunResponse,
)


class Error(Schema):
    """An error."""

    message = fields.String(required=True)


class Record(Schema):
    """An attempt."""

    id = fields.String(required=True)
    status = fields.String(
        metadata={"description": "HTTP status, if there was a response"}
    )
    responseData = fields.String(required=True)
    error = fields.String(
        metadata={"description": "Why the attempt failed, as a sentence"}
    )
    errorCode = fields.String(
        metadata={"description": "Why the attempt failed, as a stable code"}
    )
    bodyIncomplete = fields.Boolean(
        metadata={"description": "Whether responseData is not the entire body"}
    )
    bodyTruncated = fields.Boolean(
        metadata={"description": "Whether the body is longer than what is kept"}
    )
    requestData = fields.String(required=True)
    createdAt = fields.DateTime(required=True)
    updatedAt = fields.DateTime(required=True)


class EventRecord(Record):
    """An attempt of an event."""

    event = fields.String(required=True)


class CronRecord(Record):
    """An attempt to execute a cron job."""

    cron = fields.String(required=True)


class Event(Schema):
    """An event."""

    id = fields.String(required=True)
    org = fields.String(required=True)
    payload = fields.String(required=True)
    destination = fields.String(required=True)
    scheduledTime = fields.DateTime(required=True)
    status = fields.String(required=True, validate=OneOf([*STATUSES.values()]))
    createdAt = fields.DateTime(required=True)
    updatedAt = fields.DateTime(required=True)
    sentAt = fields.DateTime()
    failedAt = fields.DateTime()
    replayOf = fields.String(metadata={"description": "The event that it replays"})
    heldBy = fields.String(metadata={"description": HELD_BY})
    heldSince = fields.DateTime(metadata={"description": HELD_SINCE})


class EventWithHistory(Event):
    """An event with its attempts."""

    history = fields.List(fields.Nested(EventRecord), required=True)


class CronJob(Schema):
    """A cron job."""

    id = fields.String(required=True)
    org = fields.String(required=True)
    payload = fields.String(required=True)
    destination = fields.String(required=True)
    expression = fields.String(required=True)
    status = fields.String(required=True, validate=OneOf([ACTIVE, DISABLED]))
    nextExecutionStatus = fields.String(
        required=True, validate=OneOf([PENDING, QUEUED])
    )
    nextExecutionDate = fields.DateTime()
    createdAt = fields.DateTime(required=True)
    updatedAt = fields.DateTime(required=True)
    options = fields.Nested(Options, required=True)


class CronRun(RunResponse):
    """What happened at a fire time of a cron job."""

    execution = fields.String(metadata={"description": "Id of the execution"})


class Runs(Schema):
    """The newest fire times, newest first."""

    runs = fields.List(fields.Nested(CronRun), required=True)


class CronJobWithHistory(CronJob):
    """A cron job with the attempts of its newest executions."""

    history = fields.List(fields.Nested(CronRecord), required=True)


class EventQuery(Schema):
    """Filters of the list of events; an event must match all of them."""

    status = fields.String(
        metadata={"description": f"One or more of {', '.join(STATUSES.values())}"}
    )
    scheduledStartDate = fields.DateTime()
    scheduledEndDate = fields.DateTime()
    sentAtStartDate = fields.DateTime()
    sentAtEndDate = fields.DateTime()
    failedAtStartDate = fields.DateTime()
    failedAtEndDate = fields.DateTime()
