"""Tests of OpenAPI documents: valid, and with exactly the routes of their dialect."""

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
    """Return an application without a store, because documents need no store."""
    settings = Settings(
        redis_url="redis://127.0.0.1:1/0", secret_key="0123456789abcdef"
    )
    return create_app(settings)


def get_document(app: Flask, name: str) -> Json:
    response = app.test_client().get(f"/openapi/{name}.json")
    assert (response.status_code, response.mimetype) == (200, "application/json")
    return response.get_json()


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def test_every_dialect_has_a_document() -> None:
    assert set(BLUEPRINTS) == set(NAMES) == set(GRAMMARS)


@pytest.mark.parametrize("name", NAMES)
def test_documents_are_valid(app: Flask, name: str) -> None:
    errors = OpenAPIV31SpecValidator(get_document(app, name)).iter_errors()

    assert [error.message for error in errors] == []


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

    documented_routes = {
        (path, method) for path, method, _ in operations(get_document(app, name))
    }

    assert documented_routes == routed
    assert len(routed) > 5


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_has_a_summary_responses_and_path_parameters(
    app: Flask, name: str
) -> None:
    for path, method, operation in operations(get_document(app, name)):
        location = f"{method} {path}"
        assert len(operation["summary"]) > 5, location
        assert {"500", "503"} < operation["responses"].keys(), location
        succeeds = any(status < "300" for status in operation["responses"])
        assert succeeds != operation["summary"].startswith("Refuse "), location
        in_path = [item for item in operation["parameters"] if item["in"] == "path"]
        assert [item["name"] for item in in_path] == re.findall(r"{(\w+)}", path)
        assert all(item["required"] for item in in_path), location


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_but_registering_needs_a_token(app: Flask, name: str) -> None:
    document = get_document(app, name)
    without_token = [
        path
        for path, _, operation in operations(document)
        if operation.get("security", document["security"]) == []
    ]

    assert without_token == (["/v1/register"] if name == "v1" else [])


def test_an_unknown_document_is_not_found(app: Flask) -> None:
    assert app.test_client().get("/openapi/other.json").status_code == 404


def test_documented_bodies_come_from_the_request_schemas(app: Flask) -> None:
    document = get_document(app, "jiter")

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
def test_all_headers_that_are_read_are_documented(
    app: Flask, path: str, table: dict[str, Any]
) -> None:
    descriptions = {
        item["name"].lower(): item["description"]
        for item in get_document(app, "qstash")["paths"][path]["post"]["parameters"]
        if item["in"] == "header"
    }

    assert {f"upstash-{name}" for name in table} < set(descriptions)
    assert all(descriptions.values()), descriptions
    assert set(header_schemas.DESCRIPTIONS) == {*MESSAGE_HEADERS, *SCHEDULE_HEADERS}


@pytest.mark.parametrize(("name", "count"), [("jiter", 10), ("v1", 9)])
def test_every_option_of_a_schedule_has_a_type_and_a_meaning(
    app: Flask, name: str, count: int
) -> None:
    schemas = get_document(app, name)["components"]["schemas"]
    bodies = [each["properties"] for key, each in schemas.items() if "Edit" in key]

    [options] = [body["options"] for body in bodies if "options" in body]

    assert len(options["properties"]) == count
    for option, schema in options["properties"].items():
        assert {"type", "description"} <= schema.keys(), option
        values = [None, *schema.get("enum", ())]
        for value in values:
            jsonschema.validate(value, schema)


class Done(Schema):
    """The body of a response."""

    done = fields.Boolean(required=True)


def small(view: Any) -> tuple[Flask, Document]:
    """Return an application with one route, and the document of the application."""
    app, routes = Flask("small"), Blueprint("small", "small", url_prefix="/small")
    routes.add_url_rule("/<thing>", endpoint="do", view_func=partial(view, object()))
    app.register_blueprint(routes)
    return app, Document(
        name="small",
        blueprint="small",
        title="Small",
        version="1",
        security={"key": {"type": "apiKey", "in": "header", "name": "key"}},
        error=Done,
    )


def test_the_error_of_an_undocumented_view_names_its_route() -> None:
    def view(_services: object, thing: str) -> str:
        """Do it."""
        return thing

    with pytest.raises(openapi.Undocumented, match=r"small\.do: /small/<thing>"):
        openapi.write(*small(view))


def test_a_response_without_a_schema_needs_a_meaning() -> None:
    @documented()
    def view(_services: object, thing: str) -> str:
        """Do it."""
        return thing

    with pytest.raises(openapi.Undocumented, match=r"small\.do: .* needs `success`"):
        openapi.write(*small(view))


@pytest.mark.parametrize(
    ("fields", "meanings"),
    [
        ({"response": Done}, {"200": "The body of a response"}),
        ({"response": Done, "success": "It is done"}, {"200": "It is done"}),
        (
            {"statuses": (201, 202), "success": {201: "New", 202: "Known"}},
            {"201": "New", "202": "Known"},
        ),
    ],
)
def test_a_successful_response_has_a_meaning(
    fields: dict[str, Any], meanings: dict[str, str]
) -> None:
    @documented(**fields)
    def view(_services: object, thing: str) -> str:
        """Do it."""
        return thing

    [(_, _, operation)] = operations(openapi.write(*small(view)))

    found = operation["responses"].items()
    assert {
        status: response["description"] for status, response in found if status < "300"
    } == meanings


def test_an_operation_is_documented_by_its_view() -> None:
    @documented(response=Done, statuses=(201,), errors=(404,))
    def view(_services: object, thing: str) -> str:
        """Do it; in detail.

        Source: elsewhere
        """
        return thing

    (_, _, operation), *others = operations(openapi.write(*small(view)))

    assert others == []
    assert operation["summary"] == "Do it; in detail"
    assert operation["operationId"] == "do"
    assert list(operation["responses"]) == [
        "201",
        "401",
        "403",
        "404",
        "429",
        "500",
        "503",
    ]


def test_a_response_that_differs_from_its_document_is_an_error(app: Flask) -> None:
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
