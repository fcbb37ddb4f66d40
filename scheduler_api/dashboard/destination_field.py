"""Reads the field of a form that names a destination."""

from scheduler_api.core.delivery.destinations import (
    HOW_TO_ALLOW,
    AddressPolicy,
    BadDestination,
)
from scheduler_api.dialects.composition import BadField

URL = "url"


def read_url(url: str, policy: AddressPolicy, *, old: str) -> str:
    """Return a new destination. What is no URL can only stay as it is.

    Raises: BadField.
    """
    if url == old:
        return url
    try:
        destination = policy.read(url)
    except BadDestination as err:
        raise BadField(URL, str(err)) from err
    blocked = policy.blocked_literal(destination)
    if blocked is not None:
        raise BadField(URL, f"this is {blocked}; {HOW_TO_ALLOW}")
    return destination.url
