"""Tests of the limits of tenants, and of what each API answers at a limit."""

import pytest
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from scheduler_api.core.model import Content, Draft, Owner, State
from scheduler_api.core.settings.limits import TenantLimits
from scheduler_api.core.store import keys
from scheduler_api.core.tenants import usage
from scheduler_api.core.tenants.limits import Limits
from tests.dialects.engine import Web
from typing import Any

Make = Callable[..., Web]
LATER = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
DIALECTS = ("jiter", "qstash", "events_v1")
MANY = 3
LONG_S = 60


def create(web: Web, dialect: str, **headers: str) -> Any:
    """Create an event, or in Scheduler v1 a schedule; return the response."""
    token = web.tenant.token
    client = web.app.test_client()
    if dialect == "qstash":
        return client.post(
            "/v2/publish/http://a.example/",
            data="payload",
            headers={"Authorization": f"Bearer {token}", "Upstash-Delay": "1h"}
            | headers,
        )
    if dialect == "jiter":
        body = {"payload": "x", "destination": "http://a.example/"}
        return client.post(
            "/api/events",
            json=body | {"scheduledTime": LATER},
            headers={"x-api-key": token} | headers,
        )
    body = {
        "callbackUrl": "http://a.example/",
        "eventOwner": "a@example.com",
        "interval": "0 0 1 1 *",
        "endDate": "2999-09-02T05:11:59.708Z",
    }
    return client.post("/v1/events", json=body, headers={"x-api-key": token} | headers)


def message_of(answer: Any) -> str:
    body = answer.get_json()
    text = body.get("error") if set(body) == {"error"} else body["message"]
    return text[0] if isinstance(text, list) else text


def begin_long_second(web: Web) -> str:
    """Begin a second that does not end during the test; return its key."""
    key = keys.requests_now(web.cell.prefix, web.tenant.id)
    web.cell.client.set(key, 0, ex=LONG_S)
    return key


def stored(web: Web) -> int:
    owners = [f"{web.tenant.id}:{each}" for each in DIALECTS]
    return usage.pending(web.cell, owners)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_requests_beyond_the_limit_of_a_second_are_answered_with_429(
    make_web: Make, dialect: str
):
    web = make_web(tenant_requests_per_s=MANY)
    begin_long_second(web)
    allowed = [create(web, dialect).status_code for _ in range(MANY)]

    answer = create(web, dialect)

    assert max(allowed) < 300
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "1"
    assert message_of(answer).startswith("At most 3 requests per second are allowed")
    assert stored(web) == MANY


def test_qstash_tells_the_limit_and_its_reset_as_a_burst_limit(make_web: Make):
    web = make_web(tenant_requests_per_s=1)
    begin_long_second(web)
    create(web, "qstash")
    before_s = int(time.time())

    answer = create(web, "qstash")

    assert answer.status_code == 429
    assert answer.headers["Burst-RateLimit-Limit"] == "1"
    assert answer.headers["Burst-RateLimit-Remaining"] == "0"
    reset_s = int(answer.headers["Burst-RateLimit-Reset"])
    assert before_s < reset_s <= time.time() + LONG_S + 1
    assert not any(name.lower() == "ratelimit-limit" for name, _ in answer.headers)


def test_requests_are_allowed_again_when_the_second_has_ended(make_web: Make):
    web = make_web(tenant_requests_per_s=1)
    key = begin_long_second(web)
    create(web, "qstash")
    assert create(web, "qstash").status_code == 429

    web.cell.client.delete(key)

    assert create(web, "qstash").status_code == 201
    assert web.cell.client.pttl(key) <= 1_000


def test_the_requests_of_a_tenant_count_in_all_apis_together(make_web: Make):
    web = make_web(tenant_requests_per_s=2)
    begin_long_second(web)
    create(web, "jiter")
    create(web, "qstash")

    assert create(web, "events_v1").status_code == 429


@pytest.mark.parametrize(
    ("dialect", "status"), [("jiter", 400), ("qstash", 412), ("events_v1", 400)]
)
@pytest.mark.parametrize(
    ("limit", "text"),
    [
        ({"tenant_pending_events": MANY}, "At most 3 unfinished events and schedules"),
        ({"tenant_stored_bytes": 1}, "At most 1 bytes of content may be stored"),
    ],
)
def test_what_exceeds_a_limit_is_refused_before_anything_is_stored(
    make_web: Make, dialect: str, status: int, limit: dict[str, int], text: str
):
    web = make_web(**limit)
    count_bytes(web)
    while stored(web) < MANY and create(web, dialect).status_code < 300:
        pass
    before = web.cell.client.dbsize()

    answer = create(web, dialect)

    assert answer.status_code == status
    assert message_of(answer).startswith(text)
    assert stored(web) == (MANY if "tenant_pending_events" in limit else 0)
    assert web.cell.client.dbsize() == before


def count_bytes(web: Web) -> int:
    owners = [f"{web.tenant.id}:{each}" for each in DIALECTS]
    return usage.recount(web.cell, web.tenant.id, owners)


def test_room_comes_back_when_an_event_ends(make_web: Make):
    web = make_web(tenant_pending_events=1)
    [event_id] = [create(web, "qstash").get_json()["messageId"].removeprefix("msg_")]
    assert create(web, "qstash").status_code == 412

    web.store.cancel(web.owner("qstash"), [event_id])

    assert create(web, "qstash").status_code == 201


def test_a_repeated_request_at_the_limit_gets_its_first_answer(make_web: Make):
    web = make_web(tenant_pending_events=1)
    qstash = {"Upstash-Deduplication-Id": "a"}
    first = create(web, "qstash", **qstash)

    again = create(web, "qstash", **qstash)

    assert (first.status_code, again.status_code) == (201, 202)
    assert again.get_json()["messageId"] == first.get_json()["messageId"]


def test_concurrent_requests_do_not_exceed_the_limit(make_web: Make):
    web = make_web(tenant_pending_events=10)

    with ThreadPoolExecutor(8) as pool:
        statuses = list(
            pool.map(lambda _: create(web, "qstash").status_code, range(30))
        )

    assert statuses.count(201) == 10 and statuses.count(412) == 20
    assert stored(web) == 10


def test_a_batch_stores_as_many_items_as_there_is_room(make_web: Make):
    web = make_web(tenant_pending_events=MANY)
    items = [{"destination": "http://a.example/", "delay": "1h"}] * 5

    answer = web.app.test_client().post(
        "/v2/batch",
        json=items,
        headers={"Authorization": f"Bearer {web.tenant.token}"},
    )

    results = answer.get_json()
    assert answer.status_code == 200
    assert ["error" in each for each in results] == [False] * 3 + [True] * 2
    assert results[3]["error"].startswith("At most 3 unfinished events")
    assert stored(web) == MANY


def test_a_message_to_a_group_is_stored_for_all_endpoints_or_none(make_web: Make):
    web = make_web(tenant_pending_events=MANY)
    client, headers = (
        web.app.test_client(),
        {"Authorization": f"Bearer {web.tenant.token}", "Upstash-Delay": "1h"},
    )
    endpoints = [{"url": f"http://{name}.example/"} for name in ("a", "b", "c", "d")]
    path = "/v2/topics/group/endpoints"
    client.post(path, json={"endpoints": endpoints}, headers=headers)

    refused = client.post("/v2/publish/group", headers=headers)
    client.delete(path, json={"endpoints": endpoints[:1]}, headers=headers)
    accepted = client.post("/v2/publish/group", headers=headers)

    assert (refused.status_code, accepted.status_code) == (412, 201)
    assert len(accepted.get_json()) == stored(web) == MANY


def test_stored_bytes_are_counted_from_the_content_and_corrected(make_web: Make):
    web = make_web(tenant_stored_bytes=1_000_000)
    owner, client = web.owner("jiter"), web.cell.client
    count_bytes(web)
    for dialect in DIALECTS:
        assert create(web, dialect).status_code < 300
    since = usage.stored_bytes(web.cell, web.tenant.id)

    assert since == count_bytes(web) > 100
    assert usage.stored_bytes(web.cell, web.tenant.id) == since
    [event_id] = client.zrange(
        keys.by_time(web.cell.prefix, str(owner), State.ACTIVE), 0, -1
    )
    web.store.cancel(owner, [event_id.decode()])
    web.store.forget([event_id.decode()], before_ms=web.cell.now_ms() + 1)
    assert usage.stored_bytes(web.cell, web.tenant.id) == since
    assert count_bytes(web) < since


def test_large_content_counts_with_its_full_length(make_web: Make):
    web = make_web(tenant_stored_bytes=100_000)
    count_bytes(web)
    body = b"x" * 60_000

    answers = [
        web.app.test_client().post(
            "/v2/publish/http://a.example/",
            data=body,
            headers={
                "Authorization": f"Bearer {web.tenant.token}",
                "Upstash-Delay": "1h",
            },
        )
        for _ in range(2)
    ]

    assert [each.status_code for each in answers] == [201, 412]
    assert 60_000 < (usage.stored_bytes(web.cell, web.tenant.id) or 0) < 100_000
    assert len(web.cell.client.keys("*b:*")) == 1


def test_bytes_are_limited_before_a_chore_has_counted_them(make_web: Make):
    web = make_web(tenant_stored_bytes=300)

    statuses = [create(web, "qstash").status_code for _ in range(10)]

    assert statuses[0] == 201 and statuses[-1] == 412
    assert sorted(statuses) == statuses
    used = usage.stored_bytes(web.cell, web.tenant.id)
    assert used == count_bytes(web) <= 300


def test_content_from_before_the_limit_is_added_by_the_first_count(make_web: Make):
    create(make_web(), "qstash")
    web = make_web(tenant_stored_bytes=1_000)
    owners = ["1:qstash"]
    old = usage.recount(web.cell, "1", owners)

    assert old > 50
    assert usage.stored_bytes(web.cell, "1") == old


def test_a_removed_tenant_leaves_no_record(make_web: Make):
    web = make_web(tenant_stored_bytes=1_000)
    key = keys.tenant(web.cell.prefix, web.tenant.id)
    assert create(web, "qstash").status_code == 201
    web.cell.client.delete(key)

    assert create(web, "qstash").status_code == 201

    assert count_bytes(web) == 0
    assert not web.cell.client.exists(key)


def test_a_tenant_may_have_limits_of_its_own(make_web: Make):
    web = make_web(tenant_pending_events=1)
    other = web.tenants.create("other")
    defaults = TenantLimits(pending_events=1)
    limits = Limits(web.cell, defaults, DIALECTS)

    limits.set(web.tenant.id, {"pending_events": 2}, by="test")

    assert [create(web, "qstash").status_code for _ in range(3)] == [201, 201, 412]
    assert limits.of(web.tenant.id).pending_events == 2
    assert limits.of(other.id).pending_events == 1
    limits.set(web.tenant.id, {"pending_events": None}, by="test")
    assert limits.of(web.tenant.id).pending_events == 1


def test_without_limits_nothing_is_counted(make_web: Make):
    web = make_web()

    for dialect in DIALECTS:
        assert create(web, dialect).status_code < 300

    assert web.cell.client.keys("*rps:*") == []
    assert usage.stored_bytes(web.cell, web.tenant.id) is None


def test_events_that_nobody_requested_are_not_refused(make_web: Make):
    web = make_web(tenant_pending_events=1)
    create(web, "qstash")
    draft = Draft(Content("http://a.example/", b""), 1_000)

    [accepted] = web.store.create_many(Owner(web.tenant.id, "qstash"), [draft])

    assert accepted.verdict == "ok"


def test_an_edit_may_not_store_more_content_than_there_is_room(make_web: Make):
    web = make_web(tenant_stored_bytes=1_000)
    event_id = create(web, "jiter").get_json()["id"]
    before = usage.stored_bytes(web.cell, web.tenant.id)

    def edit(payload: str) -> Any:
        return web.app.test_client().put(
            f"/api/events/{event_id}",
            json={"payload": payload},
            headers={"x-api-key": web.tenant.token},
        )

    assert edit("x" * 100).status_code == 200
    assert usage.stored_bytes(web.cell, web.tenant.id) == (before or 0) + 99
    for payload in ("x" * 2_000, "x" * 50_000):
        answer = edit(payload)
        assert answer.status_code == 400
        assert message_of(answer).startswith("At most 1000 bytes of content")
    assert edit("x").status_code == 200
    assert usage.stored_bytes(web.cell, web.tenant.id) == before == count_bytes(web)


def test_a_tenant_over_its_limit_can_still_pause_and_shorten(make_web: Make):
    web = make_web()
    headers = {"x-api-key": web.tenant.token}
    path = f"/v1/events/{create(web, 'events_v1').get_json()['data']['eventId']}"
    limits = Limits(web.cell, TenantLimits(), DIALECTS)
    limits.set(web.tenant.id, {"stored_bytes": 1, "pending_events": 1}, by="test")
    count_bytes(web)
    # An application that has not cached the limits.
    client = make_web().app.test_client()

    assert client.post(f"{path}/pause", headers=headers).status_code == 200
    longer = client.patch(path, json={"context": {"a": "x" * 500}}, headers=headers)
    assert longer.status_code == 400
    assert message_of(longer).startswith("At most 1 bytes of content")
    assert client.post(f"{path}/resume", headers=headers).status_code == 200


@pytest.mark.parametrize("reason", ["bytes", "full"])
def test_refused_content_does_not_stay_in_the_store(make_web: Make, reason: str):
    web = make_web(tenant_stored_bytes=3_000 if reason == "bytes" else 0)
    client, large = web.app.test_client(), "x" * 50_000
    auth = {
        "x-api-key": web.tenant.token,
        "Authorization": f"Bearer {web.tenant.token}",
    }
    event_id = create(web, "jiter").get_json()["id"]
    cron = {
        "payload": "x",
        "destination": "http://a.example/",
        "expression": "0 0 * * *",
    }
    job = client.post("/api/cronjobs", json=cron, headers=auth).get_json()["id"]
    past = {"payload": large, "scheduledTime": "2001-01-01T00:00:00.000Z"}
    if reason == "full":
        web.cell.client.set(keys.full(web.cell.prefix), 1)

    def content() -> set[bytes]:
        found = web.cell.client.scan_iter()
        return {key for key in found if b":b:" in key or b":t:" in key}

    stored = content()
    answers = [
        client.post("/api/cronjobs", json=cron | {"payload": large}, headers=auth),
        client.post(
            "/v2/schedules/http://a.example/",
            data=large,
            headers=auth | {"Upstash-Cron": "0 0 * * *"},
        ),
        client.post("/v2/publish/http://a.example/", data=large, headers=auth),
        client.put(f"/api/events/{event_id}", json=past, headers=auth),
    ]
    if reason == "bytes":
        path = f"/api/cronjobs/{job}"
        answers.append(client.put(path, json={"payload": large}, headers=auth))

    assert all(answer.status_code >= 400 for answer in answers), answers
    assert content() == stored


def test_previews_are_counted_as_requests(make_web: Make):
    web = make_web(tenant_requests_per_s=1)
    begin_long_second(web)

    answers = [
        web.app.test_client().get(
            "/cron/preview?expression=*+*+*+*+*",
            headers={"x-api-key": web.tenant.token},
        )
        for _ in range(2)
    ]

    assert [answer.status_code for answer in answers] == [200, 429]
    assert "At most 1 requests per second" in answers[1].get_json()["error"]
