"""Helpers that adapt the description of the QStash API and generate requests."""

import copy
import json
import re
import schemathesis
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hypothesis import strategies as st
from pathlib import Path
from schemathesis import Case, GenerationMode, Response
from schemathesis.config import SchemathesisConfig
from typing import Any

Json = Any

DESCRIPTION = Path(__file__).with_name("operations.json")
# Tests replace these placeholders in requests with ids of existing resources.
A_MESSAGE, A_SCHEDULE, A_LETTER = "msg_placeholder", "scd_placeholder", "1-placeholder"
HOOK = "https://example.com/hook"
MAX_UNIX_S = 253_402_300_799
# If a destination matches this pattern, clients send it without percent escapes.
PLAIN = re.compile(r"[\w:/.@%+=&-]+", re.ASCII)

TEXT: Json = {"type": "string"}
INTEGER: Json = {"type": "integer"}
TEXTS: Json = {"type": "array", "items": TEXT}
MAP: Json = {"type": "object", "additionalProperties": TEXTS}
ERROR: Json = {"$ref": "#/components/responses/Error"}
DIGITS: Json = {"type": "string", "pattern": "^[0-9]{1,3}$"}
# A strategy for texts of any characters that a header value may contain.
LATIN_1 = st.text(
    st.characters(min_codepoint=32, max_codepoint=255, exclude_categories=["Cc"])
)

# Valid values of headers and parameters, by name. Most generated values are taken from
# this table, because the server would refuse nearly all requests with random values.
VALID: dict[str, tuple[str, ...]] = {
    "destination": (
        HOOK,
        "http://example.com/a//b/%2F",
        "https://example.com:81?a=1&b",
        "hooks",
    ),
    "queueName": ("orders", "a.b-c_d"),
    "messageId": (A_MESSAGE, "msg_unknown"),
    "scheduleId": (A_SCHEDULE, "scd_unknown"),
    "dlqId": (A_LETTER, "1-unknown"),
    "urlGroupName": ("hooks", "a.b-c_d"),
    "cursor": ("1725323658779-0", "0-0", "999999999999999-1"),
    "Content-Type": ("application/json", "text/plain; charset=utf-8"),
    "Upstash-Timeout": ("5s", "1m30s", "7"),
    "Upstash-Retry-Delay": ("1000", "1000 * (1 + retried)", "pow(2, retried)"),
    "Upstash-Delay": ("50s", "1d10h30m", "0s"),
    "Upstash-Label": ("first", "first, second"),
    "Upstash-Flow-Control-Key": ("a/b c", "key"),
    "Upstash-Flow-Control-Value": ("rate=3", "parallelism=2, rate=1, period=1m"),
    "Upstash-Deduplication-Id": ("once", "twice"),
    "Upstash-Callback": (HOOK, "https://example.com/%C3%BC?x=1"),
    "Upstash-Callback-Method": ("GET", "PUT"),
    "Upstash-Redact-Fields": ("body", "header[X-Test], headers"),
    "Upstash-Cron": ("*/5 * * * *", "CRON_TZ=Europe/Berlin 0 8 * JAN,MAR SUN"),
    "Upstash-Queue-Name": ("orders",),
    "Upstash-Schedule-Id": ("nightly", "a.b-c_d"),
    "url": (HOOK,),
    "host": ("example.com",),
    "path": ("/hook",),
    "label": ("first", "first,third"),
    "callerIp": ("127.0.0.1",),
}
# Some headers and parameters accept the same values as an entry of `VALID` or `BOUNDS`.
# This table maps the name of the header or parameter to the name of that entry.
SAME_VALUES = {
    "messageIds": "messageId",
    "dlqIds": "dlqId",
    "topicName": "urlGroupName",
    "callerIP": "callerIp",
    "flowControlKey": "Upstash-Flow-Control-Key",
    **{
        f"Upstash{kind}-{setting}": f"Upstash-{alike}"
        for kind in ("-Callback", "-Failure-Callback")
        for setting, alike in (
            ("Timeout", "Timeout"),
            ("Retries", "Retries"),
            ("Retry-Delay", "Retry-Delay"),
            ("Delay", "Delay"),
        )
    },
    "Upstash-Failure-Callback": "Upstash-Callback",
    "Upstash-Failure-Callback-Method": "Upstash-Callback-Method",
}
BOUNDS: dict[str, Json] = {
    "Upstash-Retries": {"type": "integer", "minimum": 0, "maximum": 1_000},
    "Upstash-Not-Before": {"type": "integer", "minimum": 0, "maximum": 2_000_000_000},
    "fromDate": {"type": "integer", "minimum": 0, "maximum": MAX_UNIX_S * 1_000},
    "toDate": {"type": "integer", "minimum": 0, "maximum": MAX_UNIX_S * 1_000},
}


def headers(*names: str, schema: Json = TEXT) -> Json:
    """Return descriptions of header parameters, by name."""
    return {name: {"name": name, "in": "header", "schema": schema} for name in names}


def query(**schemas: Json) -> Json:
    """Return descriptions of query parameters, by name."""
    return {
        name: {"name": name, "in": "query", "schema": schema}
        for name, schema in schemas.items()
    }


def answer(schema: Json) -> Json:
    """Return the description of a response with a JSON body."""
    return {"content": {"application/json": {"schema": schema}}}


def mostly_valid(name: str) -> Json:
    """Return the schema of a parameter; most generated values are from `VALID`."""
    return TEXT | {"format": name.lower()}


def record(*required: str, **fields: Json) -> Json:
    """Return the schema of an object."""
    return {"type": "object", "required": list(required), "properties": fields}


def listed(items: Json) -> Json:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


def either(*schemas: Json) -> Json:
    """Return a schema that accepts what at least one of the given schemas accepts."""
    return {"anyOf": list(schemas)}


@dataclass(frozen=True)
class Adaptation:
    """A change to one place in the description.

    Attributes:
        at: the path to the place, as names of fields separated by spaces. The name
            after `parameters` is the name of a parameter.
        value: an object that is merged recursively into the object at the place. If a
            field of `value` is None, the field is removed from the description.
        reason: why our API differs from the description.
    """

    at: str
    value: Json
    reason: str


def operations(more: Iterable[str]) -> list[tuple[str, str]]:
    """Return the path and the method of each operation in the description.

    Args:
        more: operations to add, as path and method separated by a space.
    """
    paths = json.loads(DESCRIPTION.read_text())["paths"]
    described = [(path, method) for path, item in paths.items() for method in item]
    return described + [(path, method) for path, method in map(str.split, more)]


def load(
    adaptations: Iterable[Adaptation],
    *,
    aliases: Mapping[str, str],
    general: Iterable[str],
) -> schemathesis.BaseSchema:
    """Return the description with the adaptations, as a schema for Schemathesis.

    Args:
        aliases: operations to add, each with the described operation to copy.
        general: statuses of error responses to add to every operation.
    """
    described = json.loads(DESCRIPTION.read_text())
    for operation in _operations(described):
        _name_parameters(operation, described["components"]["parameters"])
    for adaptation in adaptations:
        _merge(_place(described, adaptation.at.split()), adaptation.value)
    for alias, original in aliases.items():
        path, method = alias.split()
        original_path, original_method = original.split()
        operation = described["paths"][original_path][original_method]
        described["paths"].setdefault(path, {})[method] = copy.deepcopy(operation)
    _close(described["components"]["schemas"])
    for operation in _operations(described):
        answers = operation["responses"]
        _close(answers)
        for status in general:
            answers.setdefault(status, ERROR)
    _add_inputs(described)
    for operation in _operations(described):
        operation["parameters"] = list(operation["parameters"].values())
    _declare_formats()
    config = SchemathesisConfig.from_dict(
        {"generation": {"deterministic": True, "with-security-parameters": False}}
    )
    return schemathesis.openapi.from_dict(described, config=config)


def cases(operation: schemathesis.APIOperation) -> st.SearchStrategy[Case]:
    """Return a strategy for requests; about a third do not match the description."""
    valid = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    if not (operation.query or operation.headers or operation.body):
        return valid
    invalid = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
    return st.one_of(valid, valid, invalid)


def unescaped_path(case: Case) -> str:
    """Return the path of a request.

    A destination that matches `PLAIN` is in the path without percent escapes.
    """
    destination = (case.path_parameters or {}).get("destination")
    if isinstance(destination, str) and PLAIN.fullmatch(destination):
        return case.path.replace("{destination}", destination)
    return case.path


def empty_unless_described(_: object, response: Response, case: Case) -> None:
    """Check that an answer is empty if the description has no body for its status."""
    described = case.operation.responses.find_by_status_code(response.status_code)
    if described is not None and "content" not in described.definition:
        assert not response.content


def _operations(described: Json) -> Iterator[Json]:
    for item in described["paths"].values():
        yield from item.values()


def _name_parameters(operation: Json, shared: Mapping[str, Json]) -> None:
    parameters = [
        shared[each["$ref"].rpartition("/")[2]] if "$ref" in each else each
        for each in operation.get("parameters", ())
    ]
    operation["parameters"] = {each["name"]: copy.deepcopy(each) for each in parameters}


def _place(described: Json, at: list[str]) -> Json:
    for name in at:
        described = described.setdefault(name, {})
    return described


def _merge(into: Json, value: Json) -> None:
    for name, each in value.items():
        if each is None:
            del into[name]
            continue
        old = into.get(name)
        if isinstance(each, dict) and isinstance(old, dict) and "$ref" not in old:
            _merge(old, each)
        else:
            into[name] = copy.deepcopy(each)


def _close(schema: Json) -> None:
    """Forbid undescribed fields in all objects, unless the schema says otherwise."""
    if isinstance(schema, list):
        for each in schema:
            _close(each)
    elif isinstance(schema, dict):
        if schema.get("type") == "object":
            schema.setdefault("additionalProperties", False)
        for each in schema.values():
            _close(each)


def _add_inputs(described: Json) -> None:
    for operation in _operations(described):
        for parameter in operation["parameters"].values():
            parameter["schema"] = _input(parameter["name"], parameter["schema"])
    paths = described["paths"]
    sent = paths["/v2/publish/{destination}"]["post"]["parameters"].values()
    schemas = {each["name"]: each["schema"] for each in sent if each["in"] == "header"}
    batch = paths["/v2/batch"]["post"]["requestBody"]["content"]["application/json"]
    item = batch["schema"]["items"]["properties"]
    item["destination"] = _input("destination", TEXT)
    # Headers of batch items are JSON strings, even if they contain integers.
    item["headers"]["properties"] = {
        name: DIGITS if schema["type"] == "integer" else schema
        for name, schema in schemas.items()
    }


def _input(name: str, schema: Json) -> Json:
    name = SAME_VALUES.get(name, name)
    if name in BOUNDS:
        return BOUNDS[name]
    if schema.get("type") == "array":
        return schema | {"items": _input(name, schema["items"])}
    return schema | {"format": name.lower()} if name in VALID else schema


def _declare_formats() -> None:
    for name, values in VALID.items():
        schemathesis.openapi.format(name.lower(), _mostly(st.sampled_from(values)))


def _mostly(valid: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.integers(0, 19).flatmap(lambda draw: valid if draw < 19 else LATIN_1)
