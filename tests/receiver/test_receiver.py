"""Tests of the built-in receiver: what it shows, verifies, and does on demand."""

import base64
import json
import pytest
import redis
import time
from flask.testing import FlaskClient
from scheduler_api.core.settings.variables import read_networks
from scheduler_api.core.timestamps import from_http_date
from scheduler_api.dialects.qstash.credentials import CURRENT_KEY
from scheduler_api.dialects.qstash.signing import jwt
from scheduler_api.receiver import responses
from scheduler_api.receiver.responses import DELAYED_BODY_BYTES
from tests.dialects.engine import Web, new_web, settings_with
from typing import Any

ORIGIN = "http://localhost"
UNKNOWN = "msg_zzzzzz"
SETTINGS = {"receiver": True, "allow_networks": read_networks("127.0.0.0/8")}


@pytest.fixture
def web(valkey: str) -> Web:
    redis.Redis.from_url(valkey).flushall()
    return new_web(settings_with(None, SETTINGS, redis_url=valkey))


@pytest.fixture
def client(web: Web) -> FlaskClient:
    return web.app.test_client()


def publish(client: FlaskClient, web: Web, path: str) -> str:
    """Publish a message that is not due yet; return its id."""
    response = client.post(
        f"/v2/publish/{ORIGIN}{path}",
        headers={
            "Authorization": f"Bearer {web.tenant.token}",
            "Upstash-Delay": "1h",
        },
        data=b"hello",
    )
    assert response.status_code == 201, response.data
    return str(response.json["messageId"])


def deliver(
    client: FlaskClient,
    web: Web,
    path: str,
    *,
    event: str | None = None,
    key: str | None = None,
    body: bytes = b"hello",
    **headers: str,
) -> Any:
    """Send a delivery as a worker does, with a signature for the body `hello`."""
    key = key or web.tenant.secrets[CURRENT_KEY]
    now_ms = int(time.time() * 1000)
    token = jwt(key, b"hello", url=f"{ORIGIN}{path}", jti="1", now_ms=now_ms)
    named = {} if event is None else {"Upstash-Message-Id": event}
    sent = {"Upstash-Signature": token, **named, **headers}
    return client.post(path, headers=sent, data=body)


def test_the_receiver_is_off_by_default(valkey: str) -> None:
    app = new_web(settings_with(None, {}, redis_url=valkey)).app

    assert app.test_client().post("/receiver/orders").status_code == 404
    assert app.test_client().get("/receiver").status_code == 404


def test_a_delivery_is_shown_and_its_signature_is_verified(
    web: Web, client: FlaskClient
) -> None:
    path = "/receiver/orders?a=%20b&status=202"
    event = publish(client, web, path)

    response = deliver(
        *(client, web, path),
        event=event,
        **{"Upstash-Retried": "2", "Scheduler-Possible-Duplicate": "true"},
    )

    assert response.status_code == 202
    echo = response.json
    assert next(iter(echo)) == "signature"
    assert echo["signature"] == {
        "valid": True,
        "dialect": "qstash",
        "differs": [],
        "explanation": ["The signature is valid; it was made with the current key."],
    }
    assert (echo["event"], echo["attempt"]) == (event, 3)
    assert echo["possibleDuplicate"] is True
    assert echo["options"] == {"status": "202"}
    assert (echo["method"], echo["path"]) == ("POST", "/receiver/orders")
    assert echo["query"] == "a=%20b&status=202"
    assert (echo["body"], echo["bodyBytes"]) == ("hello", 5)
    assert echo["headers"]["upstash-message-id"] == event


def test_a_changed_body_is_named(web: Web, client: FlaskClient) -> None:
    event = publish(client, web, "/receiver")

    response = deliver(client, web, "/receiver", event=event, body=b"hello\n")

    signature = response.json["signature"]
    assert (signature["valid"], signature["differs"]) == (False, ["body"])


def test_s27_the_answer_does_not_tell_whether_an_event_exists(
    web: Web, client: FlaskClient
) -> None:
    event = publish(client, web, "/receiver")

    known, unknown = (
        deliver(client, web, "/receiver", event=each, key="sig_other").json["signature"]
        for each in (event, UNKNOWN)
    )

    assert known["differs"] == ["key"]
    assert json.dumps(known).replace(event, UNKNOWN) == json.dumps(unknown)


def test_a_request_without_an_event_or_a_signature_says_so(
    web: Web, client: FlaskClient
) -> None:
    anonymous = deliver(client, web, "/receiver").json["signature"]
    unsigned = client.post("/receiver", data=b"x").json["signature"]

    assert "Upstash-Message-Id is missing" in anonymous["explanation"][-1]
    assert "has no signature" in unsigned["explanation"][0]
    assert unsigned["dialect"] is None


def test_s26_credentials_are_masked(client: FlaskClient) -> None:
    names = ("Authorization", "Cookie", "X-API-Key", "Proxy-Authorization")

    response = client.post("/receiver", headers=dict.fromkeys(names, "s3cret"))

    assert b"s3cret" not in response.data
    assert response.json["headers"]["authorization"] == "(masked)"


def test_bodies_that_are_long_or_not_text_are_shown_too(client: FlaskClient) -> None:
    binary = client.post("/receiver", data=b"\xff\x00").json
    long = client.post("/receiver", data=b"x" * 100_000).json

    assert base64.b64decode(binary["bodyBase64"]) == b"\xff\x00"
    assert long["bodyIsCut"] is True and long["bodyBytes"] == 100_000
    assert len(long["body"]) < 20_000


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 200),
        ("status=418", 418),
        ("retry_after=30", 503),
        ("retry_after=30&status=429", 429),
        ("first=1", 503),
        ("first=1&status=500", 500),
        ("order=7&status=201", 201),
        ("size=10", 200),
    ],
)
def test_the_status_is_the_one_asked_for(
    client: FlaskClient, query: str, status: int
) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE", "GET"):
        response = client.open(f"/receiver/a/b?{query}", method=method)
        assert response.status_code == status


@pytest.mark.parametrize(
    "query",
    [
        *("status=199", "status=600", "status=ok", "status=", "status=200&status=500"),
        *("delay=121s", "delay=-1", "delay=forever", "drip=3m", "delay=" + "9" * 99),
        *("first=0", "first=1001", "size=1048577", "retry_after=25h", "close=no"),
    ],
)
def test_an_option_out_of_bounds_is_refused_in_plain_words(
    client: FlaskClient, query: str
) -> None:
    response = client.post(f"/receiver?{query}")

    assert response.status_code == 400
    assert query.partition("=")[0] in response.json["error"]


@pytest.mark.parametrize(("failures", "status"), [(0, 500), (1, 500), (2, 200)])
def test_only_the_first_attempts_fail(
    web: Web, client: FlaskClient, failures: int, status: int
) -> None:
    path = "/receiver?first=2&status=500&retry_after=5"
    event = publish(client, web, path)

    response = deliver(
        client, web, path, event=event, **{"Upstash-Retried": str(failures)}
    )

    assert response.status_code == status
    assert response.headers.get("Retry-After") == ("5" if status == 500 else None)
    assert response.json["attempt"] == failures + 1


def test_retry_after_may_be_a_date(client: FlaskClient) -> None:
    before_ms = int(time.time()) * 1000

    text = client.post("/receiver?retry_after_date=1m").headers["Retry-After"]

    at_ms = from_http_date(text)
    assert at_ms is not None
    assert before_ms + 60_000 <= at_ms <= time.time() * 1000 + 60_000


def test_a_response_is_delayed_and_dripped(client: FlaskClient) -> None:
    began_s = time.monotonic()
    client.post("/receiver?delay=100ms")
    delayed_s = time.monotonic() - began_s

    dripped = client.post("/receiver?drip=600ms", buffered=False)
    pieces = list(dripped.response)
    dripped.close()

    assert delayed_s >= 0.1
    assert time.monotonic() - began_s >= 0.7
    assert len(pieces) == 2 and json.loads(b"".join(pieces))["method"] == "POST"


def test_a_connection_is_closed_without_a_response(client: FlaskClient) -> None:
    with pytest.raises(ConnectionResetError):
        client.post("/receiver?close")


def test_the_number_of_delayed_responses_is_bounded(
    valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responses.Delays.__init__, "__defaults__", (1,))
    web = new_web(settings_with(None, SETTINGS, redis_url=valkey))
    client = web.app.test_client()
    held = client.post("/receiver?drip=1ms", buffered=False)

    refused = client.post("/receiver?delay=1ms")
    quick = client.post("/receiver")
    held.close()
    admitted = client.post("/receiver?delay=1ms")

    assert refused.status_code == 503 and "delayed already" in refused.json["error"]
    assert (quick.status_code, admitted.status_code) == (200, 200)


def test_a_large_body_is_not_held(client: FlaskClient) -> None:
    body = b"x" * (DELAYED_BODY_BYTES + 1)

    assert client.post("/receiver?delay=1ms", data=body).status_code == 413
    assert client.post("/receiver?delay=1ms", data=body[1:]).status_code == 200
    assert client.post("/receiver", data=body).status_code == 200


def test_the_size_of_the_response_is_the_one_asked_for(client: FlaskClient) -> None:
    assert len(client.post("/receiver?size=1048576").data) == 1_048_576
    assert client.post("/receiver?size=0").data == b""


def test_the_receiver_explains_itself_to_a_browser(client: FlaskClient) -> None:
    page = client.get("/receiver")

    assert page.mimetype == "text/plain" and "status=503" in page.text
    assert client.get("/receiver/x").json["method"] == "GET"
