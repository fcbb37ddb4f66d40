"""`GET /openapi/<dialect>.json`: each dialect's routes, from what stands beside them.

The rule by which a route is documented is in `scheduler_api.web.documented`.
"""

import copy
import inspect
import orjson
import re
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from collections.abc import Callable, Iterable, Iterator, Mapping
from flask import Blueprint, Flask, Response, abort, current_app
from functools import cache, partial
from scheduler_api.web.documented import ATTRIBUTE, JSON, Document, Route, Shape
from typing import Any
from werkzeug.routing import Rule

Shown = dict[str, Any]

OPENAPI_VERSION = "3.1.0"
ERRORS = {
    400: "What is asked for cannot be read, or cannot be",
    401: "The token is missing or unknown",
    403: "This is closed here",
    404: "There is no such thing",
    409: "Something else is in the way",
    412: "There are too many of these",
    413: "The body is too large",
    422: "This was said before, with other words",
    429: "Too many requests",
    500: "A fault of this service",
    503: "The store is away or full; try again after the seconds of Retry-After",
}

_IN_PATH = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")


class Undocumented(LookupError):
    """A route's view is not `@documented`."""


def blueprint(documents: Iterable[Document]) -> Blueprint:
    """The route, which needs no token."""
    routes = Blueprint("openapi", __name__, url_prefix="/openapi")
    by_name = {each.name: each for each in documents}

    @cache
    def text(name: str) -> bytes:
        return orjson.dumps(write(current_app, by_name[name]))

    @routes.get("/<name>.json")
    def show(name: str) -> Response:
        if name not in by_name:
            abort(404)
        return Response(text(name), mimetype=JSON)

    return routes


def write(app: Flask, document: Document) -> Shown:
    """A dialect's document.

    Raises: Undocumented.
    """
    spec = APISpec(
        title=document.title,
        version=document.version,
        openapi_version=OPENAPI_VERSION,
        plugins=[MarshmallowPlugin()],
        security=[{name: []} for name in document.security],
    )
    for name, scheme in document.security.items():
        spec.components.security_scheme(name, dict(scheme))
    for status, words in ERRORS.items():
        answer = {"description": words, **_content(document.error)}
        spec.components.response(str(status), answer, lazy=True)
    named = set[str]()
    for rule, method, view in views(app, document):
        operation = _operation(rule, view, document)
        # Of two spellings of a path, the first has the name.
        if rule.endpoint not in named:
            operation["operationId"] = rule.endpoint.partition(".")[2]
            named.add(rule.endpoint)
        spec.path(path_of(rule), operations={method.lower(): operation})
    return spec.to_dict()


def views(
    app: Flask, document: Document
) -> Iterator[tuple[Rule, str, Callable[..., object]]]:
    """Each route of a dialect by method, with its view."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith(f"{document.blueprint}."):
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield rule, method, _view(app.view_functions[rule.endpoint])


def path_of(rule: Rule) -> str:
    """A route's path as a document has it."""
    return _IN_PATH.sub(r"{\1}", rule.rule)


def _operation(rule: Rule, view: Callable[..., object], document: Document) -> Shown:
    route: Route | None = getattr(view, ATTRIBUTE, None)
    if route is None:
        raise Undocumented(f"{rule.endpoint}: {rule.rule} is not @documented")
    operation: Shown = {
        "summary": str(inspect.getdoc(view)).partition("\n")[0].rstrip("."),
        "tags": [rule.rule.split("/")[2]],
        "parameters": list(_parameters(rule, route, document)),
        "responses": _responses(route, document),
    }
    if route.body is not None:
        content = {route.content_type: {"schema": _copied(route.body)}}
        operation["requestBody"] = {"required": route.needs_body, "content": content}
    if not route.needs_token:
        operation["security"] = []
    return operation


def _parameters(rule: Rule, route: Route, document: Document) -> Iterator[Shown]:
    for name in _IN_PATH.findall(rule.rule):
        said = document.in_path.get(name)
        yield {
            "in": "path",
            "name": name,
            "schema": {"type": "string"},
            **({"description": said} if said else {}),
        }
    for place, schema in (("query", route.query), ("header", route.headers)):
        if schema is not None:
            yield {"in": place, "schema": schema}


def _responses(route: Route, document: Document) -> Shown:
    errors = {*document.errors, *route.errors}
    if not route.needs_token:
        errors.discard(401)
    answer = {"description": "Done"}
    if route.response is not None:
        answer = {"description": "Done", **_content(route.response)}
    return {
        **{str(status): copy.copy(answer) for status in route.statuses},
        **{str(status): str(status) for status in sorted(errors)},
    }


def _content(shape: Shape) -> Shown:
    return {"content": {JSON: {"schema": _copied(shape)}}}


def _copied(shape: Shape) -> object:
    """A shape that may be written to: schemas in it are replaced by references."""
    return copy.deepcopy(shape) if isinstance(shape, Mapping) else shape


def _view(function: Callable[..., object]) -> Callable[..., object]:
    """The view in what a dialect has wrapped around it."""
    while isinstance(function, partial):
        inner = [each for each in function.args if callable(each)]
        function = inner[-1] if inner else function.func
    return function
