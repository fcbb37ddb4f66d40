"""OpenAPI schemas for requests and responses."""

from collections.abc import Iterable
from marshmallow import Schema, fields
from marshmallow.validate import OneOf, Range
from scheduler_api.dialects.qstash.parsing import filters
from scheduler_api.dialects.qstash.rendering import schedule_responses
from scheduler_api.web.schedule_schemas import HELD_BY, Options, RunResponse
from typing import Any

URL = "https://example.com/"


def _example(value: object) -> dict[str, object]:
    """Return the metadata of a field with this value in example requests."""
    return {"examples": [value]}


def _header_map() -> fields.Dict:
    """Return a field for headers by name, each with a list of values."""
    return fields.Dict(keys=fields.String(), values=fields.List(fields.String()))


class Error(Schema):
    """An error."""

    error = fields.String(required=True)


class Published(Schema):
    """A published message."""

    messageId = fields.String(required=True)
    url = fields.String(required=True)
    deduplicated = fields.Boolean()
    ignored = fields.String()


class BatchItemError(Schema):
    """The error of one item of a batch."""

    messageId = fields.String(required=True, validate=OneOf([""]))
    error = fields.String(required=True)


class BatchItem(Schema):
    """A message in a batch."""

    destination = fields.String(required=True, metadata=_example(URL))
    queue = fields.String(allow_none=True)
    headers = fields.Dict(keys=fields.String(), values=fields.String(), allow_none=True)
    body = fields.String(allow_none=True)


class HeldFields(Schema):
    """For which destination a message waits; both fields are absent if it does not."""

    heldBy = fields.String(metadata={"description": HELD_BY})
    heldSince = fields.Integer(metadata={"description": "Unix time, milliseconds"})


class MessageSettings(Schema):
    """Settings that messages, log entries and schedules have in common."""

    method = fields.String(required=True)
    queueName = fields.String()
    topicName = fields.String()
    endpointName = fields.String()
    callerIP = fields.String()
    label = fields.String()
    labels = fields.List(fields.String())
    flowControlKey = fields.String()
    parallelism = fields.Integer()
    rate = fields.Integer()
    period = fields.Integer(metadata={"description": "Seconds"})
    retryDelayExpression = fields.String()
    header = _header_map()
    body = fields.String()
    callback = fields.String()
    failureCallback = fields.String()


class MessageContent(MessageSettings):
    """What messages and schedules have in common."""

    bodyBase64 = fields.String()
    callbackHeader = _header_map()
    failureCallbackHeader = _header_map()


class MessageResponse(MessageContent, HeldFields):
    """A message."""

    messageId = fields.String(required=True)
    url = fields.String(required=True)
    maxRetries = fields.Integer(required=True)
    notBefore = fields.Integer(
        required=True, metadata={"description": "Unix time, milliseconds"}
    )
    createdAt = fields.Integer(required=True)
    scheduleId = fields.String()


class CancelResponse(Schema):
    """How many messages were cancelled."""

    cancelled = fields.Integer(required=True)


class Result(Schema):
    """Why the last attempt failed, and what is missing of the response body."""

    error = fields.String(metadata={"description": "A sentence"})
    errorCode = fields.String(metadata={"description": "A stable code"})
    bodyIncomplete = fields.Boolean(
        metadata={"description": "Whether this is not the entire response body"}
    )
    bodyTruncated = fields.Boolean(
        metadata={"description": "Whether the body is longer than what is kept"}
    )


class LogEntry(MessageSettings, Result, HeldFields):
    """A state that a message entered; bodies are in base64."""

    time = fields.Integer(required=True)
    messageId = fields.String(required=True)
    state = fields.String(required=True, validate=OneOf([*filters.STATES.values()]))
    url = fields.String(required=True)
    timeout = fields.Integer()
    maxRetries = fields.Integer()
    retryDelayExpr = fields.String()
    scheduleId = fields.String()
    callbackHeaders = _header_map()
    failureCallbackHeaders = _header_map()
    possibleDuplicate = fields.Boolean()
    nextDeliveryTime = fields.Integer()
    responseStatus = fields.Integer()
    responseHeader = _header_map()
    responseHeaders = _header_map()
    responseBody = fields.String()


class Page(Schema):
    """A page of a list."""

    cursor = fields.String(
        metadata={"description": "Cursor of the next page; absent on the last page"}
    )


class LogPage(Page):
    """A page of the log; `logs` and `events` are the same list."""

    logs = fields.List(fields.Nested(LogEntry), required=True)
    events = fields.List(fields.Nested(LogEntry), required=True)


class DeadLetter(MessageResponse, Result):
    """A message that failed for good, with the last response."""

    dlqId = fields.String(required=True)
    responseStatus = fields.Integer(
        required=True, metadata={"description": "0 if there was no response"}
    )
    responseHeader = _header_map()
    responseBody = fields.String()
    responseBodyBase64 = fields.String()


class DeadLetterPage(Page):
    """A page of dead letters."""

    messages = fields.List(fields.Nested(DeadLetter), required=True)


class DeleteResponse(Page):
    """How many dead letters were deleted."""

    deleted = fields.Integer(required=True)


class RetryResponse(Page):
    """The messages that replaced the retried dead letters."""

    responses = fields.List(fields.Nested(Published), required=True)


class KeyPair(Schema):
    """The keys that receivers verify signatures with."""

    current = fields.String(required=True)
    next = fields.String(required=True)


class RotationResponse(KeyPair):
    """The pair of keys after a rotation."""

    rotated = fields.String(required=True, validate=OneOf(["next", "both"]))
    graceEndsAt = fields.Integer(required=True)
    breaks = fields.String()


class RotationQuery(Schema):
    """Options of a rotation."""

    force = fields.Boolean(
        metadata={"description": "Replace both keys, even within the grace period"}
    )


class ScheduleId(Schema):
    """The id of a schedule."""

    scheduleId = fields.String(required=True)


class ScheduleResponse(MessageContent, Options):
    """A schedule."""

    scheduleId = fields.String(required=True)
    destination = fields.String(required=True)
    cron = fields.String(required=True)
    createdAt = fields.Integer(required=True)
    isPaused = fields.Boolean(required=True)
    callerIp = fields.String()
    delay = fields.Integer(metadata={"description": "Seconds"})
    timeout = fields.Integer(metadata={"description": "Seconds"})
    retries = fields.Integer(required=True)
    nextScheduleTime = fields.Integer()
    lastScheduleTime = fields.Integer()
    lastScheduleStates = fields.Dict(
        keys=fields.String(),
        values=fields.String(
            validate=OneOf(sorted({*schedule_responses.STATES.values()}))
        ),
    )
    error = fields.String(metadata={"description": "Error of the last run"})
    skippedRuns = fields.Integer(required=True)


class ManualRun(Schema):
    """The message that a manual run of a schedule published."""

    scheduleId = fields.String(required=True)
    messageId = fields.String(required=True)


class ScheduleRun(RunResponse):
    """The outcome of one fire time of a schedule."""

    messageId = fields.String()


class Runs(Schema):
    """The outcomes of the newest fire times, newest first."""

    runs = fields.List(fields.Nested(ScheduleRun), required=True)


class Endpoint(Schema):
    """A URL in a url group."""

    url = fields.String(required=True, metadata=_example(URL))
    name = fields.String()


class NewEndpoints(Schema):
    """Endpoints to add to a url group."""

    endpoints = fields.List(fields.Nested(Endpoint), required=True)


class NamedEndpoint(Schema):
    """An endpoint, identified by its URL or its name."""

    url = fields.String(metadata=_example(URL))
    name = fields.String()


class NamedEndpoints(Schema):
    """Endpoints to remove from a url group."""

    endpoints = fields.List(fields.Nested(NamedEndpoint), required=True)


class DefaultHeaders(Schema):
    """Default headers of messages to a url group."""

    headers = fields.Dict(
        keys=fields.String(),
        required=True,
        metadata=_example({"Upstash-Retries": "5"}),
    )


class UrlGroup(Schema):
    """A url group."""

    name = fields.String(required=True)
    createdAt = fields.Integer(required=True)
    updatedAt = fields.Integer(required=True)
    endpoints = fields.List(fields.Nested(Endpoint), required=True)
    headers = _header_map()


class NewQueue(Schema):
    """A queue to create or update."""

    queueName = fields.String(required=True)
    parallelism = fields.Integer(validate=Range(min=1), allow_none=True)
    paused = fields.Boolean(allow_none=True)


class QueueResponse(Schema):
    """A queue."""

    name = fields.String(required=True)
    createdAt = fields.Integer(required=True)
    updatedAt = fields.Integer(required=True)
    parallelism = fields.Integer(required=True)
    paused = fields.Boolean(required=True)
    lag = fields.Integer(
        required=True, metadata={"description": "Number of unfinished messages"}
    )


class FlowControl(Schema):
    """A flow-control key; a limit that is not set is 0."""

    flowControlKey = fields.String(required=True)
    waitListSize = fields.Integer(required=True)
    parallelismMax = fields.Integer(required=True)
    parallelismCount = fields.Integer(required=True)
    rateMax = fields.Integer(required=True)
    rateCount = fields.Integer(required=True)
    ratePeriod = fields.Integer(required=True, metadata={"description": "Seconds"})
    ratePeriodStart = fields.Integer(
        required=True, metadata={"description": "Unix time, seconds"}
    )
    isPaused = fields.Boolean(required=True)
    isPinnedParallelism = fields.Boolean(required=True)
    isPinnedRate = fields.Boolean(required=True)


class Parallelism(Schema):
    """The number of running deliveries, and the maximum; 0 means no maximum."""

    parallelismMax = fields.Integer(required=True)
    parallelismCount = fields.Integer(required=True)


class SearchQuery(Schema):
    """Which keys to list."""

    search = fields.String(metadata={"description": "Text that the keys contain"})


class PinQuery(Schema):
    """Limits to pin, so that messages cannot change them."""

    parallelism = fields.Integer(validate=Range(min=1))
    rate = fields.Integer(validate=Range(min=1), metadata=_example(10))
    period = fields.Integer(
        validate=Range(min=1), metadata={"description": "Seconds; default 1"}
    )


class UnpinQuery(Schema):
    """Limits to unpin, so that messages can change them again."""

    parallelism = fields.Boolean()
    rate = fields.Boolean(metadata=_example(True))


def parameter_schema(
    name: str, names: Iterable[str], *, in_body: bool = False
) -> type[Schema]:
    """Create a schema of filters and paging parameters.

    Args:
        in_body: whether a JSON body contains the parameters; a filter may then be one
            value or a list.
    """
    filter_field: fields.Field[Any] = fields.String(
        metadata={"description": "One or more values, separated by commas"}
    )
    date = fields.Integer(metadata={"description": "Unix time, milliseconds"})
    others: dict[str, fields.Field[Any]] = {
        "count": fields.Integer(validate=Range(min=1)),
        "fromDate": date,
        "toDate": date,
        "order": fields.String(validate=OneOf(["earliestFirst", "latestFirst"])),
    }
    if in_body:
        value = {"type": ["string", "integer"]}
        shape = {"anyOf": [value, {"type": "array", "items": value}]}
        filter_field = fields.Raw(metadata=shape)
        for each in ("dlqIds", "messageIds"):
            others[each] = fields.Raw(metadata={**shape, **_example(["ID"])})
    return Schema.from_dict(
        {each: others.get(each, filter_field) for each in names}, name=name
    )


LogQuery = parameter_schema("LogQuery", filters.LOG_PARAMETERS)
CancelQuery = parameter_schema("CancelQuery", filters.CANCELLATION_PARAMETERS)
CancelBody = parameter_schema(
    "CancelBody", filters.CANCELLATION_PARAMETERS, in_body=True
)
DeadLetterQuery = parameter_schema("DeadLetterQuery", filters.DEAD_LETTER_PARAMETERS)
DeadLetterBody = parameter_schema(
    "DeadLetterBody", filters.DEAD_LETTER_PARAMETERS, in_body=True
)
