"""Tests that all dialects show the same cause of a failed attempt, in all places.

A worker makes real requests to receivers that cannot be reached, or answer an error.
"""

import base64
import json
import pytest
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from scheduler_api.core.delivery.causes import SENTENCES
from tests.clients.receivers import Answer, Receivers, serve_receivers
from tests.dialects.conformance.adaptor import Client
from tests.dialects.conformance.world import World
from typing import Any

DAY_MS = 86_400_000
Record = dict[str, Any]
Cause = tuple[str | None, str | None]


@pytest.fixture(scope="module")
def receivers() -> Iterator[Receivers]:
    with serve_receivers() as receivers:
        yield receivers


@pytest.fixture
def world(store_url: str) -> World:
    return World(store_url)


def client_of(world: World) -> Client:
    tenant = world.new_tenant()
    token = {"x-api-key": tenant.token, "Authorization": f"Bearer {tenant.token}"}
    return Client(world.app, tenant, token)


def qstash_records(world: World, receivers: Receivers, url: str) -> list[Record]:
    """Publish without retries; return log entries, dead letter, callbacks."""
    client, callback = client_of(world), receivers.new_destination()
    headers = {
        "Upstash-Retries": "0",
        "Upstash-Callback": callback.url,
        "Upstash-Failure-Callback": callback.url,
    }
    _, answer = client.call("POST", f"/v2/publish/{url}", data=b"x", headers=headers)
    world.run_for(DAY_MS)
    query = f"messageId={answer['messageId']}"
    _, page = client.call("GET", f"/v2/logs?{query}")
    states = ("ERROR", "FAILED")
    entries = [entry for entry in page["logs"] if entry["state"] in states]
    _, letters = client.call("GET", f"/v2/dlq?{query}")
    bodies = [json.loads(arrival.body) for arrival in callback.arrivals]
    assert (len(entries), len(bodies)) == (2, 2)
    return [*entries, *letters["messages"], *bodies]


def jiter_records(world: World, url: str) -> list[Record]:
    client = client_of(world)
    at = datetime.now(UTC) + timedelta(minutes=1)
    event = {"payload": "x", "destination": url, "scheduledTime": at.isoformat()}
    _, created = client.call("POST", "/api/events", json=event)
    world.run_for(DAY_MS)
    _, found = client.call("GET", f"/api/events/{created['id']}")
    return list(found["history"])


def v1_records(world: World, url: str) -> list[Record]:
    client = client_of(world)
    at = datetime.now(UTC) + timedelta(minutes=2)
    event = {
        "eventOwner": "user@example.com",
        "endDate": (at + timedelta(days=2)).isoformat(),
        "interval": f"{at.minute} {at.hour} {at.day} {at.month} *",
        "callbackUrl": url,
    }
    _, created = client.call("POST", "/v1/events", json=event)
    world.run_for(DAY_MS)
    path = f"/v1/events/{created['data']['eventId']}/attempts"
    return list(client.call("GET", path)[1]["data"])


def all_records(world: World, receivers: Receivers, url: str) -> list[Record]:
    """Return what all dialects show about attempts to send to a URL."""
    return [
        *qstash_records(world, receivers, url),
        *jiter_records(world, url),
        *v1_records(world, url),
    ]


def all_causes(world: World, receivers: Receivers, url: str) -> set[Cause]:
    records = all_records(world, receivers, url)
    return {(record.get("error"), record.get("errorCode")) for record in records}


def test_a_refused_connection_has_one_cause_everywhere(
    world: World, receivers: Receivers, free_port: int
) -> None:
    url = f"http://127.0.0.1:{free_port}/"

    [(sentence, code)] = all_causes(world, receivers, url)

    assert code == "refused"
    assert "refused" in str(sentence)


def test_an_error_status_has_one_cause_everywhere(
    world: World, receivers: Receivers
) -> None:
    destination = receivers.new_destination(Answer(status=410))

    causes = all_causes(world, receivers, destination.url)

    assert causes == {("the destination answered 410 (Gone)", "http-410")}


def test_s11_no_dialect_tells_which_address_was_blocked(
    world: World, receivers: Receivers
) -> None:
    world.lookup = lambda _name: ["10.1.2.3"]

    causes = all_causes(world, receivers, "http://internal.example/")

    assert causes == {(SENTENCES["blocked"], "blocked")}


def test_a_run_to_a_url_group_that_was_deleted_names_the_group(world: World) -> None:
    client = client_of(world)
    group = {"endpoints": [{"url": "http://127.0.0.1:9/"}]}
    client.call("POST", "/v2/topics/shops/endpoints", json=group)
    cron = {"Upstash-Cron": "* * * * *", "Scheduler-Max-Runs": "1"}
    client.call("POST", "/v2/schedules/shops", data=b"x", headers=cron)
    client.call("DELETE", "/v2/topics/shops")
    world.run_for(DAY_MS)

    [letter] = client.call("GET", "/v2/dlq")[1]["messages"]
    assert letter["errorCode"] == "group-missing"
    assert letter["error"] == "url group shops not found"


NO_TEXTS = (bytes(range(256)), b"\xff\x00", "gr\u00fcn".encode("latin-1"), b"ok\xc3")


def test_a_body_that_is_no_text_is_shown_byte_by_byte(
    world: World, receivers: Receivers
) -> None:
    for body in NO_TEXTS:
        destination = receivers.new_destination(Answer(status=500, body=body))

        error, failed, letter, *callbacks = qstash_records(
            world, receivers, destination.url
        )

        encoded = base64.b64encode(body).decode()
        assert "responseBody" not in letter
        assert letter["responseBodyBase64"] == encoded
        assert [each["responseBody"] for each in (error, failed)] == [encoded] * 2
        assert [each["body"] for each in callbacks] == [encoded] * 2


def test_header_values_are_shown_as_utf_8_or_else_as_latin_1(
    world: World, receivers: Receivers
) -> None:
    # The receiver sends one byte for each character.
    sent = {"X-Latin": "gr\u00fcn", "X-Utf": "gr\u00fcn".encode().decode("latin-1")}
    destination = receivers.new_destination(Answer(status=500, headers=sent))

    error, failed, letter, *callbacks = qstash_records(
        world, receivers, destination.url
    )

    shown = [letter["responseHeader"], error["responseHeaders"]]
    shown += [failed["responseHeader"], *(callback["header"] for callback in callbacks)]
    for headers in shown:
        assert headers["X-Latin"] == headers["X-Utf"] == ["gr\u00fcn"]


def test_a_body_that_was_cut_off_is_marked_everywhere(
    world: World, receivers: Receivers
) -> None:
    cut = Answer(status=500, body=b"half", missing_bytes=4)
    entire = receivers.new_destination(replace(cut, missing_bytes=0))

    marked = all_records(world, receivers, receivers.new_destination(cut).url)
    plain = all_records(world, receivers, entire.url)

    assert {record.get("bodyIncomplete") for record in marked} == {True}
    assert not any({"bodyIncomplete", "bodyTruncated"} & {*r} for r in plain)
    assert not any("bodyTruncated" in record for record in marked)


def test_a_body_that_is_longer_than_the_log_is_marked(
    world: World, receivers: Receivers
) -> None:
    kept = world.settings.response_log_bytes
    body = "\u00fc".encode() * kept
    destination = receivers.new_destination(Answer(status=500, body=body))

    error, _, letter, *callbacks = qstash_records(world, receivers, destination.url)

    assert letter["responseBody"] == body[:kept].decode()
    assert letter["bodyTruncated"] is error["bodyTruncated"] is True
    assert not any("bodyTruncated" in callback for callback in callbacks)
    assert [base64.b64decode(callback["body"]) for callback in callbacks] == [body] * 2
