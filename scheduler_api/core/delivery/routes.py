"""Groups URLs into routes: URLs that the same code of a receiver answers. Pure."""

from functools import lru_cache
from scheduler_api.core.delivery.destinations import parse

LONGEST_NAME = 32
ANY = "*"


@lru_cache(maxsize=1024)
def route(url: str) -> str:
    """Return the origin and the path of a URL, without its query.

    Every segment of the path that has a digit or more than 32 characters becomes `*`:
    it identifies an object, such as `42` in `/users/42/hook`.

    Raises: BadDestination.
    """
    destination = parse(url)
    path = destination.rest.partition("?")[0] or "/"
    return f"{destination.origin}{'/'.join(map(_collapse, path.split('/')))}"


def _collapse(segment: str) -> str:
    has_digit = any(map(str.isdigit, segment))
    return ANY if has_digit or len(segment) > LONGEST_NAME else segment
