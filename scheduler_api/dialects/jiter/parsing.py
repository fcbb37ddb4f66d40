"""Reading what a client sent, and the errors that answer it."""

import json
from contextlib import suppress
from flask import Request, Response
from functools import partial
from marshmallow import ValidationError
from scheduler_api.dialects.jiter import rendering
from scheduler_api.dialects.jiter.request_schemas import Body, Fields, first_fault
from scheduler_api.web import request_body
from scheduler_api.web.refusal import Refusal
from typing import cast

BAD_BODY = "Invalid request body"
WHOLE_DIGITS = 15
TOO_LARGE = "The request body is too large"

read_body = partial(request_body.read_body, too_large=TOO_LARGE, malformed=BAD_BODY)


class InvalidField(Refusal):
    """A field of the body is wrong."""

    def __init__(self, field: str, message: str, data: Fields) -> None:
        super().__init__(400, message)
        self.field = field
        self.valid = data


def error(status: int, message: str) -> Response:
    """An error as this dialect shows it."""
    return rendering.respond({"message": message}, status)


def read_object(request: Request) -> dict[str, object]:
    """The JSON object in the body, whatever its content type says.

    Raises: Refusal.
    """
    return parse_object(read_body(request))


def parse_object(raw: bytes) -> dict[str, object]:
    """The JSON object that a body is.

    Raises: Refusal.
    """
    try:
        body = _DECODER.decode(raw.decode())
    except (ValueError, RecursionError) as err:
        raise Refusal(400, BAD_BODY) from err
    if not isinstance(body, dict):
        raise Refusal(400, BAD_BODY)
    return body


def load(schema: Body, body: dict[str, object]) -> Fields:
    """The body's fields.

    Raises: InvalidField, for the first that is wrong.
    """
    with suppress(ValidationError):
        return schema.read(body)
    try:
        return cast(Fields, schema.load(body))
    except ValidationError as err:
        field, message = first_fault(schema, err)
        valid = cast(Fields, err.valid_data if isinstance(err.valid_data, dict) else {})
        raise InvalidField(field, message, valid) from err


def check_size(payload: bytes, limit_bytes: int) -> None:
    """Holds the limit that all dialects share.

    Raises: Refusal.
    """
    if len(payload) > limit_bytes:
        raise Refusal(413, TOO_LARGE)


def _whole(digits: str) -> float:
    return int(digits) if len(digits) <= WHOLE_DIGITS else _no_whole(digits)


def _no_whole(_digits: str) -> float:
    return 0.5


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


# Only small whole numbers mean anything in this dialect, so no other is worth
# converting: the digits of a huge one would only cost time.
_DECODER = json.JSONDecoder(
    parse_int=_whole, parse_float=_no_whole, parse_constant=_refuse
)
