"""Reading headers and bodies of requests, and the format of errors."""

import orjson
from collections.abc import Mapping
from flask import Request, Response
from scheduler_api.dialects.qstash.parsing.message import Headers
from scheduler_api.dialects.qstash.rendering import responses
from scheduler_api.web import request_body, schedule_options
from scheduler_api.web.refusal import Refusal
from typing import Any

# Beginnings of the names that WSGI servers give to headers.
WSGI_HEADER, WSGI_UPSTASH_HEADER = "HTTP_", "HTTP_UPSTASH_"
FORWARD_ALL = "upstash-header-forward"
FORWARD_PREFIX = "upstash-forward-"
FORWARDED_OPTIONS = frozenset(
    FORWARD_PREFIX + schedule_options.header_name(name).lower()
    for name in schedule_options.NAMES
)


def error(status: int, message: str) -> Response:
    """An error in this dialect's format."""
    return responses.respond({"error": message}, status)


def read_headers(environ: Mapping[str, Any], *, query: Headers) -> Headers:
    """The headers that describe a message, with names in upper case.

    Headers that do not begin with `Upstash-` are left out, unless the request forwards
    all headers. Reading the WSGI environment takes a tenth of the time that
    `request.headers` takes.

    Args:
        query: the configuration in the query.
    """
    forward_all = WSGI_HEADER + FORWARD_ALL.upper().replace("-", "_")
    needs_all = forward_all in environ or any(name == FORWARD_ALL for name, _ in query)
    prefix = WSGI_HEADER if needs_all else WSGI_UPSTASH_HEADER
    pairs = tuple(
        (name[len(WSGI_HEADER) :].replace("_", "-"), value)
        for name, value in environ.items()
        if name.startswith(prefix)
    )
    content_type = environ.get("CONTENT_TYPE")
    return (*pairs, ("Content-Type", content_type)) if content_type else pairs


def read_schedule_headers(request: Request) -> Headers:
    """The headers that describe a schedule.

    Both SDKs write `Upstash-Forward-` before the name of every header that they do not
    know. The prefix is removed from the options of schedules.
    """
    return tuple(
        (
            name[len(FORWARD_PREFIX) :] if name.lower() in FORWARDED_OPTIONS else name,
            value,
        )
        for name, value in request.headers
    )


def read_body(request: Request, *, limit_bytes: int) -> bytes:
    """The body, byte for byte.

    Raises: Refusal.
    """
    return request_body.read_body(
        request,
        limit_bytes=limit_bytes,
        too_large=f"body should have at most {limit_bytes} bytes",
        malformed="the body is not a well-formed HTTP message",
    )


def read_json(request: Request, *, limit_bytes: int) -> object:
    """The JSON in the body, None for an empty body; ignores the content type.

    Raises: Refusal.
    """
    raw = read_body(request, limit_bytes=limit_bytes)
    if not raw:
        return None
    try:
        body: object = orjson.loads(raw)
    except orjson.JSONDecodeError as err:
        raise Refusal(400, f"body is not valid JSON: {err}") from err
    return body
