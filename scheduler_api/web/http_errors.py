"""Renders the errors of gunicorn in the format of the API that was called.

gunicorn answers requests that it cannot parse by itself, with an HTML page. This module
replaces the page by the JSON error that the application returns at the same path.
"""

import re
from collections.abc import Callable
from gunicorn.http.errors import (
    InvalidHTTPVersion,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)
from http import HTTPStatus
from typing import Any
from werkzeug.wrappers import Response

# The name of the application's extension that renders an error.
EXTENSION = "scheduler.error_at"
# Takes the path of a request, a status and a message.
ErrorAt = Callable[[str, int, str], Response]
# A message may quote what the client sent.
MAX_MESSAGE_LENGTH = 200

_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")
# Anchored: a search would try every position, and read on from each.
_ORIGIN = re.compile(r"\A[a-z][a-z0-9+.-]*://[^/]*", re.IGNORECASE)


class JsonErrors:
    """A socket that sends a JSON error instead of the HTML page that it is given.

    Args:
        target: the target of the request, '' if it is unknown.
        error: the reason why gunicorn refuses the request.
    """

    def __init__(
        self, sock: Any, error_at: ErrorAt, *, target: str, error: BaseException
    ) -> None:
        self._sock = sock
        self._error_at = error_at
        self._target = target
        self._error = error

    def sendall(self, page: bytes) -> None:
        """Send the status of the page with a JSON body."""
        found = _STATUS_LINE.match(page)
        status = HTTPStatus(int(found[1]) if found else 500)
        path = _ORIGIN.sub("", self._target, count=1).partition("?")[0]
        response = self._error_at(path, status, describe(self._error, status))
        headers = [("Connection", "close"), *response.headers]
        lines = [f"HTTP/1.1 {response.status}", *map(": ".join, headers), "", ""]
        head = "\r\n".join(lines).encode("latin-1")
        self._sock.sendall(head + response.get_data())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def describe(error: BaseException, status: HTTPStatus) -> str:
    """Return a sentence that tells a client why its request is refused."""
    if isinstance(error, InvalidHTTPVersion) and _has_space(error.version):
        return "the request target contains a space: write it as %20"
    if isinstance(error, LimitRequestLine):
        return "the request line is too long: shorten the URL"
    if isinstance(error, LimitRequestHeaders):
        return "the request has too many headers, or a header that is too long"
    if isinstance(error, ParseException) and status != 500:
        return str(error)[:MAX_MESSAGE_LENGTH]
    return status.phrase


def _has_space(version: object) -> bool:
    """Tell whether a version is the rest of a target that contains a space."""
    return isinstance(version, str) and " " in version


def target_of(head: bytes) -> str:
    """Return the target in the beginning of a request, '' if there is none."""
    words = head.partition(b"\r\n")[0].split(b" ", 2)
    return words[1].decode("latin-1") if len(words) > 1 else ""
