"""Turns a dialect's table of routes into the URL rules of its blueprint."""

from collections.abc import Callable, Iterable
from flask import Blueprint, Response
from functools import partial

View = Callable[..., Response]
# Method, path, endpoint and view. One endpoint may have several paths.
Route = tuple[str, str, str, View]


def add_routes(
    blueprint: Blueprint, table: Iterable[Route], *, wrapper: Callable[..., Response]
) -> None:
    """Add all routes, each with and without a trailing slash.

    Args:
        wrapper: is called for each request, with the view and the path variables.
    """
    views: dict[str, View] = {}
    for method, path, endpoint, view in table:
        blueprint.add_url_rule(
            path,
            endpoint=endpoint,
            view_func=views.setdefault(endpoint, partial(wrapper, view)),
            methods=[method],
            strict_slashes=False,
        )
