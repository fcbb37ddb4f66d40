"""A tenant that has something of every kind, made through the HTTP APIs."""

from dataclasses import dataclass
from scheduler_api.core.timestamps import to_iso
from tests import documents
from tests.dialects.engine import Engine, Web
from typing import Any

HOOK = "https://example.com/hook"
NAME = "furnished"
HOUR_MS = 3_600_000


@dataclass
class Furnished:
    """A client of one tenant, and the ids of what the tenant has.

    Attributes:
        ids: values of the path variables of all routes, by blueprint and name.
    """

    web: Web
    ids: dict[str, dict[str, str]]

    def call(
        self, method: str, path: str, *, token: str | None = None, **more: Any
    ) -> tuple[int, Any]:
        """Send a request with the token in the places that the dialects read."""
        token = token or self.web.tenant.token
        headers = {"x-api-key": token, "Authorization": f"Bearer {token}"}
        headers |= more.pop("headers", {})
        with self.web.app.test_client() as client:
            answer = client.open(path, method=method, headers=headers, **more)
        body = answer.get_json() if answer.data else None
        documents.check(self.web.app, method, path, answer.status_code, body)
        return answer.status_code, body

    def make(self, method: str, path: str, **more: Any) -> Any:
        status, body = self.call(method, path, **more)
        assert 200 <= status < 300, (path, body)
        return body

    def stored(self) -> dict[bytes, bytes]:
        """All keys of the store, with their serialized values."""
        client = self.web.cell.client
        return {key: client.dump(key) or b"" for key in client.scan_iter(count=10_000)}


def furnish(web: Web) -> Furnished:
    """Give the tenant something of every kind, in each dialect."""
    furnished = Furnished(web, {})
    furnished.ids["jiter"] = _jiter(furnished)
    furnished.ids["events_v1"] = _events_v1(furnished)
    furnished.ids["qstash"] = _qstash(furnished)
    return furnished


def _jiter(furnished: Furnished) -> dict[str, str]:
    later = to_iso(furnished.web.cell.now_ms() + HOUR_MS)
    event = {"payload": "x", "destination": HOOK, "scheduledTime": later}
    job = {"payload": "x", "destination": HOOK, "expression": "0 0 * * *"}
    return {
        "event_id": furnished.make("POST", "/api/events", json=event)["id"],
        "cron_id": furnished.make("POST", "/api/cronjobs", json=job)["id"],
    }


def _events_v1(furnished: Furnished) -> dict[str, str]:
    later = to_iso(furnished.web.cell.now_ms() + HOUR_MS)
    event = {
        "eventOwner": "ada@example.com",
        "endDate": later,
        "interval": "0 0 1 1 *",
        "callbackUrl": HOOK,
        "context": {"user": 1},
    }
    made = furnished.make("POST", "/v1/events", json=event)["data"]
    return {"event_id": made["eventId"], "attempt_id": "1"}


def _qstash(furnished: Furnished) -> dict[str, str]:
    options = {
        "Upstash-Flow-Control-Key": NAME,
        "Upstash-Flow-Control-Value": "parallelism=1",
        "Upstash-Deduplication-Id": "once",
        "Upstash-Failure-Callback": HOOK,
    }
    endpoints = {"endpoints": [{"url": HOOK}]}
    furnished.make("POST", f"/v2/topics/{NAME}/endpoints", json=endpoints)
    furnished.make("POST", f"/v2/enqueue/{NAME}/{HOOK}", data=b"x", headers=options)
    letter = furnished.make("POST", f"/v2/publish/{HOOK}", data=b"x")["messageId"]
    engine = Engine(furnished.web.cell.client, furnished.web.cell.prefix)
    engine.settle(engine.begin(letter.removeprefix("msg_")), "dead", status=500)
    delay = {"Upstash-Delay": "1h"}
    message = furnished.make("POST", f"/v2/publish/{HOOK}", data=b"x", headers=delay)
    cron = {"Upstash-Cron": "0 0 * * *"}
    schedule = furnished.make("POST", f"/v2/schedules/{HOOK}", headers=cron)
    [dead] = furnished.make("GET", "/v2/dlq")["messages"]
    return {
        "message_id": message["messageId"],
        "schedule_id": schedule["scheduleId"],
        "letter_id": dead["dlqId"],
        "name": NAME,
        "queue": NAME,
        "key": NAME,
        "destination": HOOK,
    }
