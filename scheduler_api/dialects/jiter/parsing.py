"""Reads the bodies of requests, and renders errors."""

import json
from collections.abc import Sequence
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
TOO_LARGE = "The request body is too large"
MAX_INTEGER_DIGITS = 15
# Fields accept only integers of up to `MAX_INTEGER_DIGITS` digits. The decoder replaces
# every other number with this number.
NOT_AN_INTEGER = 0.5

read_body = partial(request_body.read_body, too_large=TOO_LARGE, malformed=BAD_BODY)


class InvalidField(Refusal):
    """A field of the body is wrong; `valid` contains the valid fields."""

    def __init__(self, field: str, messages: Sequence[str], valid: Fields) -> None:
        super().__init__(400, *messages)
        self.field = field
        self.valid = valid


def error(status: int, message: str) -> Response:
    """Return an error response in the format of this dialect."""
    return rendering.respond({"message": message}, status)


def read_object(request: Request) -> dict[str, object]:
    """Return the JSON object in the body, whatever the content type is.

    Raises: Refusal.
    """
    return parse_object(read_body(request))


def parse_object(raw: bytes) -> dict[str, object]:
    """Parse a body as a JSON object.

    Raises: Refusal.
    """
    request_body.check_values(raw)
    try:
        body = _DECODER.decode(raw.decode())
    except (ValueError, RecursionError) as err:
        raise Refusal(400, request_body.unreadable(BAD_BODY)) from err
    if not isinstance(body, dict):
        raise Refusal(400, BAD_BODY)
    return body


def load(schema: Body, body: dict[str, object]) -> Fields:
    """Return the fields of a body.

    Raises: InvalidField, for the first wrong field.
    """
    with suppress(ValidationError):
        return schema.read(body)
    try:
        return cast(Fields, schema.load(body))
    except ValidationError as err:
        field, messages = first_fault(schema, err)
        valid = cast(Fields, err.valid_data if isinstance(err.valid_data, dict) else {})
        raise InvalidField(field, messages, valid) from err


def check_size(payload: bytes, limit_bytes: int) -> None:
    """Check the size of a payload against the limit that all dialects share.

    Raises: Refusal.
    """
    if len(payload) > limit_bytes:
        raise Refusal(413, TOO_LARGE)


def _parse_int(digits: str) -> float:
    return int(digits) if len(digits) <= MAX_INTEGER_DIGITS else NOT_AN_INTEGER


def _parse_float(_digits: str) -> float:
    return NOT_AN_INTEGER


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


# The decoder does not convert long integers, because the conversion would be slow.
_DECODER = json.JSONDecoder(
    parse_int=_parse_int, parse_float=_parse_float, parse_constant=_refuse_constant
)
