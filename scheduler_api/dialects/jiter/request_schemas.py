"""What Jiter clients may say: bodies and queries, and the message for each fault."""

import re
from collections.abc import Mapping
from marshmallow import EXCLUDE, Schema, ValidationError, fields, missing
from scheduler_api.core.cron import expression as cron
from scheduler_api.core.delivery.destinations import AddressPolicy, BadDestination
from scheduler_api.dialects.jiter.cron_grammar import GRAMMAR
from scheduler_api.web.schedule_options import DESCRIPTIONS
from scheduler_api.web.values import read_date
from typing import Any, ClassVar, TypedDict, cast

BAD_TIME = "Please enter a valid time"
PAST_TIME = "Please make sure your scheduled time is in the future."
BAD_PAYLOAD = "'payload' must be a string"
BAD_DESTINATION = "Please enter a valid destination"
BAD_EXPRESSION = "Please enter a valid cron expression"
BAD_OPTIONS = "'options' must be an object"
BAD_EVENT_STATUS = "'status' can only be set to 'Cancelled'"
BAD_CRON_STATUS = "'status' must be one of 'Active' or 'Disabled'"

ANYWHERE = AddressPolicy()
_ID = re.compile(r"[1-9][0-9]{0,17}")


class _Exact(fields.Field[object]):
    """A field with one message for whatever is wrong with it."""

    message = ""
    # How documents show it.
    shape: ClassVar[Mapping[str, object]] = {"type": "string"}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            metadata=dict(self.shape),
            error_messages={
                "required": self.message,
                "null": self.message,
                "invalid": self.message,
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
    """Any text at all, loaded as the bytes that are stored."""

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
    """An absolute http(s) URL, loaded as given."""

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
    """A cron expression in this dialect's grammar, loaded as given."""

    message = BAD_EXPRESSION

    def _deserialize(self, value: object, *_: object, **__: object) -> str:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        try:
            cron.parse(value, grammar=GRAMMAR)
        except cron.CronError as err:
            raise self.make_error("invalid") from err
        return value


class Options(_Exact):
    """What a schedule does beside firing, by the names that all dialects share."""

    message = BAD_OPTIONS
    shape: ClassVar = {
        "type": "object",
        "properties": {
            name: {"description": about} for name, about in DESCRIPTIONS.items()
        },
    }

    def _deserialize(
        self, value: object, *_: object, **__: object
    ) -> dict[str, object]:
        if not isinstance(value, dict):
            raise self.make_error("invalid")
        return value


class _Word(_Exact):
    """One of a few words, loaded as given."""

    words: tuple[str, ...] = ()

    def _deserialize(self, value: object, *_: object, **__: object) -> str:
        if value not in self.words:
            raise self.make_error("invalid")
        return str(value)


class EventStatus(_Word):
    """The one status that a client may give an event."""

    message = BAD_EVENT_STATUS
    words = ("Cancelled",)
    shape: ClassVar = {"type": "string", "enum": words}


class CronStatus(_Word):
    """Whether a cron job fires."""

    message = BAD_CRON_STATUS
    words = ("Active", "Disabled")
    shape: ClassVar = {"type": "string", "enum": words}


class Fields(TypedDict, total=False):
    """What a body says, as it is loaded: what its schema requires is there."""

    destination: str
    payload: bytes
    scheduled_ms: int
    expression: str
    status: str
    options: dict[str, object]


class Body(Schema):
    """A JSON object; its fields are checked in their order, unknown ones ignored."""

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
        """As `load`, at half its cost where nothing is wrong.

        Raises: ValidationError, for the first field that is.
        """
        read = {
            name: field.deserialize(body.get(field.data_key or name, missing))
            for name, field in self.load_fields.items()
        }
        said = {name: value for name, value in read.items() if value is not missing}
        return cast(Fields, said)


class NewEvent(Body):
    """The body that creates an event."""

    scheduled_ms = Time(data_key="scheduledTime", required=True)
    payload = Payload(required=True)
    destination = Destination(required=True)


class EventEdit(Body):
    """The body that edits an event; every field may be left out."""

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
    """The body that edits a cron job; every field may be left out."""

    status = CronStatus()
    expression = Expression()
    payload = Payload()
    destination = Destination()
    options = Options()


def first_fault(schema: Schema, err: ValidationError) -> tuple[str, str]:
    """Name and message of the first wrong field, in the schema's order."""
    messages = err.messages_dict
    for name, field in schema.fields.items():
        faults = messages.get(field.data_key or name)
        if faults:
            return name, str(faults[0])
    raise err


def read_id(text: str) -> int | None:
    """The number that an id spells, None if no id is spelt like this."""
    return int(text) if _ID.fullmatch(text) else None
