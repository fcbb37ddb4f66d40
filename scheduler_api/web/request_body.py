"""Reads the body of a request, in full or not at all."""

from flask import Request
from gunicorn.http.errors import ParseException
from scheduler_api.web.refusal import Refusal
from werkzeug.exceptions import RequestEntityTooLarge


def read_body(
    request: Request, *, too_large: str, malformed: str, limit_bytes: int | None = None
) -> bytes:
    """Read the complete body of a request.

    The server also passes on the incomplete body of a client that died while sending.
    Half a message must not be published, and a missing list of ids can mean "all".

    Args:
        too_large, malformed: the messages of the refusals.
        limit_bytes: the maximum size; None: below the application's
            `MAX_CONTENT_LENGTH`.

    Raises: Refusal, with 413 for a large body, 400 for an incomplete or malformed one.
    """
    if limit_bytes is not None:
        request.max_content_length = limit_bytes + 1
    length, maximum = request.content_length, request.max_content_length
    try:
        if maximum is not None and (length or 0) >= maximum:
            raise RequestEntityTooLarge
        if length is None:
            raw = request.get_data(cache=False)
        else:
            # Straight from the server: Werkzeug's wrappers cost as much as parsing
            # the JSON of a small body.
            raw = request.environ["wsgi.input"].read(length)
        # Werkzeug cuts a body without a length at the maximum, without an error.
        if maximum is not None and len(raw) >= maximum:
            raise RequestEntityTooLarge
    except RequestEntityTooLarge as err:
        raise Refusal(413, too_large) from err
    except (OSError, ParseException) as err:
        # What gunicorn raises for a lost connection and for bad chunks.
        raise Refusal(400, malformed) from err
    if len(raw) < (length or 0):
        raise Refusal(400, malformed)
    return raw
