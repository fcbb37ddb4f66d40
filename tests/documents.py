"""Holds what an application answers to the documents that it serves."""

import copy
import orjson
from flask import Flask
from jsonschema import Draft202012Validator
from scheduler_api.app import DIALECTS
from scheduler_api.web import openapi
from typing import Any
from werkzeug.exceptions import HTTPException

Json = Any

DOCUMENTS = [dialect.DOCUMENT for dialect in DIALECTS.values()]


def check(app: Flask, method: str, path: str, status: int, body: Json) -> None:
    """Holds an answer to the document of its route; without a route there is none.

    Args:
        body: parsed, None for an empty one.
    """
    try:
        rule, _ = app.url_map.bind("localhost").match(
            path.partition("?")[0], method=method, return_rule=True
        )
    except HTTPException:
        return
    documents = [
        each for each in DOCUMENTS if rule.endpoint.startswith(f"{each.blueprint}.")
    ]
    for document in documents:
        place = ("paths", openapi.path_of(rule), method.lower(), "responses")
        described = _described(document.name, app, (*place, str(status)))
        if described is None:
            assert body is None, f"{method} {path}: a body is answered, none described"
        else:
            described.validate(body)


# Documents do not depend on settings, so any application's will do.
_written: dict[str, Json] = {}
_validators: dict[tuple[str, ...], Draft202012Validator | None] = {}


def _described(
    name: str, app: Flask, place: tuple[str, ...]
) -> Draft202012Validator | None:
    """What validates an answer; None if it is to be empty."""
    key = (name, *place)
    if key not in _validators:
        if name not in _written:
            _written[name] = _closed(_document(name, app))
        _validators[key] = _validator(_written[name], place)
    return _validators[key]


def _document(name: str, app: Flask) -> Json:
    (document,) = (each for each in DOCUMENTS if each.name == name)
    return orjson.loads(orjson.dumps(openapi.write(app, document)))


def _validator(document: Json, place: tuple[str, ...]) -> Draft202012Validator | None:
    *route, status = place
    answers = document
    for part in route:
        answers = answers[part]
    assert status in answers, f"{' '.join(route[1:3])}: {status} is not documented"
    answer = answers[status]
    if "$ref" in answer:
        answer = document["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    if "content" not in answer:
        return None
    schema = answer["content"]["application/json"]["schema"]
    # References lead from the top, as in the document.
    return Draft202012Validator({**schema, "components": document["components"]})


def _closed(schema: Json) -> Json:
    """A copy without room for fields that are not described."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return copy.copy(schema)
    closed = {name: _closed(each) for name, each in schema.items()}
    if closed.get("type") == "object" and "properties" in closed:
        closed.setdefault("additionalProperties", False)
    return closed
