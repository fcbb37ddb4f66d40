"""Schemas of request bodies, with all error messages of each field."""

from collections.abc import Iterator, Mapping, Sequence
from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate
from scheduler_api.core.cron import expression
from scheduler_api.core.delivery.destinations import AddressPolicy, BadDestination
from scheduler_api.dialects.events_v1.cron_grammar import GRAMMAR
from scheduler_api.web.schedule_schemas import options_shape
from scheduler_api.web.values import read_date
from typing import Any, ClassVar, TypedDict

MAX_TAGS = 50
MAX_TAG_LENGTH = 256
MAX_EMAIL_LENGTH = 254
BAD_EXPRESSION = "{} must be a valid cron expression"
ANYWHERE = AddressPolicy()
MAX_NAME_LENGTH = 200

# Error messages by the name of the field.
Faults = dict[str, list[str]]

_email = validate.Email()


class _Shaped(fields.Field[object]):
    """A field with `shape` as its JSON Schema in the OpenAPI document."""

    shape: ClassVar[Mapping[str, object]] = {"type": "string"}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(metadata=dict(self.shape), **kwargs)


class _Validated(_Shaped):
    """A field with error messages in the wording of class-validator.

    A value of the wrong kind has one message, `fault`. A missing or empty value has two
    messages: "should not be empty", then `fault`. The name of the field replaces `{}`
    in a message.
    """

    fault = ""

    def __init__(self, **kwargs: Any) -> None:
        self._empty = ["{} should not be empty", self.fault]
        messages: Any = {"required": self._empty, "null": self._empty}
        super().__init__(error_messages=messages, **kwargs)

    def refuse(self, *messages: str) -> ValidationError:
        """Return an error with the given messages, or else with the message `fault`."""
        return ValidationError(list(messages or (self.fault,)))

    def text(self, value: object) -> str:
        """Check that a value is a text and not empty; return the value.

        Raises: ValidationError.
        """
        if value == "":
            raise self.refuse(*self._empty)
        if not isinstance(value, str):
            raise self.refuse()
        return value


class EventOwner(_Validated):
    """An e-mail address, loaded unchanged."""

    fault = "{} must be an email"
    shape: ClassVar = {
        "type": "string",
        "format": "email",
        "maxLength": MAX_EMAIL_LENGTH,
    }

    def _deserialize(self, value: object, *_: object, **__: object) -> str:
        text = self.text(value)
        try:
            _email(text)
        except ValidationError as err:
            raise self.refuse() from err
        if len(text) > MAX_EMAIL_LENGTH or not text.isprintable():
            raise self.refuse()
        return text


class EndDate(_Validated):
    """An ISO 8601 text, loaded as epoch ms."""

    fault = "{} must be a valid ISO 8601 date string"
    shape: ClassVar = {"type": "string", "format": "date-time"}

    def _deserialize(self, value: object, *_: object, **__: object) -> int:
        text = self.text(value)
        try:
            return read_date(text)
        except ValueError as err:
            raise self.refuse() from err


class Interval(_Validated):
    """A cron expression in this dialect's grammar, loaded unchanged."""

    fault = "{} must be a string"
    shape: ClassVar = {"type": "string", "examples": ["0 9 * * *"]}

    def _deserialize(self, value: object, *_: object, **__: object) -> str:
        text = self.text(value)
        try:
            expression.parse(text, grammar=GRAMMAR)
        except expression.CronError as err:
            # The name of the field is inserted into the messages later.
            reason = str(err).replace("{", "{{").replace("}", "}}")
            raise self.refuse(BAD_EXPRESSION, reason) from err
        return text


class CallbackUrl(_Validated):
    """An absolute http(s) URL, loaded unchanged."""

    fault = "{} must be a URL address"
    shape: ClassVar = {"type": "string", "format": "uri"}

    def _deserialize(self, value: object, *_: object, **__: object) -> str:
        try:
            allow: AddressPolicy = getattr(self.root, "allow", ANYWHERE)
            return allow.read(self.text(value)).url
        except BadDestination as err:
            raise self.refuse() from err


class Context(_Shaped):
    """Any JSON object, loaded unchanged."""

    shape: ClassVar = {"type": "object"}

    def _deserialize(self, value: object, *_: object, **__: object) -> object:
        if not isinstance(value, dict):
            raise ValidationError(["{} must be an object"])
        return value


class Tags(_Shaped):
    """A list of texts; null is loaded as an empty list."""

    shape: ClassVar = {
        "type": "array",
        "items": {"type": "string", "maxLength": MAX_TAG_LENGTH},
        "maxItems": MAX_TAGS,
    }

    def deserialize(
        self,
        value: object,
        attr: str | None = None,
        data: Mapping[str, object] | None = None,
        **kwargs: object,
    ) -> object:
        tags = [] if value is None else value
        return super().deserialize(tags, attr, data, **kwargs)

    def _deserialize(self, value: object, *_: object, **__: object) -> list[str]:
        if not isinstance(value, list):
            raise ValidationError(["{} must be an array"])
        faults = list(self._faults(value))
        if faults:
            raise ValidationError(faults)
        return value

    def _faults(self, tags: list[object]) -> Iterator[str]:
        if len(tags) > MAX_TAGS:
            yield f"{{}} must contain no more than {MAX_TAGS} elements"
        texts = [tag for tag in tags if isinstance(tag, str)]
        if len(texts) < len(tags):
            yield "each value in {} must be a string"
        elif any(len(tag) > MAX_TAG_LENGTH for tag in texts):
            yield (
                "each value in {} must be shorter than or equal to"
                f" {MAX_TAG_LENGTH} characters"
            )


class Options(_Shaped):
    """Options of an event; `apply_options` checks their names and values later."""

    shape: ClassVar = options_shape(without=["endDate"])

    def _deserialize(
        self, value: object, *_: object, **__: object
    ) -> dict[str, object]:
        if not isinstance(value, dict):
            raise ValidationError(["{} must be an object"])
        if "endDate" in value:
            raise ValidationError(["{}.endDate is unknown: it stands beside options"])
        return value


class AppName(_Validated):
    """The name of an application, loaded unchanged."""

    fault = "{} must be a string"
    shape: ClassVar = {"type": "string", "maxLength": MAX_NAME_LENGTH}

    def _deserialize(self, value: object, *_: object, **__: object) -> str:
        text = self.text(value)
        if not text.isprintable():
            raise self.refuse("{} must contain only printable characters")
        if len(text) > MAX_NAME_LENGTH:
            raise self.refuse(
                f"{{}} must be shorter than or equal to {MAX_NAME_LENGTH} characters"
            )
        return text


class Fields(TypedDict, total=False):
    """The loaded fields of a body; required fields are always present."""

    event_owner: str
    end_ms: int
    interval: str
    callback_url: str
    context: dict[str, object] | None
    tags: list[str]
    options: dict[str, object]
    app_name: str


class Body(Schema):
    """A JSON object; unknown fields are ignored."""

    class Meta:
        unknown = EXCLUDE

    def __init__(self, *, allow: AddressPolicy = ANYWHERE, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.allow = allow


class NewEvent(Body):
    """The body that creates an event."""

    event_owner = EventOwner(data_key="eventOwner", required=True)
    end_ms = EndDate(data_key="endDate", required=True)
    interval = Interval(required=True)
    callback_url = CallbackUrl(data_key="callbackUrl", required=True)
    context = Context(allow_none=True)
    tags = Tags()
    options = Options()


class EventEdit(Body):
    """The body that edits an event; every field is optional."""

    end_ms = EndDate(data_key="endDate")
    interval = Interval()
    callback_url = CallbackUrl(data_key="callbackUrl")
    context = Context(allow_none=True)
    tags = Tags()
    options = Options()


class NewApplication(Body):
    """The body that registers an application."""

    app_name = AppName(data_key="appName", required=True)


def read_faults(schema: Schema, err: ValidationError) -> Faults:
    """Return the messages in a ValidationError, with the names of fields inserted."""
    messages = err.messages_dict
    return {
        name: [str(text).format(name) for text in messages[name]]
        for name in _names(schema)
        if name in messages
    }


def ordered_messages(schema: Schema, faults: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the messages of all fields, in the order of the schema."""
    return [text for name in _names(schema) for text in faults.get(name, ())]


def _names(schema: Schema) -> list[str]:
    return [field.data_key or name for name, field in schema.fields.items()]
