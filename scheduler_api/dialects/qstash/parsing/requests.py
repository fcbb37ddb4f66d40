"""Reading what a client sent, and the errors that answer it."""

import orjson
from collections.abc import Mapping
from flask import Request, Response
from scheduler_api.dialects.qstash.parsing.message import Headers
from scheduler_api.dialects.qstash.rendering import responses
from scheduler_api.web import request_body, schedule_options
from scheduler_api.web.refusal import Refusal
from typing import Any

HEADER, OURS = "HTTP_", "HTTP_UPSTASH_"
FORWARD_ALL = "upstash-header-forward"
FORWARDED = "upstash-forward-"
OPTIONS = frozenset(
    FORWARDED + schedule_options.header_name(name).lower()
    for name in schedule_options.NAMES
)


def error(status: int, message: str) -> Response:
    """An error as this dialect shows it."""
    return responses.respond({"error": message}, status)


def read_headers(environ: Mapping[str, Any], *, query: Headers) -> Headers:
    """The headers of a request that say something about its message.

    They are read from the server's own names for them, which costs a tenth: names come
    in upper case, as whoever reads them further takes any. The others count only for
    those who forward them all.
    """
    asked = HEADER + FORWARD_ALL.upper().replace("-", "_")
    whole = asked in environ or any(name == FORWARD_ALL for name, _ in query)
    prefix = HEADER if whole else OURS
    pairs = tuple(
        (name[len(HEADER) :].replace("_", "-"), value)
        for name, value in environ.items()
        if name.startswith(prefix)
    )
    content_type = environ.get("CONTENT_TYPE")
    return (*pairs, ("Content-Type", content_type)) if content_type else pairs


def read_schedule_headers(request: Request) -> Headers:
    """The headers of a request, where options of ours bear the names that we gave them.

    Both SDKs write their own prefix before every header that they do not know.
    """
    return tuple(
        (name[len(FORWARDED) :] if name.lower() in OPTIONS else name, value)
        for name, value in request.headers
    )


def read_body(request: Request, *, limit_bytes: int) -> bytes:
    """The body, byte for byte.

    Raises: Refusal.
    """
    return request_body.read_body(
        request,
        limit_bytes=limit_bytes,
        too_large=too_large(limit_bytes),
        malformed="the body is not a well-formed HTTP message",
    )


def too_large(limit_bytes: int) -> str:
    """What is said about a body beyond a limit."""
    return f"body should have at most {limit_bytes} bytes"


def read_json(request: Request, *, limit_bytes: int) -> object:
    """The JSON in the body, whatever its content type says; None for an empty body.

    Raises: Refusal.
    """
    raw = read_body(request, limit_bytes=limit_bytes)
    if not raw:
        return None
    try:
        body: object = orjson.loads(raw)
    except orjson.JSONDecodeError as err:
        raise Refusal(400, f"body is no JSON: {err}") from err
    return body
