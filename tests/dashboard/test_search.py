"""Tests of the search by an id that a client gave to its request."""

import pytest
from scheduler_api.core.public_ids import stored_ids
from scheduler_api.core.timestamps import to_iso
from tests.dashboard.browser import Browser, sign_in
from tests.dialects.engine import Web
from tests.dialects.furnished import Furnished
from typing import Any

HOOK = "https://shop.example/hook"
CRON = "0 0 * * *"
KEY, DEDUPLICATION_ID = "Idempotency-Key", "Upstash-Deduplication-Id"
V1 = {"eventOwner": "ada@shop.example", "callbackUrl": HOOK}


def send(web: Web, name: str, path: str, id_field: str, **request: Any) -> str:
    """Send a request with the id `order-7`; return the id of what it creates."""
    headers = request.pop("headers", {}) | {name: "order-7"}
    made = Furnished(web, {}).make("POST", path, headers=headers, **request)
    found: str = made.get("data", made)[id_field]
    return found


def later(web: Web) -> str:
    return to_iso(web.cell.now_ms() + 3_600_000)


def message(web: Web) -> str:
    path, delay = f"/v2/publish/{HOOK}", {"Upstash-Delay": "1h"}
    name = send(web, DEDUPLICATION_ID, path, "messageId", data=b"x", headers=delay)
    return f"/events/{name}"


def qstash_schedule(web: Web) -> str:
    path, cron = f"/v2/schedules/{HOOK}", {"Upstash-Cron": CRON}
    name = send(web, DEDUPLICATION_ID, path, "scheduleId", data=b"x", headers=cron)
    return f"/schedules/{name.removeprefix('scd_')}"


def jiter_event(web: Web) -> str:
    event = {"payload": "x", "destination": HOOK, "scheduledTime": later(web)}
    return f"/events/{send(web, KEY, '/api/events', 'id', json=event)}"


def cron_job(web: Web) -> str:
    job = {"payload": "x", "destination": HOOK, "expression": CRON}
    return f"/schedules/{send(web, KEY, '/api/cronjobs', 'id', json=job)}"


def v1_event(web: Web) -> str:
    event = V1 | {"interval": CRON, "context": {}, "endDate": later(web)}
    name = send(web, KEY, "/v1/events", "eventId", json=event)
    return f"/schedules/{stored_ids(name)['events_v1']}"


@pytest.mark.parametrize(
    "create", [message, qstash_schedule, jiter_event, cron_job, v1_event]
)
def test_an_id_that_a_client_gave_to_a_request_leads_to_what_it_created(
    web: Web, browser: Browser, create: Any
) -> None:
    path = create(web)
    other = sign_in(web, web.tenants.create("other").token)

    assert browser.client.get("/search?id=order-7").location == path
    assert browser.client.get(path).status_code == 200
    assert browser.client.get("/search?id=order-8").status_code == 404
    assert other.client.get("/search?id=order-7").status_code == 404


def test_everything_with_the_same_deduplication_id_is_listed(
    web: Web, browser: Browser
) -> None:
    paths = [create(web) for create in (message, qstash_schedule, jiter_event)]
    page = browser.page("/search?id=order-7")

    assert [path for path in paths if f'href="{path}"' in page] == paths


def test_a_message_is_found_until_its_deduplication_id_is_forgotten(
    web: Web, browser: Browser
) -> None:
    path = message(web)
    browser.post(f"{path}/cancel")

    assert browser.client.get("/search?id=order-7").status_code == 404
