"""Reads how long, and how often, a receiver lets a connection be used."""

import re
from functools import lru_cache
from workers.http_client.response_head import RawHeaders

# A request is not sent in the last second, or the last half, of the announced time: it
# could arrive after the receiver has closed the connection.
MARGIN_S = 1.0
# A longer header announces nothing.
VALUE_MAX_BYTES = 200

_NAME = b"keep-alive"
_NAME_LENGTH = len(_NAME)
_PARAMETERS = re.compile(rb'\b(timeout|max)[ \t]*=[ \t]*"?([0-9]{1,9})(?![0-9])')


def idle_limit_s(headers: RawHeaders, exchanges: int) -> float | None:
    """Return how long an idle connection may still be used; None if nobody said.

    Servers send in `max` how many requests are left, or how many are allowed in all. A
    connection is used as if all of them sent the latter.

    Args:
        headers: of the last response.
        exchanges: the number of exchanges on the connection so far.
    """
    for name, value in headers:
        # The length is compared first because that is faster.
        if len(name) == _NAME_LENGTH and name.lower() == _NAME:
            limit_s, exchanges_max = _announced(value[:VALUE_MAX_BYTES])
            if exchanges_max is not None and exchanges >= exchanges_max:
                return 0.0
            return limit_s
    return None


@lru_cache(maxsize=256)
def _announced(value: bytes) -> tuple[float | None, int | None]:
    """Return the time and the number of requests in a header; cached."""
    limit_s, exchanges_max = None, None
    for parameter, number in _PARAMETERS.findall(value.lower()):
        if parameter == b"max":
            exchanges_max = int(number)
        else:
            limit_s = int(number) - min(MARGIN_S, int(number) / 2)
    return limit_s, exchanges_max
