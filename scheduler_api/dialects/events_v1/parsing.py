"""Reads the bodies of requests, and renders errors."""

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from flask import Request, Response
from functools import partial
from http import HTTPStatus
from marshmallow import Schema, ValidationError
from scheduler_api.core.timestamps import to_iso
from scheduler_api.dialects.events_v1 import rendering
from scheduler_api.dialects.events_v1.request_schemas import (
    Faults,
    Fields,
    ordered_messages,
    read_faults,
)
from scheduler_api.web import request_body
from scheduler_api.web.refusal import Refusal
from scheduler_api.web.schedule_options import BadOption, ZonedOptions, apply_options
from typing import cast

BAD_BODY = "the request body must be a JSON object"
TOO_LARGE = "The request body is too large"
# How many characters of an unknown option's name an error message quotes.
MAX_QUOTED = 40
PAST = "endDate must be in the future"

read_body = partial(request_body.read_body, too_large=TOO_LARGE, malformed=BAD_BODY)


def error(status: int, message: str | Sequence[str]) -> Response:
    """Return an error response in the format of this dialect."""
    messages = message if isinstance(message, str) else list(message)
    return rendering.respond(
        {
            "statusCode": status,
            "message": messages,
            "error": HTTPStatus(status).phrase,
            "timestamp": to_iso(time.time_ns() // 1_000_000),
        },
        status,
    )


def invalid(*messages: str) -> Refusal:
    """Return a refusal with the messages for all faults of a request."""
    return Refusal(400, *messages)


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
    body = read_json(raw.decode("utf-8", "replace"))
    if body is None:
        raise invalid(request_body.unreadable(BAD_BODY))
    if not isinstance(body, dict):
        raise invalid(BAD_BODY)
    return body


def read_json(text: str) -> object:
    """Parse a JSON text; return None if the text is invalid.

    A number beyond the range of a double counts as invalid, because receivers would
    read a different number.
    """
    try:
        return json.loads(text, parse_float=_finite, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None


def load(schema: Schema, body: dict[str, object]) -> Fields:
    """Return the fields of a body.

    Raises: Refusal, naming every fault.
    """
    fields, faults = _load(schema, body)
    if faults:
        raise invalid(*ordered_messages(schema, faults))
    return fields


def load_event(
    schema: Schema,
    body: dict[str, object],
    *,
    current: ZonedOptions,
    clock_ms: Callable[[], int],
) -> tuple[Fields, ZonedOptions]:
    """Return the fields of a body that creates or edits an event, and the new options.

    Args:
        current: the options before the request.
        clock_ms: reads the store's clock. If the body has faults, an end in the past is
            reported together with them. If the body has no faults, this function does
            not check the end: the store refuses an end in the past.

    Raises: Refusal, naming every fault.
    """
    fields, faults = _load(schema, body)
    end_ms = fields.get("end_ms", current.options.end_ms)
    zoned = replace(current, options=replace(current.options, end_ms=end_ms))
    try:
        zoned = apply_options(fields.get("options", {}), zoned)
    except BadOption as err:
        faults["options"] = [f"options.{err.name[:MAX_QUOTED]} {err.problem}"]
    if faults and "end_ms" in fields and fields["end_ms"] <= clock_ms():
        faults["endDate"] = [PAST]
    if faults:
        raise invalid(*ordered_messages(schema, faults))
    return fields, zoned


def _load(schema: Schema, body: dict[str, object]) -> tuple[Fields, Faults]:
    """Return the valid fields, and the faults of the invalid fields."""
    try:
        return cast(Fields, schema.load(body)), {}
    except ValidationError as err:
        return cast(Fields, err.valid_data), read_faults(schema, err)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:20]} is not a double")
    return number


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
