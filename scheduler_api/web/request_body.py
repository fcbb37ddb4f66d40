"""The body of a request: all of it, or none."""

from flask import Request
from gunicorn.http.errors import ParseException
from scheduler_api.core.errors import SchedulerError
from werkzeug.exceptions import RequestEntityTooLarge


class BadBody(SchedulerError):
    """The body is cut off, or comes in chunks that are none."""


def read_whole(request: Request) -> bytes:
    """The body as it came.

    A server hands on what it got of a client that died while it sent. Half of a message
    must not be published, and a list of ids that never came does not mean everything.

    Raises:
        BadBody.
        werkzeug.exceptions.RequestEntityTooLarge: it has `max_content_length` bytes, at
            which one without a length is cut off in silence, or more.
    """
    length, most = request.content_length, request.max_content_length
    if most is not None and length is not None and length >= most:
        raise RequestEntityTooLarge
    try:
        if length is None:
            raw = request.get_data(cache=False)
        else:
            # Straight from the server: on the way through its wrappers a small body
            # costs as much as its JSON does.
            raw = request.environ["wsgi.input"].read(length)
    except (OSError, ParseException) as err:
        # The server's own words for the end of a connection and for bad chunks.
        raise BadBody from err
    if most is not None and len(raw) >= most:
        raise RequestEntityTooLarge
    if len(raw) < (length or 0):
        raise BadBody
    return raw
