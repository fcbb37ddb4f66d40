"""Check responses against the OpenAPI documents that the application serves."""

import copy
import orjson
from flask import Flask
from jsonschema import Draft202012Validator
from scheduler_api.dialects.inbound import DIALECTS
from scheduler_api.web import openapi
from typing import Any
from werkzeug.exceptions import HTTPException

Json = Any

DOCUMENTS = [dialect.DOCUMENT for dialect in DIALECTS]


def check(app: Flask, method: str, path: str, status: int, body: Json) -> None:
    """Check a response against the OpenAPI document that describes its route.

    Responses for paths without a route are not checked.

    Args:
        body: the parsed body of the response; None if the body is empty.
    """
    try:
        rule, _ = app.url_map.bind("localhost").match(
            path.partition("?")[0], method=method, return_rule=True
        )
    except HTTPException:
        return
    documents = [
        document
        for document in DOCUMENTS
        if rule.endpoint.startswith(f"{document.blueprint}.")
    ]
    for document in documents:
        location = ("paths", openapi.path_of(rule), method.lower(), "responses")
        validator = _cached_validator(document.name, app, (*location, str(status)))
        if validator is None:
            assert body is None, f"{method} {path}: the body is not documented"
        else:
            validator.validate(body)


# Documents do not depend on settings, so all applications share these caches.
_documents: dict[str, Json] = {}
_validators: dict[tuple[str, ...], Draft202012Validator | None] = {}


def _cached_validator(
    name: str, app: Flask, location: tuple[str, ...]
) -> Draft202012Validator | None:
    """The validator for a response's body. For an empty body, it is None."""
    key = (name, *location)
    if key not in _validators:
        if name not in _documents:
            _documents[name] = _closed(_document(name, app))
        _validators[key] = _validator(_documents[name], location)
    return _validators[key]


def _document(name: str, app: Flask) -> Json:
    (document,) = (entry for entry in DOCUMENTS if entry.name == name)
    return orjson.loads(orjson.dumps(openapi.write(app, document)))


def _validator(
    document: Json, location: tuple[str, ...]
) -> Draft202012Validator | None:
    *route, status = location
    responses = document
    for part in route:
        responses = responses[part]
    assert status in responses, f"{' '.join(route[1:3])}: {status} is not documented"
    response = responses[status]
    if "$ref" in response:
        name = response["$ref"].rpartition("/")[2]
        response = document["components"]["responses"][name]
    if "content" not in response:
        return None
    schema = response["content"]["application/json"]["schema"]
    # The schema refers to `#/components/…`, so it needs the document's components.
    return Draft202012Validator({**schema, "components": document["components"]})


def _closed(schema: Json) -> Json:
    """A copy of a schema whose objects forbid undocumented fields."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return copy.copy(schema)
    closed = {name: _closed(value) for name, value in schema.items()}
    if closed.get("type") == "object" and "properties" in closed:
        closed.setdefault("additionalProperties", False)
    return closed
