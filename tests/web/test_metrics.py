"""Tests of `/metrics` on a real store."""

import asyncio
import pytest
import re
import redis
from collections import Counter
from dataclasses import replace
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from scheduler_api import services
from scheduler_api.app import create_app
from scheduler_api.core.model import Content, Draft, Gates, Owner
from scheduler_api.core.store import claims, keys, statistics
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.epoch import accept, claim_database
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.rq_envelopes import RqEnqueuer
from scheduler_api.core.store.statistics import Counts, DestinationCounts, bucket_of
from scheduler_api.core.tenants.tokens import Tokens
from scheduler_api.settings import Settings
from scheduler_api.web import readiness
from tests.core.engine import TIMEOUTS
from tests.pages import ROOT
from tests.sync_worker import AwaitableClient
from typing import Any, cast

PREFIX = "{s1}:"
PROMETHEUS = ROOT / "docs" / "prometheus"
REMOTE = {"REMOTE_ADDR": "203.0.113.9"}
ORIGIN = "https://shop.example"


@pytest.fixture
def cell(bare_valkey: redis.Redis) -> Cell:
    bare_valkey.flushall()
    claim_database(bare_valkey, PREFIX)
    accept(bare_valkey, PREFIX)
    return Cell(bare_valkey, PREFIX)


def app_on(valkey: str, **changes: Any) -> Flask:
    settings = Settings(redis_url=valkey, secret_key="0123456789abcdef", **changes)
    return create_app(settings)


def count_attempts(cell: Cell) -> None:
    """Count a delivery that was 30 ms late and two failures, as a worker does."""
    counts = Counts(delivered=1, failed=2, late_ms=30)
    counts.causes["http_500"] = 2
    counts.late[bucket_of(30)] = 1
    counts.durations, counts.duration_ms = Counter({bucket_of(200): 3}), 600
    counts.add_destination(ORIGIN, DestinationCounts(1, 2, is_failing=True))
    parts = list(statistics.parts_of({"7": counts}))
    client = cast(Any, AwaitableClient(cell.client))
    asyncio.run(statistics.add_parts(cell, client, parts))


def scrape(http: FlaskClient) -> dict[tuple[str, ...], float]:
    """Return the values by name and labels, in the order of the names of labels."""
    response = http.get("/metrics")
    assert response.status_code == 200, response.text
    return {
        (
            sample.name,
            *(value for _, value in sorted(sample.labels.items())),
        ): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def test_attempts_of_all_workers_and_tenants_are_counted_once(
    cell: Cell, valkey: str
) -> None:
    count_attempts(cell)
    count_attempts(cell)

    found = scrape(app_on(valkey).test_client())

    assert found["scheduler_attempts_total", "", "delivered"] == 2
    assert found["scheduler_attempts_total", "http_500", "failed"] == 4
    assert found["scheduler_lateness_seconds_bucket", "0.025"] == 0
    assert found["scheduler_lateness_seconds_bucket", "0.05"] == 2
    assert found["scheduler_lateness_seconds_count",] == 2
    assert found["scheduler_lateness_seconds_sum",] == 0.06
    assert found["scheduler_attempt_duration_seconds_bucket", "0.1"] == 0
    assert found["scheduler_attempt_duration_seconds_bucket", "0.25"] == 6
    assert found["scheduler_attempt_duration_seconds_sum",] == 1.2
    assert found["scheduler_destination_recent_failures", ORIGIN] == 4


def test_counts_survive_a_new_web_process(cell: Cell, valkey: str) -> None:
    count_attempts(cell)
    scrape(app_on(valkey).test_client())
    count_attempts(cell)

    found = scrape(app_on(valkey).test_client())

    assert found["scheduler_attempts_total", "", "delivered"] == 2


def test_an_event_is_due_until_it_is_claimed(cell: Cell, valkey: str) -> None:
    now_ms = cell.now_ms()
    cell.client.zadd(keys.due(PREFIX), {"past": now_ms - 90_000, "next": now_ms + 1e9})

    found = scrape(app_on(valkey).test_client())

    assert found["scheduler_due",] == 1
    assert found["scheduler_oldest_due_age_seconds",] >= 90


def test_events_are_counted_where_they_are(cell: Cell, valkey: str) -> None:
    store, draft = EventStore(cell), Draft(Content("https://a.example/", b""), 1_000)
    queued = replace(draft, gates=Gates(queue="orders"))
    store.create_many(Owner("7", "qstash"), [draft, queued, queued, queued])
    claims.claim(cell, room=10, timeouts=TIMEOUTS, enqueuer=RqEnqueuer(cell.client))
    statistics.add_totals(cell, claimed=2, lost_leases=1)
    cell.client.zadd(keys.finished(PREFIX, "7:qstash", "dead"), {"a": 1, "b": 2})

    found = scrape(app_on(valkey).test_client())

    assert found["scheduler_created_events_total",] == 4
    assert found["scheduler_claimed_events_total",] == 2
    assert found["scheduler_lost_leases_total",] == 1
    assert found["scheduler_leased_events",] == 2
    assert found["scheduler_waiting_events", "queue"] == 2
    assert found["scheduler_waiting_events", "host_limit"] == 0
    assert found["scheduler_rq_jobs", "deliveries"] == 1
    assert found["scheduler_dead_letters",] == 2


def test_nothing_is_reported_while_the_store_hangs(
    cell: Cell, valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "TIMEOUT_S", 0.05)
    monkeypatch.setattr(services, "TIMEOUT_S", 0.05)
    http = app_on(valkey).test_client()
    scrape(http)
    cell.client.client_pause(500)

    found = scrape(http)

    assert found == {}


def test_what_the_store_refuses_is_left_out(cell: Cell, valkey: str) -> None:
    cell.client.set(keys.totals(PREFIX), "not a hash")

    found = scrape(app_on(valkey).test_client())

    assert ("scheduler_attempts_total", "", "delivered") not in found
    assert ("scheduler_lateness_seconds_count",) not in found
    assert found["scheduler_processes", "web"] == 0
    assert found["scheduler_dead_letters",] == 0


@pytest.mark.parametrize("name", ["rules.yml", "dashboard.json"])
def test_every_metric_of_rules_and_dashboard_exists(
    cell: Cell, valkey: str, name: str
) -> None:
    text = app_on(valkey).test_client().get("/metrics").text
    families = {*re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE)}
    used = re.findall(r"scheduler_\w+", (PROMETHEUS / name).read_text())

    assert len(used) > 5
    assert {each.removesuffix("_bucket") for each in used} <= families


def test_the_page_describes_every_metric(cell: Cell, valkey: str) -> None:
    text = app_on(valkey).test_client().get("/metrics").text
    page = (PROMETHEUS.parent / "metrics.md").read_text()

    described = re.findall(r"^\| `(scheduler_\w+)` \| (\w+) \|", page, re.MULTILINE)
    assert sorted(described) == sorted(re.findall(r"^# TYPE (\w+) (\w+)", text, re.M))


def test_missing_processes_are_reported_as_none(cell: Cell, valkey: str) -> None:
    found = scrape(app_on(valkey).test_client())

    assert found["scheduler_processes", "worker"] == 0
    assert found["scheduler_processes", "ticker"] == 0
    assert found["scheduler_processes", "chores"] == 0


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
def test_others_are_refused(cell: Cell, valkey: str, headers: dict[str, str]) -> None:
    http = app_on(valkey).test_client()

    response = http.get("/metrics", headers=headers, environ_base=REMOTE)

    assert response.status_code == 401


def test_a_proxied_request_is_not_from_this_machine(cell: Cell, valkey: str) -> None:
    http = app_on(valkey).test_client()

    response = http.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"})

    assert response.status_code == 401


@pytest.mark.parametrize("read_only", [False, True])
def test_an_operator_may_scrape(cell: Cell, valkey: str, read_only: bool) -> None:
    token = Tokens(cell).create(None, "prometheus", read_only=read_only)
    headers = {"Authorization": f"Bearer {token}"}

    response = (
        app_on(valkey)
        .test_client()
        .get("/metrics", headers=headers, environ_base=REMOTE)
    )

    assert response.status_code == 200


def test_a_system_for_experiments_is_open(cell: Cell, valkey: str) -> None:
    http = app_on(valkey, receiver=True).test_client()

    assert http.get("/metrics", environ_base=REMOTE).status_code == 200


@pytest.mark.parametrize("path", ["/metrics", "/readyz", "/"])
def test_a_port_of_its_own_serves_metrics_to_anyone_and_nothing_else(
    cell: Cell, valkey: str, path: str
) -> None:
    app = app_on(valkey, metrics_address="0.0.0.0:9180", allowed_hosts=("a.example",))
    own = {"SERVER_PORT": "9180", **REMOTE}

    response = app.test_client().get(path, environ_overrides=own)

    assert response.status_code == (200 if path == "/metrics" else 404)
    assert ("scheduler_due 0" in response.text) == (path == "/metrics")


def test_a_client_cannot_name_the_port_of_the_metrics(cell: Cell, valkey: str) -> None:
    http = app_on(valkey, metrics_address="127.0.0.1:9180").test_client()
    headers = {"Host": "a.example:9180", "X-Forwarded-Port": "9180"}

    response = http.get("/metrics", headers=headers, environ_overrides=REMOTE)

    assert response.status_code == 401
