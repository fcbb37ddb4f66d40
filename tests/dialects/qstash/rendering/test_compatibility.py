"""Tests of the operations in docs/qstash.md, and of unsupported operations."""

import pytest
import re
from pathlib import Path
from scheduler_api.dialects.qstash.rendering.compatibility import (
    ABSENT,
    OPERATIONS,
    operations_table,
)
from tests.dialects.qstash.operations import operations
from typing import Any

PAGE = Path(__file__).parents[4] / "docs" / "qstash.md"


def test_the_table_has_every_operation_of_the_description_in_its_order() -> None:
    described = [f"{method.upper()} {path}" for path, method in operations([])]

    assert list(OPERATIONS) == described


def test_every_operation_of_the_table_has_a_route(api: Any) -> None:
    routed = {
        f"{method} {re.sub('<.*?>', '{}', rule.rule)}"
        for rule in api.app.url_map.iter_rules()
        for method in rule.methods
    }

    assert {re.sub("{.*?}", "{}", each) for each in OPERATIONS} <= routed


def test_the_page_has_the_table() -> None:
    assert operations_table() in PAGE.read_text()


@pytest.mark.parametrize("path", ABSENT)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_absent_operation_is_answered_with_its_feature(
    api: Any, method: str, path: str
) -> None:
    for rest in ("v1/runs/x", ""):
        if path.endswith("/") or not rest:
            status, answer = api.call(method, path + rest)
            error = {"error": f"{ABSENT[path]}: not supported by this server"}
            assert (status, answer) == (404, error)


@pytest.mark.parametrize("path", ["/v2/unknown", "/v2/flows"])
def test_any_other_unknown_path_is_not_found(api: Any, path: str) -> None:
    assert api.call("GET", path) == (404, {"error": "Not Found"})


@pytest.mark.parametrize("path", ["/v2/v2/publish/http://h", "/V2/V2/logs"])
def test_a_path_that_begins_twice_says_which_url_clients_need(
    api: Any, path: str
) -> None:
    status, answer = api.call("POST", path)

    assert status == 404
    assert answer["error"].endswith("the URL of this server without /v2")


@pytest.mark.parametrize(
    "path",
    [
        "/v2/enqueue//https://h/x",
        "/v2/topics//endpoints",
        "/v2/dlq/retry//",
        "/V2/Queues//pause",
        "/v2//publish/https://h/x",
    ],
)
def test_an_empty_name_in_a_path_is_named(api: Any, path: str) -> None:
    status, answer = api.call("POST", path)

    assert (status, "an empty name between two slashes" in answer["error"]) == (404, 1)


def test_a_wrong_method_gets_those_that_are_right(api: Any) -> None:
    _, one = api.call("GET", "/v2/publish/https://h/x")
    _, several = api.call("PUT", "/v2/queues/q")

    assert one == {"error": "Method Not Allowed: use POST"}
    assert several == {"error": "Method Not Allowed: use DELETE or GET"}
