"""Tests of URL groups: their endpoints, and messages and schedules sent to groups."""

import pytest
from collections.abc import Callable
from scheduler_api.core.store import claims, keys
from scheduler_api.core.store.id_sequence import BLOCK
from scheduler_api.core.store.records import SCHEDULE
from scheduler_api.core.tenants.url_groups import MAX_ENDPOINTS, Groups
from tests.core.function_calls import count_function_calls
from tests.dialects.engine import TIMEOUTS
from typing import Any

Make = Callable[..., Any]
NOT_FOUND = "topic g not found: no url group has this name"
A, B = "https://a.example/?x=1&y=%2F", "https://b.example/"
ENDPOINTS = [{"url": A, "name": "first"}, {"url": B}]


def add(api: Any, endpoints: Any = ENDPOINTS, *, group: str = "g") -> Any:
    path = f"/v2/topics/{group}/endpoints"
    return api.call("POST", path, json={"endpoints": endpoints})


def remove(api: Any, *endpoints: Any, group: str = "g") -> Any:
    path = f"/v2/topics/{group}/endpoints"
    return api.call("DELETE", path, json={"endpoints": endpoints})


def get(api: Any, group: str = "g") -> Any:
    return api.call("GET", f"/v2/topics/{group}")


@pytest.fixture
def group(api: Any) -> Any:
    assert add(api) == (200, None)
    return api


def test_a_group_is_created_with_its_first_endpoints(group: Any) -> None:
    status, url_group = get(group)

    assert status == 200
    assert url_group.pop("createdAt") == url_group.pop("updatedAt") > 1_700_000_000_000
    assert url_group == {"name": "g", "endpoints": ENDPOINTS}
    assert [each["name"] for each in group.call("GET", "/v2/topics/")[1]] == ["g"]


def test_adding_the_same_url_renames_the_endpoint(group: Any) -> None:
    add(group, [{"url": B, "name": "second"}, {"url": A, "name": None}])

    assert get(group)[1]["endpoints"] == [{"url": A}, {"url": B, "name": "second"}]


def test_a_group_is_deleted_with_its_last_endpoint(group: Any) -> None:
    assert remove(group, {"name": "first"}, {"url": "https://unknown/"}) == (200, None)
    assert get(group)[1]["endpoints"] == [{"url": B}]
    assert remove(group, {"url": B, "name": "whatever"}) == (200, None)

    assert get(group)[0] == 404
    assert group.call("DELETE", "/v2/topics/g") == (200, None)
    assert remove(group, {"url": B}) == (404, {"error": NOT_FOUND})


@pytest.mark.parametrize(
    ("endpoints", "error_start"),
    [
        ([], "endpoints should have at least one"),
        ("x", "endpoints should be a list of objects"),
        (["x"], "endpoints should be a list of objects"),
        ([{}], "endpoints should each have a url"),
        ([{"url": 1}], "endpoints: url should be a text"),
        ([{"url": "h.com"}], "invalid destination url: endpoint has invalid scheme"),
        ([{"url": "http://[::1]/"}], "invalid destination url: endpoint resolves to"),
        ([{"url": A, "name": "x" * 257}], "endpoints: name should have at most 256"),
        ([{"url": A, "name": "\n"}], "endpoints: name should have no control"),
        (
            [{"url": f"{B}{n}"} for n in range(MAX_ENDPOINTS - 1)],
            "endpoints should be at most 500 in one url group",
        ),
    ],
)
def test_invalid_endpoints_are_refused_and_change_nothing(
    group: Any, endpoints: Any, error_start: str
) -> None:
    status, answer = add(group, endpoints)

    assert (status, answer["error"].startswith(error_start)) == (400, True), answer
    assert get(group)[1]["endpoints"] == ENDPOINTS


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"endpoints": null}'])
def test_bad_bodies_are_refused(group: Any, body: bytes) -> None:
    for method in ("POST", "DELETE"):
        assert group.call(method, "/v2/topics/g/endpoints", data=body)[0] == 400
    assert group.call("PATCH", "/v2/topics/g", data=body)[0] == 400
    assert remove(group, {})[0] == 400


def test_a_bad_name_is_refused(group: Any) -> None:
    status, answer = add(group, group="a b")

    assert status == 400
    assert answer["error"].startswith("url group should be 1 to 256 letters")


def test_publishing_makes_a_message_for_each_endpoint(group: Any) -> None:
    path = "/v2/publish/g?upstash-label=l"
    status, answers = group.call("POST", path, data=b"hello")
    assert (status, [each["url"] for each in answers]) == (201, [A, B])
    messages = [group.message(each["messageId"]) for each in answers]

    assert [message["url"] for message in messages] == [A, B]
    assert [message.get("endpointName") for message in messages] == ["first", None]
    for message in messages:
        assert (message["topicName"], message["body"]) == ("g", "hello")
        assert message["label"] == "l"
    logs = group.logs("?topicName=g&state=CREATED")["logs"]
    assert {each["messageId"] for each in logs} == {
        each["messageId"] for each in answers
    }


def test_enqueueing_puts_each_message_into_the_queue(group: Any) -> None:
    status, answers = group.call("POST", "/v2/enqueue/line/g", data=b"x")

    assert (status, len(answers)) == (201, 2)
    for each in answers:
        assert group.message(each["messageId"])["queueName"] == "line"


def test_a_batch_nests_the_answers_of_a_group(group: Any) -> None:
    items = [{"destination": to} for to in (A, "g", "none", "g")]
    status, answers = group.call("POST", "/v2/batch", json=items)

    assert status == 200
    assert answers[0]["url"] == A
    assert [each["url"] for each in answers[1]] == [A, B]
    assert answers[2]["error"].startswith("topic none not found")
    ids = [each["messageId"] for each in (*answers[1], *answers[3])]
    assert len(set(ids)) == 4


def test_a_batch_of_many_parts_answers_every_item_in_order(group: Any) -> None:
    items = [{"destination": "g" if n % 3 else f"{B}{n}"} for n in range(400)]
    _, answers = group.call("POST", "/v2/batch", json=items)

    for n, answer in enumerate(answers):
        urls = [each["url"] for each in answer] if n % 3 else answer["url"]
        assert urls == ([A, B] if n % 3 else f"{B}{n}")


def test_the_messages_that_groups_in_a_batch_make_are_limited(make_api: Make) -> None:
    api = make_api(batch_limit=3)
    add(api)
    items = [{"destination": to} for to in ("g", "g", A)]
    _, answers = api.call("POST", "/v2/batch", json=items)

    assert len(answers[0]) == 2
    assert answers[1]["error"].startswith("destination would exceed the batch")
    assert answers[2]["url"] == A


def test_each_endpoint_is_deduplicated_separately(group: Any) -> None:
    once = {"headers": {"Upstash-Deduplication-Id": "once"}}
    first = group.call("POST", "/v2/publish/g", **once)[1]
    again = group.call("POST", "/v2/publish/g", **once)
    assert again == (202, [each | {"deduplicated": True} for each in first])
    add(group, [{"url": "https://c.example/"}])

    status, answers = group.call("POST", "/v2/publish/g", **once)
    assert status == 201
    assert [each.get("deduplicated", False) for each in answers] == [True, True, False]
    assert "deduplicated" not in group.call("POST", f"/v2/publish/{A}", **once)[1]


def test_content_for_a_group_never_duplicates_content_for_a_url(group: Any) -> None:
    same = {"headers": {"Upstash-Content-Based-Deduplication": "true"}, "data": b"x"}
    group.call("POST", f"/v2/publish/{A}", **same)

    assert group.call("POST", "/v2/publish/g", **same)[0] == 201
    assert group.call("POST", "/v2/publish/g", **same)[0] == 202


def test_one_call_stores_the_messages_to_all_endpoints(group: Any) -> None:
    add(group, [{"url": f"{B}{n}"} for n in range(MAX_ENDPOINTS - 2)])
    group.call("POST", "/v2/publish/g")
    before = count_function_calls(group.cell.client)
    _, answers = group.call("POST", "/v2/publish/g", data=b"x" * 5_000)

    assert len({each["messageId"] for each in answers}) == MAX_ENDPOINTS
    calls_for_ids = MAX_ENDPOINTS // BLOCK
    assert count_function_calls(group.cell.client) - before == 1 + calls_for_ids


def test_s18_the_messages_of_a_group_share_a_large_body(group: Any) -> None:
    body = b"x" * 100_000
    client, prefix = group.cell.client, group.cell.prefix

    _, answers = group.call("POST", "/v2/publish/g", data=body)

    bodies = client.keys(f"{prefix}*b:*")
    assert sum(client.strlen(each) for each in bodies) < len(body) + 2_000
    for each in answers:
        _, message = group.call("GET", f"/v2/messages/{each['messageId']}")
        assert message["body"] == body.decode()


def test_a_full_store_accepts_no_message_of_a_group(group: Any) -> None:
    group.cell.client.set(keys.full(group.cell.prefix), "1")

    status, _ = group.call("POST", "/v2/publish/g")
    assert status == 503
    assert group.logs()["logs"] == []


def test_a_groups_headers_are_defaults_for_publishers(group: Any) -> None:
    headers = {"Upstash-Retries": "7", "upstash-forward-x": ["1", "2"]}
    path = "/v2/topics/g"
    assert group.call("PATCH", path, json={"headers": headers}) == (200, None)
    url_group = get(group)[1]
    assert url_group["headers"] == {
        "Upstash-Retries": ["7"],
        "Upstash-Forward-X": ["1", "2"],
    }

    plain = group.call("POST", "/v2/publish/g")[1][0]
    other = group.call("POST", "/v2/publish/g", headers={"Upstash-Retries": "1"})[1][0]
    _, [[batched, _]] = group.call("POST", "/v2/batch", json=[{"destination": "g"}])
    assert group.message(plain["messageId"])["header"]["X"] == ["1", "2"]
    assert group.message(batched["messageId"])["header"]["X"] == ["1", "2"]
    retries = [group.message(x["messageId"])["maxRetries"] for x in (plain, other)]
    assert retries == [7, 1]
    url = group.call("POST", f"/v2/publish/{A}")[1]
    assert group.message(url["messageId"])["maxRetries"] == 3
    assert group.call("PATCH", path, json={"headers": {}}) == (200, None)
    assert "headers" not in get(group)[1]


@pytest.mark.parametrize(
    ("headers", "error_start"),
    [
        (None, "headers should be an object"),
        ({"Upstash-Retries": "x"}, "Upstash-Retries should be a whole number"),
        ({"Upstash-Retries": 3}, "Upstash-Retries should be a text or a list"),
        ({"X-Test": "1"}, "X-Test should be Content-Type or begin with Upstash-"),
        ({"Upstash-Callback": "http://[::1]/"}, "Upstash-Callback: endpoint resolves"),
    ],
)
def test_invalid_headers_of_a_group_are_refused(
    group: Any, headers: Any, error_start: str
) -> None:
    status, answer = group.call("PATCH", "/v2/topics/g", json={"headers": headers})

    assert (status, answer["error"].startswith(error_start)) == (400, True), answer
    assert "headers" not in get(group)[1]


def test_headers_of_an_unknown_group_are_refused(group: Any) -> None:
    assert group.call("PATCH", "/v2/topics/x", json={"headers": {}})[0] == 404


def test_tenants_do_not_see_each_others_groups(group: Any, make_api: Make) -> None:
    other = make_api()

    assert other.call("GET", "/v2/topics") == (200, [])
    assert get(other)[0] == remove(other, {"url": A})[0] == 404
    assert other.call("POST", "/v2/publish/g")[0] == 404
    assert other.call("DELETE", "/v2/topics/g")[0] == 200
    assert add(other, [{"url": B}]) == (200, None)
    assert get(group)[1]["endpoints"] == ENDPOINTS


def run_without_group(api: Any) -> None:
    """Run the only schedule, and let the run fail as if the URL group were missing."""
    index = keys.schedules(api.cell.prefix, str(api.owner))
    [internal_id] = api.cell.client.zrange(index, 0, -1)
    record = keys.schedule(api.cell.prefix, internal_id.decode())
    first = api.cell.client.hget(record, SCHEDULE.code("fire_times")).split(b",")[0]
    later = api.engine.cell_at(int(first))
    [event_id] = claims.claim(later, room=10, timeouts=TIMEOUTS).ids
    worker = api.engine.worker(int(first))
    [begun] = worker.begin(event_id)
    worker.end(begun, "dead", reason="group-missing", started_ms=1)


def test_a_schedule_reports_that_its_group_is_missing(group: Any) -> None:
    headers = {"Upstash-Cron": "* * * * *", "Upstash-Schedule-Id": "nightly"}
    path = "/v2/schedules/g"
    assert group.call("POST", path, headers=headers)[0] == 200
    _, before = group.call("GET", "/v2/schedules/nightly")
    run_without_group(group)

    _, schedule = group.call("GET", "/v2/schedules/nightly")
    assert (before["destination"], "error" in before) == ("g", False)
    assert schedule["error"] == "url group g not found"
    assert [*schedule["lastScheduleStates"].values()] == ["FAIL"]
    [letter] = group.call("GET", "/v2/dlq?topicName=g")[1]["messages"]
    assert (letter["url"], letter["scheduleId"]) == ("g", "nightly")


@pytest.mark.parametrize("query", ["urlGroup=g", "urlGroup=g&topicName=g"])
def test_a_url_group_is_also_found_by_the_older_name_of_the_filter(
    group: Any, query: str
) -> None:
    [first, _] = group.call("POST", "/v2/publish/g", headers={"Upstash-Retries": "0"})[
        1
    ]
    group.attempt(first["messageId"], "dead", status=500)
    other = query.replace("=g", "=h")

    for path, found in (("/v2/dlq", 1), ("/v2/events", 5), ("/v2/logs", 5)):
        for name in ("messages", "events"):
            page = group.call("GET", f"{path}?{query}")[1]
            assert len(page.get(name, [None] * found)) == found
        assert not any(group.call("GET", f"{path}?{other}")[1].values())
    assert group.call("DELETE", f"/v2/dlq?{other}")[1] == {"deleted": 0}
    assert group.call("DELETE", f"/v2/dlq?{query}")[1] == {"deleted": 1}
    assert group.call("DELETE", f"/v2/messages?{other}")[1] == {"cancelled": 0}
    assert group.call("DELETE", f"/v2/messages?{query}")[1] == {"cancelled": 1}


def test_the_retry_of_a_run_for_a_group_is_a_run_for_the_group(group: Any) -> None:
    headers = {
        "Upstash-Cron": "* * * * *",
        "Upstash-Queue-Name": "line",
        "Upstash-Flow-Control-Key": "k",
        "Upstash-Flow-Control-Value": "rate=1",
    }
    group.call("POST", "/v2/schedules/g", headers=headers)
    run_without_group(group)
    [letter] = group.call("GET", "/v2/dlq")[1]["messages"]
    status, answer = group.call("POST", f"/v2/dlq/retry/{letter['dlqId']}")

    assert (status, answer["url"]) == (201, "g")
    message = group.message(answer["messageId"])
    assert (message["queueName"], message["topicName"]) == ("line", "g")
    assert group.call("GET", "/v2/queues")[1] == []
    assert group.call("GET", "/v2/flowControl")[1] == []
    assert group.logs()["logs"] == []


def test_default_headers_from_older_versions_refuse_no_message(group: Any) -> None:
    stored = {"Upstash-Cron": ["* * * * *"], "Upstash-Workflow-Init": ["true"]}
    cell = group.store.cell
    groups = Groups(cell)
    groups.set_defaults(group.owner, "g", {"headers": stored})

    assert group.call("POST", "/v2/publish/g")[0] == 201
    for name, values in stored.items():
        body = {"headers": {name: values}}
        assert group.call("PATCH", "/v2/topics/g", json=body)[0] == 400


def test_a_schedule_for_an_unknown_group_is_refused(group: Any) -> None:
    headers = {"Upstash-Cron": "* * * * *"}
    status, answer = group.call("POST", "/v2/schedules/none", headers=headers)

    assert (status, answer["error"][:24]) == (404, "topic none not found: no")


@pytest.mark.parametrize(
    "headers",
    [
        {"Upstash-Unknown": "x" * 65_536},
        {f"Upstash-Unknown-{n}": "" for n in range(101)},
        {"Upstash-Unknown": ["x"] * 101},
        {"Upstash-" + "x" * 65_536: []},
        {f"Upstash-Unknown-{n}": [] for n in range(101)},
    ],
    ids=["large", "many", "repeated", "large-empty", "many-empty"],
)
def test_s18_default_headers_without_effect_are_limited_too(
    group: Any, headers: Any
) -> None:
    status, answer = group.call("PATCH", "/v2/topics/g", json={"headers": headers})

    error = "headers should be at most 100 headers and 65536 bytes in all"
    assert (status, answer) == (400, {"error": error})
