"""Tests of publishing and enqueueing: accepted messages, answers and errors."""

import gzip
import pytest
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from scheduler_api.core.store import keys
from scheduler_api.core.store.reads import read_event
from scheduler_api.core.store.records import EVENT
from typing import Any

Make = Callable[..., Any]
HOOK = "https://example.com/hook"
HOUR_MS = 3_600_000


def post(api: Any, path: str = f"/v2/publish/{HOOK}", **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.call("POST", path, data=b"hello", headers=named)


def event_of(api: Any, name: str) -> Any:
    return read_event(api.cell, api.owner, name.removeprefix("msg_"))


def test_a_published_message_is_stored(api: Any) -> None:
    status, answer = post(api, Upstash_Delay="1h")

    assert status == 201
    assert answer == {"messageId": answer["messageId"], "url": HOOK}
    message = api.message(answer["messageId"])
    assert message["url"] == HOOK
    assert message["body"] == "hello"
    assert message["notBefore"] == message["createdAt"] + HOUR_MS


@pytest.mark.parametrize(
    "destination",
    [
        "http://h.com:1/p?x=1&y=2",
        "http://h.com/a%2Fb//c/",
        "http://h.com/a%0Ab%00",
        "http://h.com/%C3%BC%FF",
        "http://h.com/?u=http://z/?q=1",
        "https://h.com",
    ],
)
def test_a_destination_passes_the_routes_unchanged(api: Any, destination: str) -> None:
    assert api.publish(destination, delay="1h")["url"] == destination
    queued = post(api, f"/v2/enqueue/q/{destination}")
    assert queued[1]["url"] == destination


@pytest.mark.parametrize(
    "path",
    [
        *("/v2/publish", "/v2/publish/", "/v2/publish/?a=1", "/v2/publish/#a"),
        *("/v2/enqueue/q", "/v2/enqueue/q/", "/v2/enqueue", "/V2/Enqueue/Q"),
        *("/v2/schedules", "/v2/schedules/", "/v2/Schedules?upstash-cron=x"),
    ],
)
def test_a_path_without_a_destination_says_where_it_belongs(
    api: Any, path: str
) -> None:
    status, answer = post(api, path)

    assert (status, list(answer)) == (400, ["error"])
    assert "a non-empty destination must be provided" in answer["error"]
    assert "/https://example.com/path" in answer["error"]
    assert re.split("[?#]", path)[0].lower().rstrip("/") in answer["error"].lower()


@pytest.mark.parametrize("path", ["/v2/enqueue", "/V2/Enqueue/"])
def test_enqueue_without_anything_says_that_a_queue_comes_first(
    api: Any, path: str
) -> None:
    status, answer = post(api, path)

    example = "POST /v2/enqueue/<queue>/https://example.com/path"
    assert status == 400
    assert answer["error"].lower().endswith(example.lower())


@pytest.mark.parametrize("start", ["/v2/enqueue/", "/v2/Enqueue/"])
@pytest.mark.parametrize(
    "url",
    [
        *(HOOK, "HTTP://h?a=1", f"{HOOK}/{'a' * 999}"),
        *("http%3A%2F%2Fh.com%2Fa", "https%3a//h.com"),
    ],
)
def test_enqueue_without_a_queue_says_so(api: Any, start: str, url: str) -> None:
    status, answer = post(api, start + url)

    expected = "queueName is missing: POST /v2/enqueue/<queue>/http"
    assert (status, answer["error"].lower()[:51]) == (400, expected.lower())
    assert len(answer["error"]) < 300


def test_a_path_with_two_slashes_is_not_found(api: Any) -> None:
    error = "not found: the path has an empty name between two slashes"

    assert post(api, "/v2//publish/http:/h") == (404, {"error": error})


def test_query_parameters_work_like_headers(api: Any) -> None:
    name = post(api, f"/v2/publish/{HOOK}?a=1&upstash-delay=1h&upstash-retries=0")
    message = api.message(name[1]["messageId"])

    assert message["url"] == f"{HOOK}?a=1"
    assert message["maxRetries"] == 0
    assert message["notBefore"] == message["createdAt"] + HOUR_MS


def test_not_before_wins_and_past_is_now(api: Any) -> None:
    later_s = int(time.time()) + 7200
    later = api.publish(not_before=str(later_s), delay="1h")["messageId"]
    past = api.publish(not_before="1", delay="1h")["messageId"]

    assert api.message(later)["notBefore"] == later_s * 1000
    message = api.message(past)
    assert message["notBefore"] == message["createdAt"]


def test_the_deadline_is_the_timeout_or_the_setting(make_api: Make) -> None:
    api = make_api(timeout_ms=12_345)

    for headers, deadline in (({}, b"12345"), ({"timeout": "7s"}, b"7000")):
        name = api.publish(**headers)["messageId"].removeprefix("msg_")
        stored = api.cell.client.hgetall(keys.event(api.cell.prefix, name))
        assert EVENT.named(stored)["deadline_ms"] == deadline


def test_credentials_for_this_api_are_not_stored(api: Any) -> None:
    path = f"/v2/publish/{HOOK}?qstash_token={api.token}"
    status, answer = post(
        api,
        path,
        Authorization="",
        Upstash_Header_Forward="true",
        Cookie="a=b",
        X_Y="1",
    )

    assert status == 201
    assert answer["url"] == HOOK
    stored = repr(event_of(api, answer["messageId"]).content)
    assert api.token not in stored
    assert "Cookie" not in stored
    assert "'X-Y', '1'" in stored


def test_a_query_parameter_can_forward_all_headers(api: Any) -> None:
    path = f"/v2/publish/{HOOK}?Upstash-Header-Forward=true"
    message = api.message(post(api, path, X_Y="1")[1]["messageId"])

    assert message["header"]["X-Y"] == ["1"]
    assert message["url"] == HOOK


def test_cached_headers_are_not_mixed_up_between_messages(make_api: Make) -> None:
    mine, other = make_api(), make_api()
    names = [
        api.publish(label="a", redact_fields="body", forward_a=value)["messageId"]
        for api, value in ((mine, "1"), (mine, "1"), (mine, "2"), (other, "1"))
    ]

    messages = [mine.message(name) for name in names[:3]] + [other.message(names[3])]
    assert [each["header"]["A"] for each in messages] == [["1"], ["1"], ["2"], ["1"]]
    assert [each["label"] for each in messages] == ["a"] * 4


def test_the_token_in_the_query_is_used_without_a_bearer_header(api: Any) -> None:
    path = f"/v2/keys?qstash_token={api.token}"

    assert api.call("GET", path, headers={"Authorization": ""})[0] == 200
    assert api.call("GET", path, headers={"Authorization": "Basic x"})[0] == 200
    assert api.call("GET", path, headers={"Authorization": "Bearer x"})[0] == 401


@pytest.mark.parametrize(
    ("headers", "error_start"),
    [
        ({"Upstash_Delay": "soon"}, "Upstash-Delay should be a duration"),
        ({"Upstash_Delay": "366d"}, "Upstash-Delay should be at most 31536000s"),
        ({"Upstash_Not_Before": "9999999999"}, "Upstash-Not-Before should be at most"),
        ({"Upstash_Not_Before": "tomorrow"}, "Upstash-Not-Before should be a unix"),
        ({"Upstash_Method": "TRACE"}, "Upstash-Method should be one of"),
        ({"Upstash_Retries": "-1"}, "Upstash-Retries should be a whole number"),
        ({"Upstash_Retries": "1001"}, "Upstash-Retries should be at most 1000"),
        ({"Upstash_Retry_Delay": "pow(1"}, "Upstash-Retry-Delay should be"),
        ({"Upstash_Timeout": "3h"}, "Upstash-Timeout should be at most 7200s"),
        ({"Upstash_Callback": "h.com"}, "Upstash-Callback: endpoint has invalid"),
        ({"Upstash_Callback": "http://[::1]/"}, "Upstash-Callback: endpoint resolves"),
        ({"Upstash_Failure_Callback": "x"}, "Upstash-Failure-Callback: endpoint has"),
        ({"Upstash_Redact_Fields": "all"}, "Upstash-Redact-Fields should list"),
        ({"Upstash_Flow_Control_Key": "k"}, "Upstash-Flow-Control-Value should be"),
    ],
)
def test_an_error_names_the_header(
    api: Any, headers: dict[str, str], error_start: str
) -> None:
    status, answer = post(api, **headers)

    assert (status, list(answer)) == (400, ["error"])
    assert answer["error"].startswith(error_start)
    assert api.logs()["logs"] == []


@pytest.mark.parametrize(
    ("destination", "status", "error_start"),
    [
        ("ftp://h", 400, "invalid destination url: endpoint has invalid scheme"),
        ("http://[::1]/", 400, "invalid destination url: endpoint resolves to a loop"),
        ("group", 404, "topic group not found: no url group"),
        ("api/llm", 400, "destination 'api/llm' is not supported"),
    ],
)
def test_bad_destinations_are_refused(
    api: Any, destination: str, status: int, error_start: str
) -> None:
    for path in (f"/v2/publish/{destination}", f"/v2/enqueue/q/{destination}"):
        answer = post(api, path)
        assert answer[0] == status
        assert answer[1]["error"].startswith(error_start)


def test_a_body_may_be_as_large_as_the_limit(make_api: Make) -> None:
    api = make_api(body_limit_bytes=1000)

    assert len(api.message(api.publish(data=b"x" * 1000)["messageId"])["body"]) == 1000
    assert api.call("POST", f"/v2/publish/{HOOK}", data=b"x" * 1001) == (
        413,
        {"error": "body should have at most 1000 bytes"},
    )


def test_a_compressed_body_is_stored_unchanged(api: Any) -> None:
    body = gzip.compress(b"hello")
    name = api.publish(data=body, forward_content_encoding="gzip")["messageId"]

    assert event_of(api, name).content.body == body


def test_a_message_has_its_queue(api: Any) -> None:
    status, answer = post(api, f"/v2/enqueue/my%2Dline.1/{HOOK}?a=1")

    assert status == 201
    message = api.message(answer["messageId"])
    assert (message["queueName"], message["url"]) == ("my-line.1", f"{HOOK}?a=1")


def test_a_bad_queue_name_is_refused(api: Any) -> None:
    status, answer = post(api, f"/v2/enqueue/a%20b/{HOOK}")

    assert status == 400
    assert answer["error"].startswith("queueName should be")


def test_a_duplicate_is_answered_with_the_first_message(api: Any) -> None:
    first = api.publish(deduplication_id="d", delay="1h")
    status, again = post(
        api, "/v2/publish/https://example.com/other", Upstash_Deduplication_Id="d"
    )

    assert status == 202
    assert again == {
        "messageId": first["messageId"],
        "url": "https://example.com/other",
        "deduplicated": True,
    }
    assert len(api.logs()["logs"]) == 1


def test_content_based_deduplication_compares_url_body_and_headers(api: Any) -> None:
    on = {"content_based_deduplication": "True"}
    first = api.publish(**on, forward_a="1")["messageId"]
    same = [
        {"retries": "0"},
        {"method": "PUT"},
        {"label": "x"},
        {"telemetry_sdk": "js"},
        {"delay": "1h"},
    ]
    others = [{"forward_a": "2"}, {"forward_b": "1"}, {"content_type": "text/x"}]

    for more in same:
        assert api.publish(**on | {"forward_a": "1"} | more)["messageId"] == first
    for more in others[:2]:
        assert api.publish(**on | {"forward_a": "1"} | more)["messageId"] != first
    assert api.publish(data=b"other", **on, forward_a="1")["messageId"] != first
    assert api.publish(HOOK + "2", **on, forward_a="1")["messageId"] != first


def test_content_is_not_compared_if_the_header_is_false(api: Any) -> None:
    for value in ("False", "false", ""):
        names = {
            api.publish(content_based_deduplication=value)["messageId"]
            for _ in range(2)
        }
        assert len(names) == 2


def test_the_deduplication_window_starts_with_the_first_message(
    make_api: Make, wait_until: Any
) -> None:
    api = make_api(deduplication_ms=300)
    first = api.publish(deduplication_id="d")["messageId"]

    assert api.publish(deduplication_id="d")["messageId"] == first
    wait_until(lambda: api.publish(deduplication_id="d")["messageId"] != first)


def test_concurrent_duplicates_make_one_message(api: Any) -> None:
    def publish(_: int) -> str:
        return str(api.publish(deduplication_id="race", delay="1h")["messageId"])

    with ThreadPoolExecutor(16) as pool:
        names = set(pool.map(publish, range(100)))

    assert len(names) == 1
    assert len(api.logs()["logs"]) == 1


def test_deduplication_ids_are_separate_for_each_tenant(make_api: Make) -> None:
    mine, other = make_api(), make_api()

    assert "deduplicated" not in mine.publish(deduplication_id="d")
    assert "deduplicated" not in other.publish(deduplication_id="d")


def test_a_full_store_refuses_messages(api: Any) -> None:
    api.cell.client.set(keys.full(api.cell.prefix), "1")

    status, answer = post(api)
    assert (status, list(answer)) == (503, ["error"])
    assert api.headers["Retry-After"]


@pytest.mark.parametrize(
    ("trusted", "caller"), [((), "127.0.0.1"), (("127.0.0.0/8",), "192.0.2.7")]
)
def test_the_caller_behind_a_trusted_proxy_is_recorded(
    make_api: Make, trusted: tuple[str, ...], caller: str
) -> None:
    api = make_api(trusted_proxies=tuple(map(ip_network, trusted)))
    passed_on = {"X-Forwarded-For": "198.51.100.9, 192.0.2.7"}
    headers = passed_on | {"Upstash-Delay": "1h"}
    _, answer = api.call("POST", f"/v2/publish/{HOOK}", headers=headers)

    assert api.message(answer["messageId"])["callerIP"] == caller
