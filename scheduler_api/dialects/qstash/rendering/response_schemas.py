"""What QStash clients are shown and may ask for, as its document has it."""

from collections.abc import Iterable
from marshmallow import Schema, fields
from marshmallow.validate import OneOf, Range
from scheduler_api.dialects.qstash.parsing import filters
from scheduler_api.dialects.qstash.rendering import schedule_responses
from scheduler_api.web.schedule_schemas import Options, ShownRun
from typing import Any


def _lists() -> fields.Dict:
    """Lists of texts by name, as headers are shown."""
    return fields.Dict(keys=fields.String(), values=fields.List(fields.String()))


class Error(Schema):
    """What is wrong, in words."""

    error = fields.String(required=True)


class Published(Schema):
    """What a publisher is told about a message."""

    messageId = fields.String(required=True)
    url = fields.String(required=True)
    deduplicated = fields.Boolean()


class NotPublished(Schema):
    """What a publisher is told about an item of a batch that is refused."""

    messageId = fields.String(required=True, validate=OneOf([""]))
    error = fields.String(required=True)


class BatchItem(Schema):
    """A message in a batch."""

    destination = fields.String(required=True)
    queue = fields.String(allow_none=True)
    headers = fields.Dict(keys=fields.String(), values=fields.String(), allow_none=True)
    body = fields.String(allow_none=True)


class Sending(Schema):
    """How a message is sent, and told apart."""

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
    header = _lists()
    body = fields.String()
    callback = fields.String()
    failureCallback = fields.String()


class WithBody(Sending):
    """What is sent, and to whom its outcome is told."""

    bodyBase64 = fields.String()
    callbackHeader = _lists()
    failureCallbackHeader = _lists()


class ShownMessage(WithBody):
    """A message."""

    messageId = fields.String(required=True)
    url = fields.String(required=True)
    maxRetries = fields.Integer(required=True)
    notBefore = fields.Integer(
        required=True, metadata={"description": "Unix time, milliseconds"}
    )
    createdAt = fields.Integer(required=True)
    scheduleId = fields.String()


class CancelledMessages(Schema):
    """How many messages were cancelled."""

    cancelled = fields.Integer(required=True)


class LogEntry(Sending):
    """What happened to a message at one moment; bodies are in base64."""

    time = fields.Integer(required=True)
    messageId = fields.String(required=True)
    state = fields.String(required=True, validate=OneOf([*filters.STATES.values()]))
    url = fields.String(required=True)
    timeout = fields.Integer()
    maxRetries = fields.Integer()
    retryDelayExpr = fields.String()
    scheduleId = fields.String()
    callbackHeaders = _lists()
    failureCallbackHeaders = _lists()
    error = fields.String()
    possibleDuplicate = fields.Boolean()
    nextDeliveryTime = fields.Integer()
    responseStatus = fields.Integer()
    responseHeader = _lists()
    responseHeaders = _lists()
    responseBody = fields.String()


class Page(Schema):
    """A part of a list."""

    cursor = fields.String(metadata={"description": "Where the next page begins"})


class LogPage(Page):
    """A page of the log, under both names that clients look for."""

    logs = fields.List(fields.Nested(LogEntry), required=True)
    events = fields.List(fields.Nested(LogEntry), required=True)


class DeadLetter(ShownMessage):
    """A message that gave up, with the last answer."""

    dlqId = fields.String(required=True)
    responseStatus = fields.Integer(
        required=True, metadata={"description": "0 if none came"}
    )
    responseHeader = _lists()
    responseBody = fields.String()
    responseBodyBase64 = fields.String()


class LetterPage(Page):
    """A page of dead letters."""

    messages = fields.List(fields.Nested(DeadLetter), required=True)


class Deleted(Page):
    """How many dead letters were removed."""

    deleted = fields.Integer(required=True)


class Replayed(Page):
    """What takes the place of dead letters."""

    responses = fields.List(fields.Nested(Published), required=True)


class KeyPair(Schema):
    """What receivers check signatures with."""

    current = fields.String(required=True)
    next = fields.String(required=True)


class Rotated(KeyPair):
    """A pair after its rotation."""

    rotated = fields.String(required=True, validate=OneOf(["next", "both"]))
    graceEndsAt = fields.Integer(required=True)
    breaks = fields.String()


class Rotation(Schema):
    """How keys are rotated."""

    force = fields.Boolean(
        metadata={"description": "Also replace the key that receivers still need"}
    )


class ScheduleId(Schema):
    """The id of a schedule."""

    scheduleId = fields.String(required=True)


class ShownSchedule(WithBody, Options):
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
    error = fields.String(metadata={"description": "Of the last run"})
    skippedRuns = fields.Integer(required=True)


class RunByHand(Schema):
    """A schedule, and the message that it has just published."""

    scheduleId = fields.String(required=True)
    messageId = fields.String(required=True)


class ScheduleRun(ShownRun):
    """What happened at one fire time of a schedule."""

    messageId = fields.String()


class Runs(Schema):
    """What happened at the newest fire times, newest first."""

    runs = fields.List(fields.Nested(ScheduleRun), required=True)


class Endpoint(Schema):
    """A URL in a url group."""

    url = fields.String(required=True)
    name = fields.String()


class NewEndpoints(Schema):
    """Endpoints that are put into a url group."""

    endpoints = fields.List(fields.Nested(Endpoint), required=True)


class NamedEndpoint(Schema):
    """An endpoint by its URL or by its name."""

    url = fields.String()
    name = fields.String()


class NamedEndpoints(Schema):
    """Endpoints that are taken out of a url group."""

    endpoints = fields.List(fields.Nested(NamedEndpoint), required=True)


class Defaults(Schema):
    """Headers that hold where a publisher to a url group gives none."""

    headers = fields.Dict(keys=fields.String(), required=True)


class UrlGroup(Schema):
    """A url group."""

    name = fields.String(required=True)
    createdAt = fields.Integer(required=True)
    updatedAt = fields.Integer(required=True)
    endpoints = fields.List(fields.Nested(Endpoint), required=True)
    headers = _lists()


class NewQueue(Schema):
    """A queue as it shall be."""

    queueName = fields.String(required=True)
    parallelism = fields.Integer(validate=Range(min=1), allow_none=True)
    paused = fields.Boolean(allow_none=True)


class ShownQueue(Schema):
    """A queue."""

    name = fields.String(required=True)
    createdAt = fields.Integer(required=True)
    updatedAt = fields.Integer(required=True)
    parallelism = fields.Integer(required=True)
    paused = fields.Boolean(required=True)
    lag = fields.Integer(
        required=True, metadata={"description": "Messages that are not finished"}
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
    """How many messages are under way, and how many may be; 0 is no limit."""

    parallelismMax = fields.Integer(required=True)
    parallelismCount = fields.Integer(required=True)


class Search(Schema):
    """Which keys are listed."""

    search = fields.String(metadata={"description": "A part of the key"})


class Pin(Schema):
    """Limits that no message changes."""

    parallelism = fields.Integer(validate=Range(min=1))
    rate = fields.Integer(validate=Range(min=1))
    period = fields.Integer(
        validate=Range(min=1), metadata={"description": "Seconds, 1 if not given"}
    )


class Unpin(Schema):
    """Limits that messages may change again."""

    parallelism = fields.Boolean()
    rate = fields.Boolean()


def parameters(
    name: str, names: Iterable[str], *, in_body: bool = False
) -> type[Schema]:
    """Filters and pages, of which all but few are texts; a body may list them."""
    texts: fields.Field[Any] = fields.String(
        metadata={"description": "One or more, separated by commas"}
    )
    if in_body:
        text = {"type": ["string", "integer"]}
        several = {"type": "array", "items": text}
        texts = fields.Raw(metadata={"anyOf": [text, several]})
    moment = fields.Integer(metadata={"description": "Unix time, milliseconds"})
    kinds: dict[str, fields.Field[Any]] = {
        "count": fields.Integer(validate=Range(min=1)),
        "fromDate": moment,
        "toDate": moment,
        "order": fields.String(validate=OneOf(["earliestFirst", "latestFirst"])),
    }
    return Schema.from_dict({each: kinds.get(each, texts) for each in names}, name=name)


LogQuery = parameters("LogQuery", filters.LOG_PARAMETERS)
CancelQuery = parameters("CancelQuery", filters.CANCELLATION_PARAMETERS)
CancelBody = parameters("CancelBody", filters.CANCELLATION_PARAMETERS, in_body=True)
LetterQuery = parameters("LetterQuery", filters.DEAD_LETTER_PARAMETERS)
LetterBody = parameters("LetterBody", filters.DEAD_LETTER_PARAMETERS, in_body=True)
