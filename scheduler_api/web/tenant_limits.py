"""Describes the limits of tenants in error responses."""

import math
from scheduler_api.core.errors import LimitReached
from scheduler_api.core.tenants.limits import TooManyRequests

STATUS = 400
TEXTS = {
    "pending": "At most {} unfinished events and schedules (also ended ones) are"
    " allowed: wait until some events have ended, or delete some schedules",
    "bytes": "At most {} bytes of content may be stored: wait until older events are"
    " removed, or delete schedules",
    "removed": "The tenant is being removed",
}
FULL = "The store is full: an operator frees memory or adds some"
NO_MORE = "The tenant has as many of these as it may have: {}"
TOO_MANY_REQUESTS = (
    "At most {} requests per second are allowed, please try again in a second"
)


def is_of_tenant(resource: str) -> bool:
    """Whether the message of a `LimitReached` names a limit of a tenant."""
    return resource.partition(":")[0] in TEXTS


def describe(err: LimitReached | TooManyRequests) -> str:
    """Return the limit that was reached, and what the client can do."""
    if isinstance(err, TooManyRequests):
        return TOO_MANY_REQUESTS.format(err.limit)
    return describe_resource(str(err))


def describe_resource(resource: str) -> str:
    """Return the text for the message of a `LimitReached` about a tenant."""
    kind, _, limit = resource.partition(":")
    return TEXTS[kind].format(limit)


def describe_refusal(refused: str) -> str:
    """Return why the store takes no event: `full`, or the message of a `LimitReached`.

    The sentence also says what a person can do.
    """
    if is_of_tenant(refused):
        return describe_resource(refused)
    return FULL if refused == "full" else NO_MORE.format(refused)


def reset_s(err: TooManyRequests) -> int:
    """Return the Unix time at which requests are allowed again."""
    return math.ceil(err.reset_ms / 1000)
