"""Documents tell all routes and no other, and what they tell is well-formed."""

import jsonschema
import pytest
import re
from collections.abc import Iterator
from flask import Blueprint, Flask
from functools import partial
from marshmallow import Schema, fields
from openapi_spec_validator import OpenAPIV31SpecValidator
from scheduler_api.app import create_app
from scheduler_api.dialects.inbound import DIALECTS
from scheduler_api.dialects.outbound import GRAMMARS
from scheduler_api.dialects.qstash.parsing.request_headers import (
    MESSAGE_HEADERS,
    SCHEDULE_HEADERS,
)
from scheduler_api.dialects.qstash.rendering import header_schemas
from scheduler_api.settings import Settings
from scheduler_api.web import openapi
from scheduler_api.web.documented import Document, documented
from tests import documents
from typing import Any

Json = Any

NAMES = ("jiter", "qstash", "v1")
BLUEPRINTS = {dialect.DOCUMENT.name: dialect.DOCUMENT.blueprint for dialect in DIALECTS}


@pytest.fixture(scope="module")
def app() -> Flask:
    """Without a store, which documents do not need."""
    settings = Settings(
        redis_url="redis://127.0.0.1:1/0", secret_key="0123456789abcdef"
    )
    return create_app(settings)


def served(app: Flask, name: str) -> Json:
    answer = app.test_client().get(f"/openapi/{name}.json")
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    return answer.get_json()


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def test_every_dialect_has_a_document() -> None:
    assert set(BLUEPRINTS) == set(NAMES) == set(GRAMMARS)


@pytest.mark.parametrize("name", NAMES)
def test_documents_are_valid(app: Flask, name: str) -> None:
    faults = OpenAPIV31SpecValidator(served(app, name)).iter_errors()

    assert [fault.message for fault in faults] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_document_has_the_routes_of_its_dialect_and_no_other(
    app: Flask, name: str
) -> None:
    routed = {
        (re.sub(r"<(\w+:)?(\w+)>", r"{\2}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith(f"{BLUEPRINTS[name]}.")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    told = {(path, method) for path, method, _ in operations(served(app, name))}

    assert told == routed
    assert len(told) > 5


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_says_what_it_does_answers_and_refuses(
    app: Flask, name: str
) -> None:
    for path, method, operation in operations(served(app, name)):
        where = f"{method} {path}"
        assert len(operation["summary"]) > 5, where
        assert {"500", "503"} < operation["responses"].keys(), where
        assert any(status < "300" for status in operation["responses"]), where
        in_path = [each for each in operation["parameters"] if each["in"] == "path"]
        assert [each["name"] for each in in_path] == re.findall(r"{(\w+)}", path)
        assert all(each["required"] for each in in_path), where


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_but_registering_needs_a_token(app: Flask, name: str) -> None:
    document = served(app, name)
    without = [
        path
        for path, _, operation in operations(document)
        if operation.get("security", document["security"]) == []
    ]

    assert without == (["/v1/register"] if name == "v1" else [])


def test_an_unknown_document_is_none(app: Flask) -> None:
    assert app.test_client().get("/openapi/other.json").status_code == 404


def test_bodies_are_those_that_are_read(app: Flask) -> None:
    document = served(app, "jiter")

    schema = document["components"]["schemas"]["NewEvent"]

    assert schema["required"] == ["destination", "payload", "scheduledTime"]
    assert schema["properties"]["scheduledTime"]["format"] == "date-time"


@pytest.mark.parametrize(
    ("path", "table"),
    [
        ("/v2/publish/{destination}", MESSAGE_HEADERS),
        ("/v2/schedules/{destination}", SCHEDULE_HEADERS),
    ],
)
def test_headers_are_those_that_are_read(
    app: Flask, path: str, table: dict[str, Any]
) -> None:
    told = {
        each["name"].lower(): each["description"]
        for each in served(app, "qstash")["paths"][path]["post"]["parameters"]
        if each["in"] == "header"
    }

    assert {f"upstash-{name}" for name in table} < set(told)
    assert all(told.values()), [name for name, words in told.items() if not words]
    assert set(header_schemas.DESCRIPTIONS) == {*MESSAGE_HEADERS, *SCHEDULE_HEADERS}


class Answer(Schema):
    """What is answered here."""

    done = fields.Boolean(required=True)


def small(view: Any) -> tuple[Flask, Document]:
    """An application with one route."""
    app, routes = Flask("small"), Blueprint("small", "small", url_prefix="/small")
    routes.add_url_rule("/<thing>", endpoint="do", view_func=partial(view, object()))
    app.register_blueprint(routes)
    return app, Document(
        name="small",
        blueprint="small",
        title="Small",
        version="1",
        security={"key": {"type": "apiKey", "in": "header", "name": "key"}},
        error=Answer,
    )


def test_a_route_without_documentation_is_named() -> None:
    def view(_services: object, thing: str) -> str:
        """Does it."""
        return thing

    with pytest.raises(openapi.Undocumented, match=r"small\.do: /small/<thing>"):
        openapi.write(*small(view))


def test_a_route_is_told_by_its_view() -> None:
    @documented(response=Answer, statuses=(201,), errors=(404,))
    def view(_services: object, thing: str) -> str:
        """Does it; more of it.

        Source: elsewhere
        """
        return thing

    (_, _, operation), *more = operations(openapi.write(*small(view)))

    assert more == []
    assert operation["summary"] == "Does it; more of it"
    assert operation["operationId"] == "do"
    assert list(operation["responses"]) == ["201", "401", "404", "500", "503"]


def test_answers_that_are_told_otherwise_are_noticed(app: Flask) -> None:
    path = "/v2/keys"
    pair = {"current": "a", "next": "b"}
    documents.check(app, "GET", path, 200, pair)

    for wrong in (pair | {"more": 1}, {"current": "a"}, pair | {"next": 1}, None):
        with pytest.raises(jsonschema.ValidationError):
            documents.check(app, "GET", path, 200, wrong)
    with pytest.raises(AssertionError, match="418 is not documented"):
        documents.check(app, "GET", path, 418, pair)
    with pytest.raises(AssertionError, match="the body is not documented"):
        documents.check(app, "DELETE", "/v2/topics/one", 200, {"done": True})
