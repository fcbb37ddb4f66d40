"""Reading what a client sent, and the errors that answer it."""

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
    faults,
    told,
)
from scheduler_api.web import request_body
from scheduler_api.web.refusal import Refusal
from scheduler_api.web.schedule_options import BadOption, ZonedOptions, apply_options
from typing import cast

BAD_BODY = "the request body must be a JSON object"
TOO_LARGE = "The request body is too large"
# Of an option's name, which anybody may have made up.
LONGEST_NAME = 40
PAST = "endDate must be in the future"

read_body = partial(request_body.read_body, too_large=TOO_LARGE, malformed=BAD_BODY)


def error(status: int, message: str | Sequence[str]) -> Response:
    """An error as this dialect shows it."""
    shown = message if isinstance(message, str) else list(message)
    return rendering.respond(
        {
            "statusCode": status,
            "message": shown,
            "error": HTTPStatus(status).phrase,
            "timestamp": to_iso(time.time_ns() // 1_000_000),
        },
        status,
    )


def invalid(*messages: str) -> Refusal:
    """What is wrong with what a client sent, all of it."""
    return Refusal(400, *messages)


def read_object(request: Request) -> dict[str, object]:
    """The JSON object in the body, whatever its content type says.

    Raises: Refusal.
    """
    return parse_object(read_body(request))


def parse_object(raw: bytes) -> dict[str, object]:
    """The JSON object that a body is.

    Raises: Refusal.
    """
    body = read_json(raw.decode("utf-8", "replace"))
    if not isinstance(body, dict):
        raise invalid(BAD_BODY)
    return body


def read_json(text: str) -> object:
    """What a JSON text says, None if it is none.

    A number that no double holds would be another one to the receiver.
    """
    try:
        return json.loads(text, parse_float=_finite, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def load(schema: Schema, body: dict[str, object]) -> Fields:
    """The body's fields.

    Raises: Refusal, naming every fault.
    """
    fields, found = _loaded(schema, body)
    if found:
        raise invalid(*faults(schema, found))
    return fields


def load_event(
    schema: Schema,
    body: dict[str, object],
    *,
    was: ZonedOptions,
    clock_ms: Callable[[], int],
) -> tuple[Fields, ZonedOptions]:
    """The fields of an event's body, and all that its options say then.

    Args:
        was: what its options said before.
        clock_ms: asked only where something is wrong, so that an end in the past is
            told as well; whatever else is good, the store refuses it.

    Raises: Refusal, naming every fault.
    """
    fields, found = _loaded(schema, body)
    end_ms = fields.get("end_ms", was.options.end_ms)
    chosen = replace(was, options=replace(was.options, end_ms=end_ms))
    try:
        chosen = apply_options(fields.get("options", {}), chosen)
    except BadOption as err:
        found["options"] = [f"options.{err.name[:LONGEST_NAME]} {err.problem}"]
    if found and "end_ms" in fields and fields["end_ms"] <= clock_ms():
        found["endDate"] = [PAST]
    if found:
        raise invalid(*faults(schema, found))
    return fields, chosen


def _loaded(schema: Schema, body: dict[str, object]) -> tuple[Fields, Faults]:
    """The fields that are good, and what is wrong with the others, by their names."""
    try:
        return cast(Fields, schema.load(body)), {}
    except ValidationError as err:
        return cast(Fields, err.valid_data), told(schema, err)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:20]} is no double")
    return number


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
