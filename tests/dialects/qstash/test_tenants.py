"""Tests of tokens, the isolation of tenants, and redaction in answers."""

import pytest
from collections.abc import Callable
from scheduler_api.core.store.reads import read_event
from scheduler_api.core.tenants.token_forms import with_user
from typing import Any

Make = Callable[..., Any]
HOOK = "https://example.com/hook"
UNAUTHORIZED = (
    401,
    {"error": "Authorization should be Bearer and a token of this server"},
)
CANARY = "canary-5f2c"


def routes(api: Any) -> list[tuple[str, str]]:
    """Return every method and path of the dialect, with values for path variables."""
    parts = {
        "<rest:destination>": HOOK,
        "<rest:target>": HOOK,
        "<queue>": "line",
    }
    found = []
    for rule in api.app.url_map.iter_rules():
        if not rule.rule.startswith("/v2"):
            continue
        path = rule.rule
        for variable, value in parts.items():
            path = path.replace(variable, value)
        for name in rule.arguments:
            path = path.replace(f"<{name}>", "msg_1").replace(f"<rest:{name}>", HOOK)
        found += [(method, path) for method in rule.methods - {"HEAD", "OPTIONS"}]
    return found


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer x"},
        {"Authorization": "Bearer \xff" + "x" * 10_000},
        {"Authorization": "Basic eDp5"},
        {"x-api-key": "x"},
    ],
)
def test_no_route_answers_without_a_token(api: Any, headers: dict[str, str]) -> None:
    paths = routes(api)
    assert len(paths) >= 10

    for number, (method, path) in enumerate(paths):
        # From one address, the eleventh wrong token would be refused in another way.
        address = {"REMOTE_ADDR": f"192.0.2.{number}"}
        with api.app.test_client() as client:
            answer = client.open(
                path, method=method, headers=headers, environ_base=address
            )
        assert (answer.status_code, answer.get_json()) == UNAUTHORIZED, path


def test_a_token_in_another_header_is_ignored(api: Any) -> None:
    with api.app.test_client() as client:
        answer = client.get("/v2/keys", headers={"x-api-key": api.token})

    assert answer.status_code == 401


@pytest.mark.parametrize("word", ["Bearer", "bearer", "BEARER"])
def test_the_authorization_scheme_is_case_insensitive(api: Any, word: str) -> None:
    headers = {"Authorization": f"{word}  {api.token} "}

    assert api.call("GET", "/v2/keys", headers=headers)[0] == 200


def test_a_token_with_an_id_is_accepted_in_the_header_and_in_the_query(
    api: Any,
) -> None:
    token = with_user("no tenant", api.token)

    with api.app.test_client() as client:
        headers = {"Authorization": f"Bearer {token}"}
        in_header = client.get("/v2/keys", headers=headers)
        in_query = client.get(f"/v2/keys?qstash_token={token}")
        without_password = client.get("/v2/keys?qstash_token=eyJVc2VySUQiOiIxIn0=")

    assert in_header.get_json() == in_query.get_json() == api.call("GET", "/v2/keys")[1]
    assert without_password.status_code == 401


def test_other_tenants_messages_are_not_found_and_unchanged(
    make_api: Make,
) -> None:
    mine, other = make_api(), make_api()
    name = mine.publish(delay="1h")["messageId"]
    before = mine.message(name)

    for method in ("GET", "DELETE"):
        foreign = other.call(method, f"/v2/messages/{name}")
        assert foreign == (404, {"error": f"message {name} not found"})
    assert mine.message(name) == before


def test_events_of_another_dialect_are_not_found(api: Any) -> None:
    body = {
        "payload": "x",
        "destination": HOOK,
        "scheduledTime": "2100-01-01T00:00:00Z",
    }
    with api.app.test_client() as client:
        event = client.post("/api/events", json=body, headers={"x-api-key": api.token})
    name = f"msg_{event.get_json()['id']}"

    assert api.call("GET", f"/v2/messages/{name}")[0] == 404
    assert api.call("DELETE", f"/v2/messages/{name}")[0] == 404
    assert api.call("DELETE", "/v2/messages") == (200, {"cancelled": 0})


@pytest.mark.parametrize("fields", ["body,header", "body, headers", "body,header[A]"])
def test_redacted_values_are_in_no_answer(api: Any, fields: str) -> None:
    name = api.publish(
        data=CANARY.encode(),
        forward_a=CANARY,
        callback="https://example.com/cb",
        callback_forward_a=CANARY,
        redact_fields=fields,
    )["messageId"]
    api.attempt(name, "dead", status=500)
    answers = [api.message(name), api.logs(), api.logs(f"?messageId={name}")]

    # The canary in plain text, and in base64 at each of the three possible offsets.
    for trace in (CANARY, "Y2FuYXJ5", "NhbmFye", "jYW5hcn"):
        assert trace not in repr(answers)
    assert answers[0]["body"].startswith("REDACTED:")
    assert answers[0]["header"]["A"][0].startswith("REDACTED:")
    event = read_event(api.cell, api.owner, name.removeprefix("msg_"))
    assert event.content.body == CANARY.encode()


def test_placeholders_differ_between_tenants(make_api: Make) -> None:
    placeholders = set()
    for api in (make_api(), make_api()):
        name = api.publish(redact_fields="body")["messageId"]
        placeholders.add(api.message(name)["body"])

    assert len(placeholders) == 2


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/logs"),
        ("GET", "/v2/keys"),
        ("POST", "/v2/keys/rotate"),
        ("DELETE", "/v2/messages"),
        ("POST", f"/v2/publish/{HOOK}"),
    ],
)
@pytest.mark.parametrize(
    "query", ["\xff=1", "label=\xff", "%FF=%ff", "qstash_token=\xff"]
)
def test_invalid_utf8_in_a_query_is_not_a_server_error(
    api: Any, method: str, path: str, query: str
) -> None:
    environ = {"QUERY_STRING": query, "RAW_URI": f"{path}?{query}"}
    for authorization in (f"Bearer {api.token}", ""):
        headers = {"Authorization": authorization}
        with api.app.test_client() as client:
            answer = client.open(
                path, method=method, headers=headers, environ_overrides=environ
            )
        assert answer.status_code in (200, 201, 400, 401), answer.data


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2", 404),
        ("GET", "/v2/nothing", 404),
        ("GET", "/v2/batch", 405),
        ("PUT", "/v2/messages/msg_1", 405),
        ("POST", "/v2//publish/http://h", 404),
    ],
)
def test_unknown_routes_have_the_dialects_error_format(
    api: Any, method: str, path: str, status: int
) -> None:
    answer = api.call(method, path)

    assert answer[0] == status
    assert list(answer[1]) == ["error"]


@pytest.mark.parametrize("route", ["publish", "enqueue/line", "schedules"])
def test_destinations_are_not_view_arguments_that_errors_would_log(
    api: Any, route: str
) -> None:
    urls = api.app.url_map.bind("localhost")
    endpoint, arguments = urls.match(f"/v2/{route}/https://h/{CANARY}", method="POST")

    assert endpoint.startswith("qstash.")
    assert CANARY not in repr(arguments)
