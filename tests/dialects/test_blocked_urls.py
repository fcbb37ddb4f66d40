"""Tests that no field with a URL leads the service to a blocked address (S-09).

Each hostile URL is sent through the API, and a worker delivers what was accepted. The
corpus contains literal addresses (S-01), names with blocked addresses (S-03, S-04),
spellings of loopback (S-05), and ambiguous URLs (S-06). Receivers redirect, too (S-08).
"""

import pytest
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from scheduler_api.core.timestamps import to_iso
from scheduler_api.dialects.inbound import DIALECTS
from tests.clients.receivers import Answer, Destination, Receivers, serve_receivers
from tests.dialects.conformance.adaptor import Client
from tests.dialects.conformance.world import World
from tests.dialects.hostile_urls import Names, corpus
from tests.fuzzing import FACTOR
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from workers.http_client import pool

# The only address to which the worker may connect, in place of a public one.
ALLOWED = "127.0.0.2"
MINUTE_MS = 60_000
# Each field gets every thirteenth URL, and other ones than the field before it.
STEP = 1 if FACTOR else 13
CALLBACK, FAILURE = "Upstash-Callback", "Upstash-Failure-Callback"
WRITES = ("post", "put", "patch")
URL_FIELDS = {"destination", "callbackUrl", "url", CALLBACK, FAILURE}
FILTERS = {"POST /v2/dlq/retry url"}
ONCE = {"Upstash-Retries": "0"}
EVERY_MINUTE = "* * * * *"
# How many fields use up a dead letter for each URL.
LETTERS = 4


@dataclass
class Api:
    """The API under test and one receiver. Each method sends one URL in one field."""

    client: Client
    now_ms: int
    answers: Destination
    fails: Destination
    letters: list[str] = field(default_factory=list)
    sent: int = 0

    def call(self, method: str, path: str, **options: Any) -> Any:
        self.sent += 1
        status, body = self.client.call(method, path, **options)
        assert status < 500, (method, path, options, body)
        return body

    def qstash(self, path: str, callback: str, url: str, **headers: str) -> None:
        """Send a message. The URL is its destination, or its callback."""
        target = url if not callback else self.destination(callback)
        headers |= ONCE | ({callback: url} if callback else {})
        self.call(
            "POST", f"{path}/{quote(target, safe='')}", headers=header_values(headers)
        )

    def destination(self, callback: str) -> str:
        return (self.fails if "Failure" in callback else self.answers).url

    def in_query(self, callback: str, url: str) -> None:
        target = quote(self.destination(callback), safe="")
        query = urlencode({callback.lower(): url, "upstash-retries": "0"})
        self.call("POST", f"/v2/publish/{target}?{query}")

    def batch(self, callback: str, url: str) -> None:
        target = url if not callback else self.destination(callback)
        headers = ONCE | ({callback: url} if callback else {})
        self.call(
            "POST", "/v2/batch", json=[{"destination": target, "headers": headers}]
        )

    def schedule(self, callback: str, url: str) -> None:
        self.qstash("/v2/schedules", callback, url, **{"Upstash-Cron": EVERY_MINUTE})

    def endpoint(self, url: str) -> None:
        group = f"endpoint{self.sent}"
        self.call(
            "POST", f"/v2/topics/{group}/endpoints", json={"endpoints": [{"url": url}]}
        )
        self.call("POST", f"/v2/publish/{group}", headers=ONCE)

    def group_default(self, callback: str, url: str) -> None:
        group = f"group{self.sent}"
        endpoints = {"endpoints": [{"url": self.destination(callback)}]}
        self.call("POST", f"/v2/topics/{group}/endpoints", json=endpoints)
        self.call("PATCH", f"/v2/topics/{group}", json={"headers": {callback: url}})
        self.call("POST", f"/v2/publish/{group}", headers=ONCE)

    def retry(self, callback: str, url: str) -> None:
        headers = header_values(ONCE | {callback: url})
        self.call("POST", f"/v2/dlq/retry/{self.letters.pop()}", headers=headers)

    def retry_many(self, callback: str, url: str) -> None:
        body = {"dlqIds": [self.letters.pop()]}
        headers = header_values(ONCE | {callback: url})
        self.call("POST", "/v2/dlq/retry", json=body, headers=headers)

    def make_letters(self, count: int, world: World) -> None:
        """Make dead letters, which `retry` and `retry_many` use up."""
        for _ in range(count):
            self.qstash("/v2/publish", "", self.fails.url)
        world.run_for(0)
        cursor = ""
        while len(self.letters) < count:
            page = self.call("GET", f"/v2/dlq?count=100{cursor}")
            self.letters += [letter["dlqId"] for letter in page["messages"]]
            cursor = f"&cursor={page.get('cursor')}"

    def event(self, url: str) -> Any:
        later = to_iso(self.now_ms + MINUTE_MS)
        body = {"payload": "", "destination": url, "scheduledTime": later}
        return self.call("POST", "/api/events", json=body)

    def edited_event(self, url: str) -> None:
        event = self.event(self.answers.url)
        self.call("PUT", f"/api/events/{event['id']}", json={"destination": url})

    def cron_job(self, url: str) -> Any:
        body = {"payload": "", "destination": url, "expression": EVERY_MINUTE}
        return self.call("POST", "/api/cronjobs", json=body)

    def edited_cron_job(self, url: str) -> None:
        job = self.cron_job(self.answers.url)
        self.call("PUT", f"/api/cronjobs/{job['id']}", json={"destination": url})

    def v1_event(self, url: str) -> Any:
        body = {
            **{"eventOwner": "ada@a.example", "callbackUrl": url},
            **{
                "interval": EVERY_MINUTE,
                "endDate": to_iso(self.now_ms + 60 * MINUTE_MS),
            },
        }
        return self.call("POST", "/v1/events", json=body)

    def edited_v1_event(self, url: str) -> None:
        event_id = self.v1_event(self.answers.url)["data"]["eventId"]
        self.call("PATCH", f"/v1/events/{event_id}", json={"callbackUrl": url})


def header_values(headers: dict[str, str]) -> dict[str, str]:
    """Return headers as clients can send them: as bytes, without line breaks."""
    return {
        name: value.replace("\r\n", "").encode().decode("latin-1")
        for name, value in headers.items()
    }


def fields(api: Api) -> dict[str, Callable[[str], object]]:
    """For each field with a URL: a function that sends a URL in this field."""
    messages = {
        "POST /v2/publish/{destination}": partial(api.qstash, "/v2/publish"),
        "POST /v2/enqueue/{queue}/{destination}": partial(api.qstash, "/v2/enqueue/q"),
        "POST /v2/schedules/{destination}": api.schedule,
        "POST /v2/batch": api.batch,
    }
    callbacks = {
        "POST /v2/publish/{destination} query": api.in_query,
        "PATCH /v2/topics/{name}": api.group_default,
        "POST /v2/dlq/retry/{letter_id}": api.retry,
        "POST /v2/dlq/retry": api.retry_many,
    }
    return {
        **{
            f"{route} destination": partial(send, "")
            for route, send in messages.items()
        },
        **{
            f"{route} {name}": partial(send, name)
            for route, send in (messages | callbacks).items()
            for name in (CALLBACK, FAILURE)
        },
        "POST /v2/topics/{name}/endpoints url": api.endpoint,
        "POST /api/events destination": api.event,
        "PUT /api/events/{event_id} destination": api.edited_event,
        "POST /api/cronjobs destination": api.cron_job,
        "PUT /api/cronjobs/{cron_id} destination": api.edited_cron_job,
        "POST /v1/events callbackUrl": api.v1_event,
        "PATCH /v1/events/{event_id} callbackUrl": api.edited_v1_event,
    }


def documented_fields(document: Any) -> Iterator[str]:
    """Yield the names of the documented fields with a URL, as `fields` has them."""
    schemas = document["components"]["schemas"]

    def names(schema: Any) -> Iterator[str]:
        if "$ref" in schema:
            schema = schemas[schema["$ref"].rpartition("/")[2]]
        for name, value in schema.get("properties", {}).items():
            yield name
            yield from names(value)
        yield from names(schema["items"]) if "items" in schema else ()

    for path, item in document["paths"].items():
        for method, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {})
            found = {each["name"] for each in operation["parameters"]}
            for body in content.values():
                found |= {*names(body["schema"])}
            route = path.lower().replace("/v1/event/", "/v1/events/")
            for name in found & URL_FIELDS if method in WRITES else ():
                yield f"{method.upper()} {route} {name}"


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The addresses to which the worker opens sockets; only to ALLOWED in fact."""
    found: set[str] = set()
    start = pool.start_connection

    async def recorded(infos: Any, *, socket_factory: Any, **options: Any) -> Any:
        def open_socket(info: Any) -> Any:
            opened = socket_factory(info)
            found.add(str(info[4][0]))
            if info[4][0] != ALLOWED:
                opened.close()
                raise OSError("not in tests")
            return opened

        return await start(infos, socket_factory=open_socket, **options)

    monkeypatch.setattr(pool, "start_connection", recorded)
    return found


@pytest.fixture(scope="module")
def receivers() -> Iterator[Receivers]:
    with serve_receivers(ALLOWED) as receivers:
        yield receivers


@pytest.fixture
def world(store_url: str) -> World:
    world = World(store_url, allow=f"{ALLOWED}/32")
    world.lookup = Names(ALLOWED).lookup
    return world


@pytest.fixture
def api(world: World, receivers: Receivers) -> Api:
    tenant = world.new_tenant()
    headers = {"x-api-key": tenant.token, "Authorization": f"Bearer {tenant.token}"}
    client = Client(world.app, tenant, headers)
    fails = receivers.new_destination(Answer(status=500))
    return Api(client, world.now_ms, receivers.new_destination(), fails)


def test_s09_no_url_in_any_field_leads_to_a_blocked_address(
    world: World, api: Api, receivers: Receivers, connected: set[str]
) -> None:
    port = urlsplit(api.answers.url).port or 0
    inside = {"Location": f"http://127.0.0.1:{port}/"}
    redirect = receivers.new_destination(Answer(status=307, headers=inside))
    urls, senders = corpus(port), fields(api)
    allowed = {name: receivers.new_destination() for name in senders}
    api.make_letters(LETTERS * (2 + len(urls) // STEP + 1), world)

    for number, (name, send) in enumerate(senders.items()):
        for url in [allowed[name].url, redirect.url, *urls[number % STEP :: STEP]]:
            send(url)
    world.run_for(3 * MINUTE_MS)

    assert connected == {ALLOWED}
    for name, destination in allowed.items():
        assert destination.arrivals, f"{name}: an allowed URL was not requested"
    assert redirect.arrivals


def test_every_documented_field_with_a_url_is_tested(world: World, api: Api) -> None:
    documented = set()
    for dialect in DIALECTS:
        path = f"/openapi/{dialect.DOCUMENT.name}.json"
        answer = world.app.test_client().get(path)
        documented |= {*documented_fields(answer.get_json())}

    assert len(documented) > 15
    assert documented - FILTERS <= set(fields(api))
