"""The body of a request: all of it, or none."""

from flask import Request
from gunicorn.http.errors import ParseException
from scheduler_api.core.errors import SchedulerError


class BadBody(SchedulerError):
    """The body is cut off, or comes in chunks that are none."""


def read_whole(request: Request) -> bytes:
    """The body as it came.

    A server hands on what it got of a client that died while it sent. Half of a message
    must not be published, and a list of ids that never came does not mean everything.

    Raises: BadBody, werkzeug.exceptions.RequestEntityTooLarge.
    """
    try:
        raw = request.get_data(cache=False)
    except (OSError, ParseException) as err:
        # The server's own words for the end of a connection and for bad chunks.
        raise BadBody from err
    if len(raw) < (request.content_length or 0):
        raise BadBody
    return raw
