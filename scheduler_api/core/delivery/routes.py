"""Groups URLs into routes: URLs that the same code of a receiver answers. Pure."""

import re
from functools import lru_cache
from scheduler_api.core.delivery.destinations import parse

LONGEST_NAME = 32
ANY = "*"

_PATH = re.compile(r"/[^?#]*")
# A segment that has a digit or is too long for a name.
_ID = re.compile(rf"[^/]*[0-9][^/]*|[^/]{{{LONGEST_NAME + 1},}}")


@lru_cache(maxsize=1024)
def route(url: str) -> str:
    """Return the origin and the path of a URL, as in `route_path`.

    Raises: BadDestination.
    """
    destination = parse(url)
    return f"{destination.origin}{route_path(destination.rest)}"


def route_path(rest: str) -> str:
    """Return a path without its query.

    Every segment of the path that has a digit or more than 32 characters becomes `*`:
    it identifies an object, such as `42` in `/users/42/hook`.

    Args:
        rest: what follows the origin in a URL; it may be empty.
    """
    path = _PATH.match(rest)
    return "/" if path is None else _ID.sub(ANY, path[0])
