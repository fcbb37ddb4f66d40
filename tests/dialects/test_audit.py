"""Tests that changes over HTTP are in the audit log, with the name of the token."""

import pytest
import re
from collections.abc import Callable
from scheduler_api.core.store import audit, keys
from scheduler_api.core.store.audit import Record
from scheduler_api.dialects.inbound import DIALECTS
from scheduler_api.web import openapi
from scheduler_api.web.access import TENANT_HEADER
from tests.dialects.engine import Web
from tests.dialects.furnished import NAME, Furnished, furnish, hook
from typing import Any

HOOK = hook(NAME)
# Requests of a `Furnished` tenant in order, and what the audit log records of each.
CHANGES: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("POST", "/v2/queues/{name}/pause", {}, "queue.pause", NAME),
    ("POST", "/v2/queues/{name}/resume", {}, "queue.resume", NAME),
    (
        *("POST", "/v2/queues"),
        {"json": {"queueName": NAME, "parallelism": 3}},
        *("queue.put", NAME),
    ),
    ("DELETE", "/v2/queues/{name}", {}, "queue.delete", NAME),
    ("POST", "/v2/flowControl/{key}/pause", {}, "flow.pause", NAME),
    ("POST", "/v2/flowControl/{key}/resume", {}, "flow.resume", NAME),
    ("POST", "/v2/flowControl/{key}/pin?rate=3", {}, "flow.pin", NAME),
    ("POST", "/v2/flowControl/{key}/unpin?rate=true", {}, "flow.unpin", NAME),
    ("POST", "/v2/schedules/{schedule_id}/pause", {}, "schedule.state", "schedule_id"),
    ("POST", "/v2/schedules/{schedule_id}/resume", {}, "schedule.state", "schedule_id"),
    ("POST", "/v2/dlq/retry?label=none", {}, "dead_letters.retry", "label=none"),
    ("DELETE", "/v2/dlq?dlqIds=1-a", {}, "dead_letters.delete", "dlqIds=1-a"),
    ("DELETE", f"/v2/messages?url={HOOK}", {}, "messages.cancel", "url"),
    ("DELETE", "/v2/messages", {}, "messages.cancel", "all"),
    (
        *("PATCH", "/v2/topics/{name}"),
        {"json": {"headers": {"Upstash-Retries": ["1"]}}},
        *("group.defaults", NAME),
    ),
    (
        *("POST", "/v2/topics/{name}/endpoints"),
        {"json": {"endpoints": [{"url": f"{HOOK}/second"}]}},
        *("group.add", NAME),
    ),
    (
        *("DELETE", "/v2/topics/{name}/endpoints"),
        {"json": {"endpoints": [{"url": HOOK}]}},
        *("group.remove", NAME),
    ),
    ("DELETE", "/v2/topics/{name}", {}, "group.delete", NAME),
    ("POST", "/v2/keys/rotate", {}, "keys.rotate", "qstash"),
    ("POST", "/v1/events/{event_id}/pause", {}, "schedule.state", "event_id"),
    ("POST", "/v1/events/{event_id}/resume", {}, "schedule.state", "event_id"),
    (
        *("PUT", "/api/cronjobs/{cron_id}"),
        {"json": {"status": "Disabled"}},
        *("schedule.state", "cron_id"),
    ),
    ("DELETE", "/v2/schedules/{schedule_id}", {}, "schedule.delete", "schedule_id"),
    ("DELETE", "/v1/events/{event_id}", {}, "schedule.delete", "event_id"),
    ("DELETE", "/api/cronjobs/{cron_id}", {}, "schedule.delete", "cron_id"),
]
# Routes whose changes are the daily traffic of applications. They are in the logs of
# events, or in no log.
TRAFFIC = re.compile(
    r"POST /api/events|PUT /api/events/|POST /api/cron[Jj]obs|"
    r"POST /v1/register|POST /v1/events?($|/[^/]+/(run|attempts))|PATCH /v1/events?/|"
    r"POST /v2/(publish|enqueue|batch|schedules($|/<rest))|"
    r"DELETE /v2/(messages|dlq)/|"
    r"POST /v2/dlq/retry/|POST /v2/schedules/<\w+>/run"
)


@pytest.fixture
def furnished(make_web: Callable[..., Web]) -> Furnished:
    furnished = furnish(make_web())
    cell = furnished.web.cell
    cell.client.delete(keys.audit(cell.prefix, furnished.web.tenant.id))
    return furnished


def log(furnished: Furnished) -> list[Record]:
    """The records of changes over HTTP, oldest first."""
    tenant = furnished.web.tenant.id
    return audit.newest(furnished.web.cell, tenant, count=100)[::-1]


def test_each_change_is_recorded_with_the_name_of_the_token(
    furnished: Furnished,
) -> None:
    ids = {"v1": "events_v1", "v2": "qstash", "api": "jiter"}
    for method, path, options, action, name in CHANGES:
        values = furnished.ids[ids[path.split("/")[1]]]
        before = log(furnished)
        furnished.make(method, path.format(**values), **options)

        [record] = log(furnished)[len(before) :]
        assert (record.change.by, record.change.action) == ("first", action), path
        assert record.change.object == str(values.get(name, name))
        assert record.before != record.after
    assert furnished.web.tenant.secrets["qstash.next"] not in str(log(furnished))
    assert HOOK not in str(log(furnished))


def test_every_other_route_that_changes_something_is_traffic(
    furnished: Furnished,
) -> None:
    recorded = [
        (method, re.sub(r"\{\w+\}", "x", path.partition("?")[0]))
        for method, path, *_ in CHANGES
    ]
    match = furnished.web.app.url_map.bind("localhost").match
    endpoints = {match(path, method=method)[0] for method, path in recorded}
    missing = {
        f"{method} {rule.rule}"
        for dialect in DIALECTS
        for rule, method, _ in openapi.views(furnished.web.app, dialect.DOCUMENT)
        if method != "GET" and rule.endpoint not in endpoints
    }

    others = {each for each in missing if not TRAFFIC.match(each)}
    assert others == {
        # Recorded only if attempts count towards the rate.
        "POST /v2/flowControl/<key:key>/resetRate",
        # The same views as with the other method.
        "PATCH /v2/schedules/<schedule_id>/pause",
        "PATCH /v2/schedules/<schedule_id>/resume",
    }


def test_an_operator_is_recorded_in_the_log_of_the_tenant(furnished: Furnished) -> None:
    operator = furnished.web.tenants.tokens.create(None, "ops")
    headers = {TENANT_HEADER: furnished.web.tenant.id}

    path = f"/v2/queues/{NAME}/pause"
    assert furnished.call("POST", path, token=operator, headers=headers)[0] == 200

    assert [record.change.by for record in log(furnished)] == ["ops (operator)"]


def test_a_refused_change_is_not_recorded(furnished: Furnished) -> None:
    assert furnished.call("POST", "/v2/queues/other/pause")[0] == 404
    assert furnished.call("DELETE", "/v2/messages?unknown=1")[0] == 400
    assert furnished.call("POST", "/v2/schedules/other/pause")[0] == 404

    assert log(furnished) == []


def test_a_bulk_call_is_recorded_with_a_few_ids_and_their_number(
    furnished: Furnished,
) -> None:
    ids = [f"1-{number}" for number in range(60)]

    furnished.make("DELETE", f"/v2/dlq?dlqIds={','.join(ids)}")

    assert log(furnished)[-1].change.object == (
        "dlqIds=1-0,1-1,1-2,1-3,1-4 and 55 more"
    )


def test_a_cut_object_of_a_change_has_a_mark(furnished: Furnished) -> None:
    furnished.make("DELETE", f"/v2/messages?label={'x' * 300}")

    recorded = log(furnished)[-1].change.object
    assert (len(recorded), recorded[-1]) == (audit.MAX_OBJECT_LENGTH, "\u2026")
