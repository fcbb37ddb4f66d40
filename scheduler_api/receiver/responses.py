"""Responses that come late, slowly, or not at all. Their number is bounded."""

import errno
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from flask import Response
from scheduler_api.receiver.options import Options
from scheduler_api.web.refusal import Refusal

# How many responses a process may delay at the same time; it serves the API meanwhile.
DELAYED_MAX = 200
TOO_MANY = f"{DELAYED_MAX} responses are delayed already, please try again"
# A held request with a larger body would keep the memory for bodies occupied.
DELAYED_BODY_BYTES = 65_536
DRIP_INTERVAL_S = 0.25
BODYLESS = (204, 205, 304)


class Delays:
    """Counts the responses that a process delays."""

    def __init__(self, count: int = DELAYED_MAX) -> None:
        self._semaphore = threading.BoundedSemaphore(count)

    def take(self) -> None:
        """Count one more.

        Raises: Refusal, with 503: there are too many.
        """
        if not self._semaphore.acquire(blocking=False):
            raise Refusal(503, TOO_MANY)

    def release(self) -> None:
        """Count one less."""
        self._semaphore.release()


def respond(
    body: bytes, options: Options, *, mimetype: str, delays: Delays
) -> Response:
    """Wait as the options say, and return the response.

    Raises: Refusal, with 503: too many responses are delayed already.
    """
    if options.takes_time:
        delays.take()
    try:
        time.sleep(options.delay_ms / 1000)
        response = _response(body, options, mimetype)
    except BaseException:
        if options.takes_time:
            delays.release()
        raise
    if options.takes_time:
        response.call_on_close(delays.release)
    return response


def _response(body: bytes, options: Options, mimetype: str) -> Response:
    if options.close:
        return Response(_broken_connection())
    if options.code in BODYLESS:
        body = b""
    dripping = options.drip_ms and body
    response = Response(
        _drip(body, options.drip_ms / 1000) if dripping else body,
        status=options.code,
        mimetype=mimetype,
    )
    if dripping:
        response.content_length = len(body)
    if options.retry_after_ms is not None:
        response.headers["Retry-After"] = str(-(-options.retry_after_ms // 1000))
    if options.retry_after_date_ms is not None:
        at_s = time.time() + options.retry_after_date_ms / 1000
        response.headers["Retry-After"] = formatdate(at_s, usegmt=True)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _drip(body: bytes, duration_s: float) -> Iterator[bytes]:
    """Return the body in small pieces, over a time."""
    count = min(len(body), max(1, round(duration_s / DRIP_INTERVAL_S)))
    for number in range(count):
        time.sleep(duration_s / count)
        yield body[len(body) * number // count : len(body) * (number + 1) // count]


def _broken_connection() -> Iterator[bytes]:
    """Make the server close the connection: it does so after this error, silently."""
    raise ConnectionResetError(errno.ECONNRESET, "closed on demand")
    yield b""
