"""Tests of the API reference: complete, escaped, with examples that work."""

import pytest
import re
from collections.abc import Iterator
from flask import Blueprint, Flask
from functools import partial
from html import unescape
from marshmallow import Schema, fields
from scheduler_api.app import create_app
from scheduler_api.dashboard.pages.reference import ReferencePages
from scheduler_api.dialects.inbound import DIALECTS
from scheduler_api.schedule_files.http_commands import read_command
from scheduler_api.settings import Settings
from scheduler_api.web.documented import Document, documented
from tests.dialects.engine import Web
from typing import Any
from urllib.parse import urlsplit

NAMES = [dialect.DOCUMENT.name for dialect in DIALECTS]
SCRIPT = "<script>alert(1)</script>"
# What says that an example is wrong. 404 only says that an id in it names nothing,
# 403 that a setting is off.
WRONG = {400, 401, 405, 412, 413, 415, 422}


def new_app() -> Flask:
    """Return an application without a store, because the pages need none."""
    settings = Settings(
        redis_url="redis://127.0.0.1:1/0", secret_key="0123456789abcdef"
    )
    return create_app(settings)


@pytest.fixture(scope="module")
def app() -> Flask:
    return new_app()


def get_page(app: Flask, path: str) -> str:
    response = app.test_client().get(path)
    assert (response.status_code, response.mimetype) == (200, "text/html")
    return response.text


def get_operations(app: Flask, name: str) -> Iterator[tuple[str, str, Any]]:
    document = app.test_client().get(f"/openapi/{name}.json").get_json()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def test_the_first_page_leads_to_each_document(app: Flask) -> None:
    page = get_page(app, "/docs")

    assert re.findall(r'href="/docs/(\w+)"', page) == NAMES


def test_every_page_leads_to_the_reference(app: Flask) -> None:
    assert 'href="/docs"' in get_page(app, "/sign-in")


@pytest.mark.parametrize("name", NAMES)
def test_each_operation_of_a_document_is_on_its_page(app: Flask, name: str) -> None:
    page = get_page(app, f"/docs/{name}")
    ids = set(re.findall(r' id="([^"]*)"', page))

    for method, path, operation in get_operations(app, name):
        anchor = re.sub(r"\W+", "-", f"{method} {path}").strip("-")
        assert anchor in ids
        assert f"{method.upper()} {path}<" in page
        assert operation["summary"] in unescape(page)
        for parameter in operation["parameters"]:
            assert f"<code>{parameter['name']}</code>" in page


@pytest.mark.parametrize("name", NAMES)
def test_each_link_on_a_page_leads_to_an_anchor(app: Flask, name: str) -> None:
    page = get_page(app, f"/docs/{name}")
    ids = re.findall(r' id="([^"]*)"', page)

    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]*)"', page)) <= set(ids)


@pytest.mark.parametrize("name", NAMES)
def test_each_field_of_a_named_schema_is_on_its_page(app: Flask, name: str) -> None:
    document = app.test_client().get(f"/openapi/{name}.json").get_json()
    page = get_page(app, f"/docs/{name}")

    for schema, shape in document["components"]["schemas"].items():
        table = page.partition(f'id="schema-{schema}"')[2].partition("</section>")[0]
        for field in shape["properties"]:
            assert f"<code>{field}</code>" in table, schema


def test_an_unknown_document_is_not_found(app: Flask) -> None:
    response = app.test_client().get("/docs/other")

    assert (response.status_code, response.mimetype) == (404, "text/html")


class Body(Schema):
    """A body with a script in each place."""

    field = fields.String(
        data_key=SCRIPT, metadata={"description": SCRIPT, "examples": [SCRIPT]}
    )


@documented(body=Body, response=Body)
def view(_services: object) -> str:
    """Do <script>alert(1)</script>."""
    return ""


def test_what_a_document_contains_is_shown_as_text() -> None:
    app, routes = new_app(), Blueprint("small", "small", url_prefix="/small")
    routes.add_url_rule("/a&b", "do", partial(view, object()), methods=["POST"])
    app.register_blueprint(routes)
    document = Document(
        name="small",
        blueprint="small",
        title=SCRIPT,
        version="1",
        security={"key": {"type": "apiKey", "in": "header", "name": SCRIPT}},
        error=Body,
    )
    with app.test_request_context():
        text = ReferencePages([document]).show("small").get_data(as_text=True)

    assert "<script>" not in text
    assert text.count("&lt;script&gt;") > 10
    assert "/small/a&b" not in text


@pytest.mark.parametrize("name", NAMES)
def test_each_example_is_accepted_as_printed(web: Web, name: str) -> None:
    page = web.app.test_client().get(f"/docs/{name}").text
    commands = re.findall(r"<pre[^>]*>(curl [^<]*)</pre>", page)
    answers = {command: send(web, unescape(command)) for command in commands}

    assert len(commands) > 10
    refused = [command for command in commands if answers[command] in WRONG]
    # This operation exists to say what is wrong with such requests.
    assert [each for each in refused if not is_without_destination(each)] == []


def is_without_destination(command: str) -> bool:
    return bool(re.search(r"/v2/(publish|enqueue/QUEUE)&#34;", command))


def send(web: Web, command: str) -> int:
    """Send the request of a curl command; return the status of the response."""
    values = {"$SCHEDULER_API_TOKEN": web.tenant.token, "$SCHEDULER_API": "http://h"}
    for variable, value in (*values.items(), ("\\\n", "")):
        command = command.replace(variable, value)
    fields = read_command(command)
    parts = urlsplit(fields["destination"])
    response = web.app.test_client().open(
        f"{parts.path}?{parts.query}",
        method=fields["method"],
        headers=fields.get("headers"),
        data=fields.get("body"),
    )
    return response.status_code
