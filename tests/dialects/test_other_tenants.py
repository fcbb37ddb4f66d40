"""Tests of every operation with what another tenant has (S-27).

Both tenants have something of every kind under equal names. The operations and their
parameters are those of the OpenAPI documents. What the other tenant sends and where
contains a secret.
"""

from collections.abc import Callable, Iterator
from itertools import product
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from tests.dialects.engine import Web
from tests.dialects.furnished import Furnished, furnish, inputs, operations, readable
from typing import Any

Json = Any

SECRET = "canary-5f2c"
# Path parameters whose values the service makes: another tenant's value is not found.
IDS = {"event_id", "cron_id", "message_id", "schedule_id", "letter_id"}
NOT_FOUND = (400, 404)
# Filters that take no ids and no names.
PLAIN = {"count", "limit", "offset", "order", "force", "parallelism", "rate", "period"}


def foreign_ids(other: Furnished) -> set[str]:
    """The ids that the service has given to what the other tenant has."""
    return {v for ids in other.ids.values() for n, v in ids.items() if n in IDS}


def values(other: Furnished, kind: str, name: str) -> list[str]:
    """Values for a path parameter: an id may be one of any kind and dialect."""
    return sorted(foreign_ids(other)) if name in IDS else [other.ids[kind][name]]


def paths(other: Furnished, kind: str, path: str, operation: Json) -> Iterator[str]:
    """Paths of an operation that name what the other tenant has."""
    names = inputs(operation, "path")
    choices = [values(other, kind, name) for name in names]
    for chosen in product(*choices):
        yield path.format(**dict(zip(names, chosen, strict=True)))


def bodies(other: Furnished, kind: str, operation: Json, document: Json) -> list[Json]:
    """JSON bodies that name what the other tenant has, one field at a time."""
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    ids = [*other.ids[kind].values()]
    found: list[Json] = []
    for name, field in schema.get("properties", {}).items():
        if field.get("type") == "array":
            found.append({name: ids})
        elif field.get("type") == "string":
            found += [{name: value} for value in ids]
    return found


def filters(other: Furnished, kind: str, operation: Json) -> list[dict[str, str]]:
    """Query strings that name what the other tenant has, one parameter at a time."""
    names = [name for name in inputs(operation, "query") if name not in PLAIN]
    ids = {*other.ids[kind].values(), f"{other.web.cell.now_ms()}-0"}
    return [{}, *({name: value} for name in names for value in sorted(ids))]


def foreign_requests(other: Furnished) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path, and query or body of requests for all operations."""
    for kind, method, path, operation, document in operations(other):
        asked = [
            *({"query_string": query} for query in filters(other, kind, operation)),
            *({"json": body} for body in bodies(other, kind, operation, document)),
        ]
        for target, more in product(paths(other, kind, path, operation), asked):
            yield method, target, more


def test_s27_equal_names_of_another_tenant_change_no_response(
    make_web: Callable[..., Web],
) -> None:
    one = furnish(make_web(), secret=SECRET)
    before = readable(one)

    furnish(make_web())

    assert len(before) > 20 and SECRET in str(before)
    assert readable(one) == before


def places(cell: Cell) -> dict[bytes, float]:
    """The events and schedules in `due` and `leased`, with their scores."""
    sets = keys.due(cell.prefix), keys.leased(cell.prefix)
    pages: Any = [cell.client.zrange(key, 0, -1, withscores=True) for key in sets]
    return {member: score for page in pages for member, score in page}


def test_s27_no_operation_reads_or_changes_what_another_tenant_has(
    make_web: Callable[..., Web],
) -> None:
    one = furnish(make_web())
    cell, shared_keys, own_places = one.web.cell, one.stored(), places(one.web.cell)
    other = furnish(make_web(), secret=SECRET)
    foreign = {k: v for k, v in other.stored().items() if k not in shared_keys}
    foreign_places = {m: s for m, s in places(cell).items() if m not in own_places}
    assert len(foreign) > 30 and len(foreign_places) > 3

    requests = [*foreign_requests(other)]
    for method, path, more in requests:
        status, body = other.call(method, path, token=one.web.tenant.token, **more)
        where = method, path, more, status
        assert SECRET not in str(body), where
        assert status < 500, where
        named = any(value in path.split("/") for value in foreign_ids(other))
        assert not named or status in NOT_FOUND, where

    assert len(requests) > 500
    stored, now = other.stored(), places(cell)
    assert {key: stored.get(key) for key in foreign} == foreign
    assert {member: now.get(member) for member in foreign_places} == foreign_places
