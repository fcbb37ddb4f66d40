"""An OpenAPI document as the pages of `/docs` show it: operations and their fields."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from scheduler_api.dashboard.api_examples import curl_of
from scheduler_api.web.openapi import resolve
from typing import Any, NamedTuple

Json = Mapping[str, Any]

_NOT_IN_ANCHORS = re.compile(r"\W+", re.ASCII)
# How the pages write the limits of a value.
LIMITS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "minLength": "length at least {}",
    "maxLength": "length at most {}",
    "maxItems": "at most {} items",
}


class Field(NamedTuple):
    """A parameter, or a field of an object.

    Attributes:
        name: contains the names of the objects around it, as in `options.gap`.
        notes: what it means, and which values are allowed.
        location: `path`, `query` or `header`; '' for a field.
    """

    name: str
    schema: Json
    required: bool
    notes: Sequence[str]
    location: str = ""


class Body(NamedTuple):
    """The body of a request."""

    content_type: str
    schema: Json
    fields: Sequence[Field]
    required: bool


class Reply(NamedTuple):
    """A response; `schema` is that of its body, None for an empty body."""

    status: str
    description: str
    schema: Json | None


@dataclass(frozen=True)
class Operation:
    """A method at a path.

    Attributes:
        also: further paths with the same operation.
        curl: a command that sends an example request.
    """

    method: str
    path: str
    also: Sequence[str]
    group: str
    summary: str
    curl: str
    parameters: Sequence[Field]
    body: Body | None
    replies: Sequence[Reply]

    def anchor(self, path: str = "") -> str:
        """Return the id of the operation on its page, or of one of its other paths."""
        words = f"{self.method.lower()} {path or self.path}"
        return _NOT_IN_ANCHORS.sub("-", words).strip("-")


def operations(document: Json) -> list[Operation]:
    """Return the operations of a document, in its order."""
    paths: dict[str, list[str]] = {}
    first: dict[str, tuple[str, Json]] = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            content = _content(method, operation)
            paths.setdefault(content, []).append(path)
            first.setdefault(content, (method.upper(), operation))
    return [_operation(document, *first[each], paths[each]) for each in first]


def grouped(all_operations: Sequence[Operation]) -> dict[str, list[Operation]]:
    """Return the operations by the first part of their paths."""
    groups: dict[str, list[Operation]] = {}
    for operation in all_operations:
        groups.setdefault(operation.group, []).append(operation)
    return groups


def named_schemas(document: Json) -> dict[str, list[Field]]:
    """Return the fields of each schema that has a name."""
    found: Json = document["components"].get("schemas", {})
    return {name: list(_fields(schema)) for name, schema in found.items()}


def _content(method: str, operation: Json) -> str:
    """Return a text that is the same for all paths of one operation."""
    named = ("tags", "operationId")
    content = {name: operation[name] for name in operation if name not in named}
    return json.dumps([method, content], sort_keys=True)


def _operation(
    document: Json, method: str, operation: Json, paths: Sequence[str]
) -> Operation:
    path, *also = paths
    parameters = [_parameter(each) for each in operation["parameters"]]
    return Operation(
        method=method,
        path=path,
        also=also,
        group=operation["tags"][0],
        summary=operation["summary"],
        curl=curl_of(document, method, path, operation),
        parameters=parameters,
        body=_body(document, operation.get("requestBody")),
        replies=[
            _reply(status, resolve(document, each))
            for status, each in operation["responses"].items()
        ],
    )


def _parameter(parameter: Json) -> Field:
    schema = parameter["schema"]
    return Field(
        parameter["name"],
        schema,
        required=parameter.get("required", False),
        notes=list(_notes({**schema, **parameter})),
        location=parameter["in"],
    )


def _body(document: Json, body: Json | None) -> Body | None:
    if body is None:
        return None
    [(content_type, content)] = body["content"].items()
    schema = content["schema"]
    inner = resolve(document, schema.get("items", schema))
    prefix = "[]." if "items" in schema else ""
    return Body(content_type, schema, [*_fields(inner, prefix)], body["required"])


def _reply(status: str, response: Json) -> Reply:
    [content] = response.get("content", {"": {}}).values()
    return Reply(status, response["description"], content.get("schema"))


def _fields(schema: Json, prefix: str = "") -> Iterator[Field]:
    """Yield the fields of an object, and of the objects in it that have no name."""
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        full_name = prefix + name
        yield Field(full_name, field, name in required, list(_notes(field)))
        yield from _fields(field, f"{full_name}.")
        yield from _fields(field.get("items", {}), f"{full_name}[].")


def _notes(schema: Json) -> Iterator[str]:
    if schema.get("description"):
        yield schema["description"]
    if "enum" in schema:
        yield "one of " + ", ".join(map(json.dumps, schema["enum"]))
    for name, text in LIMITS.items():
        if name in schema:
            yield text.format(schema[name])
    for example in schema.get("examples", ()):
        yield f"for example {json.dumps(example)}"
