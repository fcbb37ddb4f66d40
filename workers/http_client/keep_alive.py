"""Reads how long, and how often, a receiver lets a connection be used."""

import re
from workers.http_client.response_head import RawHeaders

# A request is not sent in the last second, or the last half, of the announced time: it
# could arrive after the receiver has closed the connection.
MARGIN_S = 1.0

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
    limit_s = None
    for name, value in headers:
        # The length is compared first because that is faster.
        if len(name) == _NAME_LENGTH and name.lower() == _NAME:
            for parameter, number in _PARAMETERS.findall(value.lower()):
                found_s = _limit_s(parameter, int(number), exchanges)
                if found_s is not None:
                    limit_s = found_s if limit_s is None else min(found_s, limit_s)
    return limit_s


def _limit_s(parameter: bytes, number: int, exchanges: int) -> float | None:
    if parameter == b"max":
        return None if exchanges < number else 0.0
    return number - min(MARGIN_S, number / 2)
