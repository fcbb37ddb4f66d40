"""Lets clients write the fixed words of paths in any case, such as `/v2/Schedules`.

The client for Go does. Names, ids and destinations in paths keep their case.
"""

import re
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_VARIABLE = re.compile(r"<(?:(rest|key):)?\w+>")


class AnyCase:
    """WSGI middleware that writes the fixed words of paths as the routes write them.

    Args:
        prefix: the path before all routes.
        paths: the paths of the routes below the prefix.
        frequent: beginnings of paths that need no change, to save time.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        prefix: str,
        paths: Iterable[str],
        frequent: tuple[str, ...],
    ) -> None:
        self._app = app
        self._prefix = f"{prefix}/"
        self._frequent = frequent
        routes = [_Route(prefix + path) for path in dict.fromkeys(paths)]
        # A fixed word takes precedence over a variable, as in the router.
        self._routes = sorted(routes, key=lambda route: -route.fixed_length)

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if not path.startswith(self._frequent):
            start = path[: len(self._prefix)]
            if start.lower() == self._prefix:
                environ["PATH_INFO"] = self._rewritten(path)
        return self._app(environ, start_response)

    def _rewritten(self, path: str) -> str:
        path = self._prefix + path[len(self._prefix) :]
        rewritten = (route.rewrite(path) for route in self._routes)
        return next(filter(None, rewritten), path)


class _Route:
    """The path of a route: fixed parts, with variables between them."""

    def __init__(self, path: str) -> None:
        variables = list(_VARIABLE.finditer(path))
        ends = [0, *(variable.end() for variable in variables)]
        starts = [*(variable.start() for variable in variables), len(path)]
        self._fixed = [path[a:b] for a, b in zip(ends, starts, strict=True)]
        self.fixed_length = sum(map(len, self._fixed))
        groups = [r"([\s\S]*)" if each[1] else "([^/]+)" for each in variables]
        pattern = "".join(
            re.escape(fixed) + group
            for fixed, group in zip(self._fixed, [*groups, "(/?)"], strict=True)
        )
        self._pattern = re.compile(pattern, re.IGNORECASE | re.ASCII)

    def rewrite(self, path: str) -> str | None:
        """Return a path with the route's fixed parts; None for another route's path."""
        found = self._pattern.fullmatch(path)
        if found is None:
            return None
        parts = zip(self._fixed, found.groups(), strict=True)
        return "".join(fixed + group for fixed, group in parts)
