"""The response header that says what still holds events back after a resume."""

from flask import Response
from urllib.parse import quote

HEADER = "Scheduler-Held-By"
# Characters that stand in the header as they are: all printable ones in ASCII.
_PLAIN = "".join(map(chr, range(0x20, 0x7F)))


def note_held_by(response: Response, held_by: str) -> Response:
    """Add the header, unless nothing holds events back. Return the response."""
    if held_by:
        response.headers[HEADER] = quote(held_by, safe=_PLAIN)
    return response
