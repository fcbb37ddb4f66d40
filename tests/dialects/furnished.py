"""A tenant that has something of every kind, made through the HTTP APIs."""

from collections.abc import Iterator
from dataclasses import dataclass
from scheduler_api.core.timestamps import to_iso
from scheduler_api.dialects.inbound import DIALECTS
from tests import documents
from tests.dialects.engine import Engine, Web
from typing import Any

NAME = "furnished"
HOUR_MS = 3_600_000
REGISTER = "/v1/register"

Json = Any


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


def furnish(web: Web, name: str = NAME, *, secret: str = "") -> Furnished:
    """Give the tenant something of every kind, in each dialect.

    All names, URLs and bodies contain `name`; URLs and bodies also contain `secret`.
    """
    furnished = Furnished(web, {})
    furnished.ids["jiter"] = _jiter(furnished, name, secret)
    furnished.ids["events_v1"] = _events_v1(furnished, name, secret)
    furnished.ids["qstash"] = _qstash(furnished, name, secret)
    return furnished


def hook(name: str) -> str:
    return f"https://{name}.example/hook"


def _jiter(furnished: Furnished, name: str, secret: str) -> dict[str, str]:
    later = to_iso(furnished.web.cell.now_ms() + HOUR_MS)
    template = {"payload": name + secret, "destination": hook(name) + secret}
    event = template | {"scheduledTime": later}
    job = template | {"expression": "0 0 * * *"}
    once = {"Idempotency-Key": name}
    made = furnished.make("POST", "/api/events", json=event, headers=once)
    cron = furnished.make("POST", "/api/cronjobs", json=job)["id"]
    furnished.make("POST", f"/api/cronjobs/{cron}/run")
    return {"event_id": made["id"], "cron_id": cron}


def _events_v1(furnished: Furnished, name: str, secret: str) -> dict[str, str]:
    event = {
        "eventOwner": f"ada@{name}.example",
        "endDate": "2099-01-01",
        "interval": "0 0 1 1 *",
        "callbackUrl": hook(name) + secret,
        "context": {"user": name + secret},
        "tags": [name],
    }
    made = furnished.make("POST", "/v1/events", json=event)["data"]
    return {"event_id": made["eventId"], "attempt_id": "1"}


def _qstash(furnished: Furnished, name: str, secret: str) -> dict[str, str]:
    options = {
        "Upstash-Flow-Control-Key": name,
        "Upstash-Flow-Control-Value": "parallelism=1",
        "Upstash-Deduplication-Id": name,
        "Upstash-Failure-Callback": hook(name) + secret,
        "Upstash-Label": name,
    }
    url, sent = hook(name) + secret, {"data": (name + secret).encode()}
    publish = f"/v2/publish/{url}"
    endpoints = {"endpoints": [{"url": url}]}
    furnished.make("POST", f"/v2/topics/{name}/endpoints", json=endpoints)
    path = f"/v2/enqueue/{name}/{url}"
    furnished.make("POST", path, **sent, headers=options)
    letter = furnished.make("POST", publish, **sent)["messageId"]
    engine = Engine(furnished.web.cell.client, furnished.web.cell.prefix)
    engine.settle(engine.begin(letter.removeprefix("msg_")), "dead", status=500)
    delay = {"Upstash-Delay": "1h"}
    message = furnished.make("POST", publish, **sent, headers=delay)
    cron = {"Upstash-Cron": "0 0 * * *"}
    schedule = f"/v2/schedules/{url}"
    deleted = furnished.make("POST", schedule, **sent, headers=cron)["scheduleId"]
    furnished.make("DELETE", f"/v2/schedules/{deleted}")
    schedule_id = furnished.make("POST", schedule, **sent, headers=cron)["scheduleId"]
    [dead] = furnished.make("GET", "/v2/dlq")["messages"]
    return {
        "message_id": message["messageId"],
        "schedule_id": schedule_id,
        "letter_id": dead["dlqId"],
        "name": name,
        "queue": name,
        "key": name,
        "destination": hook(name),
    }


def operations(furnished: Furnished) -> Iterator[tuple[str, str, str, Json, Json]]:
    """Yield dialect, method, path, operation and document; deletions come last."""
    found = []
    for dialect in DIALECTS:
        name = dialect.DOCUMENT.name
        answer = furnished.web.app.test_client().get(f"/openapi/{name}.json")
        document = answer.get_json()
        for path, item in document["paths"].items():
            for method, operation in item.items():
                if path != REGISTER:
                    kind = dialect.DOCUMENT.blueprint
                    found.append((kind, method.upper(), path, operation, document))
    return iter(sorted(found, key=lambda each: (each[1] == "DELETE", each[2])))


def inputs(operation: Json, kind: str) -> list[str]:
    """The names of an operation's parameters in the path or in the query."""
    return [each["name"] for each in operation["parameters"] if each["in"] == kind]


def readable(furnished: Furnished) -> dict[str, Any]:
    """What the tenant reads of its own: the response of every operation that reads."""
    return {
        path: furnished.call(method, path)
        for kind, method, template, operation, _ in operations(furnished)
        if method == "GET"
        for path in [template.format(**furnished.ids[kind])]
    }
