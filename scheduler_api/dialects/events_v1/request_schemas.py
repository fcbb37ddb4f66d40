"""What clients of Scheduler v1 may say, and the messages for all that is wrong."""

from collections.abc import Iterator, Mapping, Sequence
from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate
from scheduler_api.core.cron import expression
from scheduler_api.core.delivery.destinations import AddressPolicy, BadDestination
from scheduler_api.dialects.events_v1.cron_grammar import GRAMMAR
from scheduler_api.web.schedule_options import DESCRIPTIONS
from scheduler_api.web.values import read_date
from typing import Any, ClassVar, TypedDict

MOST_TAGS = 50
LONGEST_TAG = 256
LONGEST_EMAIL = 254
ANYWHERE = AddressPolicy()
LONGEST_NAME = 200

Faults = dict[str, list[str]]

_email = validate.Email()


class _Shaped(fields.Field[object]):
    """A field that documents show in this shape."""

    shape: ClassVar[Mapping[str, object]] = {"type": "string"}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(metadata=dict(self.shape), **kwargs)


class _Stated(_Shaped):
    """A field whose faults are told in class-validator's words.

    `says` is the fault of what is no such value at all; where it is empty or missing,
    that is told first.
    """

    says = ""

    def __init__(self, **kwargs: Any) -> None:
        self._empty = ["{} should not be empty", self.says]
        messages: Any = {"required": self._empty, "null": self._empty}
        super().__init__(error_messages=messages, **kwargs)

    def refuse(self, *messages: str) -> ValidationError:
        """The error that tells these faults."""
        return ValidationError(list(messages or (self.says,)))

    def text(self, value: object) -> str:
        """A text that is not empty.

        Raises: ValidationError.
        """
        if value == "":
            raise self.refuse(*self._empty)
        if not isinstance(value, str):
            raise self.refuse()
        return value


class EventOwner(_Stated):
    """An e-mail address, loaded as given."""

    says = "{} must be an email"
    shape: ClassVar = {"type": "string", "format": "email", "maxLength": LONGEST_EMAIL}

    def _deserialize(self, value: object, *_: object, **__: object) -> str:
        text = self.text(value)
        try:
            _email(text)
        except ValidationError as err:
            raise self.refuse() from err
        if len(text) > LONGEST_EMAIL or not text.isprintable():
            raise self.refuse()
        return text


class EndDate(_Stated):
    """An ISO 8601 text, loaded as epoch ms."""

    says = "{} must be a valid ISO 8601 date string"
    shape: ClassVar = {"type": "string", "format": "date-time"}

    def _deserialize(self, value: object, *_: object, **__: object) -> int:
        text = self.text(value)
        try:
            return read_date(text)
        except ValueError as err:
            raise self.refuse() from err


class Interval(_Stated):
    """A cron expression in this dialect's grammar, loaded as given."""

    says = "{} must be a string"

    def _deserialize(self, value: object, *_: object, **__: object) -> str:
        text = self.text(value)
        try:
            expression.parse(text, grammar=GRAMMAR)
        except expression.CronError as err:
            raise self.refuse("{} must be a valid cron expression") from err
        return text


class CallbackUrl(_Stated):
    """An absolute http(s) URL, loaded as given."""

    says = "{} must be a URL address"
    shape: ClassVar = {"type": "string", "format": "uri"}

    def _deserialize(self, value: object, *_: object, **__: object) -> str:
        try:
            allow: AddressPolicy = getattr(self.root, "allow", ANYWHERE)
            return allow.read(self.text(value)).url
        except BadDestination as err:
            raise self.refuse() from err


class Context(_Shaped):
    """Any JSON object, loaded as given; null is none."""

    shape: ClassVar = {"type": "object"}

    def _deserialize(self, value: object, *_: object, **__: object) -> object:
        if not isinstance(value, dict):
            raise ValidationError(["{} must be an object"])
        return value


class Tags(_Shaped):
    """A list of texts, loaded as given; null is an empty one."""

    shape: ClassVar = {
        "type": "array",
        "items": {"type": "string", "maxLength": LONGEST_TAG},
        "maxItems": MOST_TAGS,
    }

    def deserialize(
        self,
        value: object,
        attr: str | None = None,
        data: Mapping[str, object] | None = None,
        **kwargs: object,
    ) -> object:
        given = [] if value is None else value
        return super().deserialize(given, attr, data, **kwargs)

    def _deserialize(self, value: object, *_: object, **__: object) -> list[str]:
        if not isinstance(value, list):
            raise ValidationError(["{} must be an array"])
        found = list(self._faults(value))
        if found:
            raise ValidationError(found)
        return value

    def _faults(self, tags: list[object]) -> Iterator[str]:
        if len(tags) > MOST_TAGS:
            yield f"{{}} must contain no more than {MOST_TAGS} elements"
        texts = [tag for tag in tags if isinstance(tag, str)]
        if len(texts) < len(tags):
            yield "each value in {} must be a string"
        elif any(len(tag) > LONGEST_TAG for tag in texts):
            yield (
                "each value in {} must be shorter than or equal to"
                f" {LONGEST_TAG} characters"
            )


class Options(_Shaped):
    """What an event does beside firing, by the names that all dialects share."""

    shape: ClassVar = {
        "type": "object",
        "properties": {
            name: {"description": about}
            for name, about in DESCRIPTIONS.items()
            if name != "endDate"
        },
    }

    def _deserialize(
        self, value: object, *_: object, **__: object
    ) -> dict[str, object]:
        if not isinstance(value, dict):
            raise ValidationError(["{} must be an object"])
        if "endDate" in value:
            raise ValidationError(["{}.endDate is unknown: it stands beside options"])
        return value


class AppName(_Stated):
    """The name of an application, loaded as given."""

    says = "{} must be a string"
    shape: ClassVar = {"type": "string", "maxLength": LONGEST_NAME}

    def _deserialize(self, value: object, *_: object, **__: object) -> str:
        text = self.text(value)
        if not text.isprintable():
            raise self.refuse("{} must contain only printable characters")
        if len(text) > LONGEST_NAME:
            raise self.refuse(
                f"{{}} must be shorter than or equal to {LONGEST_NAME} characters"
            )
        return text


class Fields(TypedDict, total=False):
    """What a body says, as it is loaded: what its schema requires is there."""

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
    """The body that changes an event; every field may be left out."""

    end_ms = EndDate(data_key="endDate")
    interval = Interval()
    callback_url = CallbackUrl(data_key="callbackUrl")
    context = Context(allow_none=True)
    tags = Tags()
    options = Options()


class NewApplication(Body):
    """The body that registers an application."""

    app_name = AppName(data_key="appName", required=True)


def told(schema: Schema, err: ValidationError) -> Faults:
    """What is wrong with each field, by its name."""
    found = err.messages_dict
    return {
        name: [str(text).format(name) for text in found[name]]
        for name in _names(schema)
        if name in found
    }


def faults(schema: Schema, found: Mapping[str, Sequence[str]]) -> list[str]:
    """All messages, in the schema's order."""
    return [text for name in _names(schema) for text in found.get(name, ())]


def _names(schema: Schema) -> list[str]:
    return [field.data_key or name for name, field in schema.fields.items()]
