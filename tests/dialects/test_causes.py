"""Tests that all dialects show the same cause of a failed attempt, in all places.

A worker makes real requests to receivers that cannot be reached, or answer an error.
"""

import json
import pytest
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from scheduler_api.core.delivery.causes import SENTENCES
from tests.clients.receivers import Answer, Receivers, serve_receivers
from tests.dialects.conformance.adaptor import Client
from tests.dialects.conformance.world import World

DAY_MS = 86_400_000
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


def error_of(record: dict[str, str]) -> Cause:
    return record.get("error"), record.get("errorCode")


def qstash_causes(world: World, receivers: Receivers, url: str) -> list[Cause]:
    """Publish without retries; return the cause in logs, dead letter and callbacks."""
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
    return [error_of(record) for record in [*entries, *letters["messages"], *bodies]]


def jiter_causes(world: World, url: str) -> list[Cause]:
    client = client_of(world)
    at = datetime.now(UTC) + timedelta(minutes=1)
    event = {"payload": "x", "destination": url, "scheduledTime": at.isoformat()}
    _, created = client.call("POST", "/api/events", json=event)
    world.run_for(DAY_MS)
    _, found = client.call("GET", f"/api/events/{created['id']}")
    return [error_of(record) for record in found["history"]]


def v1_causes(world: World, url: str) -> list[Cause]:
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
    return [error_of(record) for record in client.call("GET", path)[1]["data"]]


def all_causes(world: World, receivers: Receivers, url: str) -> set[Cause]:
    return {
        *qstash_causes(world, receivers, url),
        *jiter_causes(world, url),
        *v1_causes(world, url),
    }


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
