"""Example requests for the operations of an OpenAPI document, as curl commands.

An example has what the operation requires, and what has an example in the document.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from scheduler_api.credentials import BASE_URL, TOKEN
from scheduler_api.web.openapi import resolve
from typing import Any
from urllib.parse import urlencode

Json = Mapping[str, Any]

TEXT = "hello"
BY_FORMAT = {
    "date-time": "2090-01-01T00:00:00Z",
    "email": "ops@example.com",
    "uri": "https://example.com/",
}

_VARIABLE = re.compile(r"{(\w+)}")


def curl_of(document: Json, method: str, path: str, operation: Json) -> str:
    """Return the command that sends an example request.

    The shell variables in it are those that a tenant's clients read. A path variable
    without an example, such as the id of an event, is written in capitals.
    """
    address = f"${BASE_URL}{_filled(path, operation)}{_query(operation)}"
    command = "curl -sS" if method == "GET" else f"curl -sS -X {method}"
    headers = [*_credentials(document, operation), *_headers(operation)]
    options = [f"-H {each}" for each in headers] + _body(document, operation)
    return " \\\n  ".join([f'{command} "{address}"', *options])


def _filled(path: str, operation: Json) -> str:
    examples = _examples(operation, "path")
    return _VARIABLE.sub(lambda name: examples.get(name[1], name[1].upper()), path)


def _query(operation: Json) -> str:
    examples = _examples(operation, "query")
    return f"?{urlencode(examples)}" if examples else ""


def _credentials(document: Json, operation: Json) -> Iterator[str]:
    """Yield the header with the token, if the operation needs one."""
    needed = operation.get("security", document["security"])
    for [name] in needed[:1]:
        scheme = document["components"]["securitySchemes"][name]
        header = scheme.get("name", "Authorization")
        kind = "Bearer " if scheme.get("scheme") == "bearer" else ""
        yield f'"{header}: {kind}${TOKEN}"'


def _headers(operation: Json) -> Iterator[str]:
    for name, value in _examples(operation, "header").items():
        yield shlex.quote(f"{name}: {value}")


def _examples(operation: Json, location: str) -> dict[str, str]:
    """Return the parameters of an example request by their names."""
    return {
        each["name"]: _text(_sample({}, each["schema"]))
        for each in operation["parameters"]
        if each["in"] == location
        and ("examples" in each["schema"] or _must_be_named(each))
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _must_be_named(parameter: Json) -> bool:
    return bool(parameter.get("required")) and parameter["in"] != "path"


def _body(document: Json, operation: Json) -> list[str]:
    body = operation.get("requestBody")
    if body is None:
        return []
    [(content_type, content)] = body["content"].items()
    schema = resolve(document, content["schema"])
    if not schema:
        return ["-H 'Content-Type: text/plain'", f"-d {TEXT}"]
    if not body["required"] and not _with_examples(schema):
        return []
    text = json.dumps(_sample(document, schema))
    return [f"-H 'Content-Type: {content_type}'", f"-d {shlex.quote(text)}"]


def _with_examples(schema: Json) -> list[str]:
    fields = schema["properties"]
    return [name for name in fields if "examples" in fields[name]]


def _sample(document: Json, schema: Json) -> Any:
    """Return a value that a schema allows."""
    schema = resolve(document, schema)
    for name in ("examples", "enum"):
        if name in schema:
            return schema[name][0]
    for name in ("anyOf", "oneOf"):
        if name in schema:
            return _sample(document, schema[name][0])
    if "properties" in schema:
        return {
            name: _sample(document, schema["properties"][name])
            for name in _needed(schema)
        }
    if "items" in schema:
        return [_sample(document, schema["items"])]
    return _plain(schema)


def _needed(schema: Json) -> list[str]:
    """Return the fields that an example has: one at least."""
    fields, examples = schema["properties"], _with_examples(schema)
    required = schema.get("required", ())
    needed = [each for each in fields if each in required or each in examples]
    return needed or [*fields][:1]


def _plain(schema: Json) -> object:
    if "format" in schema:
        return BY_FORMAT.get(schema["format"], TEXT)
    values = {"integer": schema.get("minimum", 1), "boolean": True, "object": {}}
    kind = schema.get("type", "string")
    return values.get(kind if isinstance(kind, str) else kind[0], TEXT)
