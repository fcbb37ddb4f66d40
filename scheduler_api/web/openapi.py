"""`GET /openapi/<dialect>.json`: the OpenAPI document of each dialect.

`scheduler_api.web.documented` explains how a view is documented.
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

Json = dict[str, Any]

OPENAPI_VERSION = "3.1.0"
ERRORS = {
    400: "The request is malformed or not possible",
    401: "The token is missing or unknown",
    403: "This server does not allow it",
    404: "Not found",
    409: "In conflict with the current state",
    412: "A limit of the tenant is reached",
    413: "The body is too large",
    422: "The idempotency key was used for another request",
    429: "Too many requests",
    500: "Internal error",
    503: "The store is unreachable or full; retry after Retry-After seconds",
}

_VARIABLE = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")


class Undocumented(LookupError):
    """A view lacks `@documented`, or the meaning of its response."""


def blueprint(documents: Iterable[Document]) -> Blueprint:
    """Return a blueprint with the endpoint, which needs no token."""
    routes = Blueprint("openapi", __name__, url_prefix="/openapi")
    by_name = {document.name: document for document in documents}

    @cache
    def text(name: str) -> bytes:
        return orjson.dumps(write(current_app, by_name[name]))

    @routes.get("/<name>.json")
    def get(name: str) -> Response:
        if name not in by_name:
            abort(404)
        return Response(text(name), mimetype=JSON)

    return routes


def write(app: Flask, document: Document) -> Json:
    """Create the OpenAPI document of a dialect.

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
    for status, description in ERRORS.items():
        response = {"description": description, **_content(document.error)}
        spec.components.response(str(status), response, lazy=True)
    named = set[str]()
    for rule, method, view in views(app, document):
        operation = _operation(rule, view, document)
        # Operation ids must be unique. If an endpoint has several paths, only the first
        # path gets an id.
        if rule.endpoint not in named:
            operation["operationId"] = rule.endpoint.partition(".")[2]
            named.add(rule.endpoint)
        spec.path(path_of(rule), operations={method.lower(): operation})
    return spec.to_dict()


def views(
    app: Flask, document: Document
) -> Iterator[tuple[Rule, str, Callable[..., object]]]:
    """Yield the routes of a dialect with each of their methods and their view."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith(f"{document.blueprint}."):
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield rule, method, _view(app.view_functions[rule.endpoint])


def path_of(rule: Rule) -> str:
    """Return the path of a route in OpenAPI's notation."""
    return _VARIABLE.sub(r"{\1}", rule.rule)


def resolve(document: Mapping[str, Any], part: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a part of a document, or if it is a reference, what it refers to."""
    while "$ref" in part:
        target: Any = document
        for name in part["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        part = target
    return part


def _operation(rule: Rule, view: Callable[..., object], document: Document) -> Json:
    route: Route | None = getattr(view, ATTRIBUTE, None)
    if route is None:
        raise Undocumented(f"{rule.endpoint}: {rule.rule} is not @documented")
    operation: Json = {
        "summary": _summary(view),
        "tags": [rule.rule.split("/")[2]],
        "parameters": list(_parameters(rule, route, document)),
        "responses": _responses(rule, route, document),
    }
    if route.body is not None:
        content = {route.content_type: {"schema": _copied(route.body)}}
        operation["requestBody"] = {"required": route.needs_body, "content": content}
    if not route.needs_token:
        operation["security"] = []
    return operation


def _parameters(rule: Rule, route: Route, document: Document) -> Iterator[Json]:
    for name in _VARIABLE.findall(rule.rule):
        parameter: Json = {"in": "path", "name": name, "schema": {"type": "string"}}
        if name in document.in_path:
            parameter["description"] = document.in_path[name]
        if name in document.path_examples:
            parameter["schema"]["examples"] = [document.path_examples[name]]
        yield parameter
    for location, schema in (("query", route.query), ("header", route.headers)):
        if schema is not None:
            yield {"in": location, "schema": schema}


def _responses(rule: Rule, route: Route, document: Document) -> Json:
    errors = {*document.errors, *route.errors}
    if not route.needs_token:
        errors.discard(401)
    content = {} if route.response is None else _content(route.response)
    return {
        **{
            str(status): {"description": _meaning(rule, route, status), **content}
            for status in route.statuses
        },
        **{str(status): str(status) for status in sorted(errors)},
    }


def _meaning(rule: Rule, route: Route, status: int) -> str:
    """Raises: Undocumented: only a schema has a docstring."""
    success = route.success
    if isinstance(success, Mapping):
        return success[status]
    if not success and not isinstance(route.response, type):
        raise Undocumented(f"{rule.endpoint}: {rule.rule} needs `success`")
    return success or _summary(route.response)


def _summary(documented: object) -> str:
    """Return the first line of a docstring, without its full stop."""
    return str(inspect.getdoc(documented)).partition("\n")[0].rstrip(".")


def _content(shape: Shape) -> Json:
    return {"content": {JSON: {"schema": _copied(shape)}}}


def _copied(shape: Shape) -> object:
    """Return a copy of a shape for apispec, which modifies the shapes that it gets."""
    return copy.deepcopy(shape) if isinstance(shape, Mapping) else shape


def _view(function: Callable[..., object]) -> Callable[..., object]:
    """Return the view that a dialect has wrapped with `partial`."""
    while isinstance(function, partial):
        inner = [arg for arg in function.args if callable(arg)]
        function = inner[-1] if inner else function.func
    return function
