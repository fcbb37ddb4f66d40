"""Reads the body of a request, and refuses an incomplete body."""

import time
from flask import Request, has_request_context
from flask import request as current
from gunicorn.http.errors import ParseException
from scheduler_api.web.connections import BodyDropped
from scheduler_api.web.refusal import Refusal
from werkzeug.exceptions import RequestEntityTooLarge

# The key in a request's environment of a function that checks its token again.
RECHECK = "scheduler.recheck"
# After a body that took longer to arrive, the token is checked again: it may have been
# revoked meanwhile, or its tenant removed.
QUICK_S = 1.0
TOO_SLOW = "The request body arrived too slowly"
DROPPED = "Too many large request bodies at the same time, please try again"
# The maximum number of values in a JSON body. A value may take a hundred times the
# memory of its text, for example `[]`.
MAX_VALUES = 1_000_000
TOO_COMPLEX = f"The request body has more than {MAX_VALUES} JSON values"
# How much of a header's value an error message quotes.
MAX_QUOTED = 40


class OversizedChunk(ParseException):
    """A chunk of a body is larger than any body may be."""


def read_body(
    request: Request, *, too_large: str, malformed: str, limit_bytes: int | None = None
) -> bytes:
    """Read the complete body of a request.

    If a client disconnects while it sends the body, the server passes on the incomplete
    body. Such a body is refused: half a message must not be published, and a bulk call
    without its list of ids might affect all events.

    Args:
        too_large, malformed: the messages of the refusals.
        limit_bytes: the maximum size. If None, the body must be smaller than the
            application's `MAX_CONTENT_LENGTH`.

    Raises: Refusal, with 413 for a large body, 400 for an incomplete or malformed one,
        408 for one that arrives too slowly, 503 if there are too many large ones.
        Unauthorized, Forbidden: the token has lost its access while the body arrived.
    """
    if limit_bytes is not None:
        request.max_content_length = limit_bytes + 1
    began_s = time.monotonic()
    length, maximum = request.content_length, request.max_content_length
    try:
        if maximum is not None and (length or 0) >= maximum:
            raise RequestEntityTooLarge
        if length is None:
            raw = request.get_data(cache=False)
        else:
            # Read the stream of the server directly: Werkzeug's wrappers of the stream
            # take as much time as parsing the JSON of a small body.
            raw = request.environ["wsgi.input"].read(length)
        # Werkzeug truncates a body without `Content-Length` at the maximum size, and
        # raises no error.
        if maximum is not None and len(raw) >= maximum:
            raise RequestEntityTooLarge
    except (RequestEntityTooLarge, OversizedChunk) as err:
        raise Refusal(413, too_large) from err
    except TimeoutError as err:
        raise Refusal(408, TOO_SLOW) from err
    except BodyDropped as err:
        raise Refusal(503, DROPPED) from err
    except (OSError, ParseException) as err:
        # gunicorn raises these errors for a lost connection and for invalid chunks.
        raise Refusal(400, malformed) from err
    if len(raw) < (length or 0):
        raise Refusal(400, malformed)
    if time.monotonic() - began_s > QUICK_S and RECHECK in request.environ:
        request.environ[RECHECK]()
    return raw


def check_values(raw: bytes) -> None:
    """Refuse a JSON body with too many values, before it is parsed.

    Raises: Refusal, with 413.
    """
    if len(raw) <= MAX_VALUES or _count_values(raw) <= MAX_VALUES:
        return
    # Most are in strings, perhaps. Remove the escapes, then all strings.
    unescaped = raw.replace(rb"\\", b"").replace(rb"\"", b"")
    if unescaped.count(b'"') <= 2 * MAX_VALUES:
        outside = b"".join(unescaped.split(b'"')[::2])
        if _count_values(outside) <= MAX_VALUES:
            return
    raise Refusal(413, TOO_COMPLEX)


def _count_values(text: bytes) -> int:
    return sum(map(text.count, (b",", b"[", b"{")))


def unreadable(fault: str) -> str:
    """Return what is wrong with a body that cannot be read as JSON.

    If the present request has a `Content-Encoding`, the text names it: such bodies are
    not decoded.
    """
    encoding = current.headers.get("Content-Encoding") if has_request_context() else ""
    if not encoding or encoding.lower() == "identity":
        return fault
    named = f"Content-Encoding {encoding[:MAX_QUOTED]} is not supported here"
    return f"{fault}; {named}: send plain JSON"
