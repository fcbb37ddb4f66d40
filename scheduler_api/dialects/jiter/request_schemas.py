"""Schemas of request bodies, with the error message of each field."""

from collections.abc import Mapping
from marshmallow import EXCLUDE, Schema, ValidationError, fields, missing
from scheduler_api.core.cron import expression as cron
from scheduler_api.core.delivery.destinations import AddressPolicy, BadDestination
from scheduler_api.dialects.jiter.cron_grammar import GRAMMAR
from scheduler_api.web.schedule_schemas import options_shape
from scheduler_api.web.values import read_date
from typing import Any, ClassVar, TypedDict, cast

BAD_TIME = "Please enter a valid time"
PAST_TIME = "Please make sure your scheduled time is in the future."
BAD_PAYLOAD = "'payload' must be a string"
BAD_DESTINATION = "Please enter a valid destination"
BAD_EXPRESSION = "Please enter a valid cron expression"
NO_EXPRESSION = "'expression' should be a text with five fields, such as '0 9 * * *'"
BAD_OPTIONS = "'options' must be an object"
BAD_EVENT_STATUS = "'status' can only be set to 'Cancelled'"
BAD_CRON_STATUS = "'status' must be one of 'Active' or 'Disabled'"

ANYWHERE = AddressPolicy()


class _Exact(fields.Field[object]):
    """A field with the same message for every fault."""

    message = ""
    # Given beside the message, which the API fixes.
    reason = ""
    # The JSON Schema of the field for the OpenAPI document.
    shape: ClassVar[Mapping[str, object]] = {"type": "string"}

    def __init__(self, **kwargs: Any) -> None:
        messages: Any = [self.message, self.reason] if self.reason else [self.message]
        super().__init__(
            metadata=dict(self.shape),
            error_messages={
                "required": messages,
                "null": messages,
                "invalid": messages,
            },
            **kwargs,
        )


class Time(_Exact):
    """An ISO 8601 text, loaded as epoch ms."""

    message = BAD_TIME
    shape: ClassVar = {"type": "string", "format": "date-time"}

    def _deserialize(self, value: object, *_: object, **__: object) -> int:
        try:
            return read_date(value)
        except ValueError as err:
            raise self.make_error("invalid") from err


class Payload(_Exact):
    """A text, loaded as bytes.

    The bytes are UTF-8, unless the text contains lone surrogates, which UTF-8 cannot
    encode. Each lone surrogate is then encoded in three bytes (`surrogatepass`).
    """

    message = BAD_PAYLOAD

    def _deserialize(self, value: object, *_: object, **__: object) -> bytes:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        payload = value.encode("utf-8", "surrogatepass")
        limit = getattr(self.root, "payload_limit_bytes", 0)
        if limit and len(payload) > limit:
            raise ValidationError(f"'payload' cannot exceed {limit} bytes")
        return payload


class Destination(_Exact):
    """An absolute http(s) URL, loaded unchanged."""

    message = BAD_DESTINATION
    shape: ClassVar = {"type": "string", "format": "uri"}

    def _deserialize(self, value: object, *_: object, **__: object) -> str:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        try:
            allow: AddressPolicy = getattr(self.root, "allow", ANYWHERE)
            return allow.read(value).url
        except BadDestination as err:
            raise self.make_error("invalid") from err


class Expression(_Exact):
    """A cron expression in this dialect's grammar, loaded unchanged."""

    message = BAD_EXPRESSION
    reason = NO_EXPRESSION
    shape: ClassVar = {"type": "string", "examples": ["0 9 * * *"]}

    def _deserialize(self, value: object, *_: object, **__: object) -> str:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        try:
            cron.parse(value, grammar=GRAMMAR)
        except cron.CronError as err:
            raise ValidationError([self.message, str(err)]) from err
        return value


class Options(_Exact):
    """Options of a cron job; `apply_options` checks their names and values later."""

    message = BAD_OPTIONS
    shape: ClassVar = options_shape()

    def _deserialize(
        self, value: object, *_: object, **__: object
    ) -> dict[str, object]:
        if not isinstance(value, dict):
            raise self.make_error("invalid")
        return value


class _Choice(_Exact):
    """One of a few texts, loaded unchanged."""

    choices: tuple[str, ...] = ()

    def _deserialize(self, value: object, *_: object, **__: object) -> str:
        if value not in self.choices:
            raise self.make_error("invalid")
        return str(value)


class EventStatus(_Choice):
    """The status that a client can set on an event."""

    message = BAD_EVENT_STATUS
    choices = ("Cancelled",)
    shape: ClassVar = {"type": "string", "enum": choices}


class CronStatus(_Choice):
    """The status that a client can set on a cron job."""

    message = BAD_CRON_STATUS
    choices = ("Active", "Disabled")
    shape: ClassVar = {"type": "string", "enum": choices}


class Fields(TypedDict, total=False):
    """The loaded fields of a body; required fields are always present."""

    destination: str
    payload: bytes
    scheduled_ms: int
    expression: str
    status: str
    options: dict[str, object]


class Body(Schema):
    """A JSON object; unknown fields are ignored."""

    class Meta:
        unknown = EXCLUDE

    def __init__(
        self,
        *,
        payload_limit_bytes: int = 0,
        allow: AddressPolicy = ANYWHERE,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.payload_limit_bytes = payload_limit_bytes
        self.allow = allow

    def read(self, body: dict[str, object]) -> Fields:
        """Return the fields that `load` returns for a valid body, in half the time.

        Raises: ValidationError, for the first wrong field only.
        """
        values = {
            name: field.deserialize(body.get(field.data_key or name, missing))
            for name, field in self.load_fields.items()
        }
        present = {
            name: value for name, value in values.items() if value is not missing
        }
        return cast(Fields, present)


class NewEvent(Body):
    """The body that creates an event."""

    scheduled_ms = Time(data_key="scheduledTime", required=True)
    payload = Payload(required=True)
    destination = Destination(required=True)


class EventEdit(Body):
    """The body that edits an event; every field is optional."""

    status = EventStatus()
    scheduled_ms = Time(data_key="scheduledTime")
    payload = Payload()
    destination = Destination()


class NewCronJob(Body):
    """The body that creates a cron job."""

    expression = Expression(required=True)
    payload = Payload(required=True)
    destination = Destination(required=True)
    options = Options()


class CronJobEdit(Body):
    """The body that edits a cron job; every field is optional."""

    status = CronStatus()
    expression = Expression()
    payload = Payload()
    destination = Destination()
    options = Options()


def first_fault(schema: Schema, err: ValidationError) -> tuple[str, list[str]]:
    """Return the first wrong field of the schema: its name, its message, the reason."""
    messages = err.messages_dict
    for name, field in schema.fields.items():
        faults = messages.get(field.data_key or name)
        if faults:
            return name, list(map(str, faults))
    raise err
