"""Tests of batches: the answer has one entry per item, in the order of the items."""

import pytest
import redis
import time
from collections.abc import Callable
from dataclasses import replace
from scheduler_api import services
from scheduler_api.core.delivery.retry_expression import Expression
from scheduler_api.core.store import keys
from scheduler_api.core.store.events import CREATE_BATCH_SIZE, EventStore
from scheduler_api.dialects.qstash.endpoints import publish
from scheduler_api.dialects.qstash.endpoints.publish import (
    BATCH_CHECK_STEPS,
    NOT_STORED,
    UNKNOWN,
    Publishing,
)
from scheduler_api.dialects.qstash.parsing import batch_items
from scheduler_api.dialects.qstash.parsing.drafts import CACHED_MAX_LENGTH
from scheduler_api.settings import Settings
from tests.core.function_calls import count_function_calls
from tests.dialects.engine import SECRET_KEY
from typing import Any

Make = Callable[..., Any]
HOOK = "https://example.com/hook"
LATER = {"Upstash-Delay": "1h"}


def batch(api: Any, *items: Any) -> Any:
    status, answer = api.call("POST", "/v2/batch", json=list(items))
    assert status == 200, answer
    assert len(answer) == len(items)
    return answer


def test_items_are_answered_in_order(api: Any) -> None:
    one, two = batch(
        api,
        {"destination": HOOK, "headers": LATER, "body": "grüße", "queue": None},
        {"destination": f"{HOOK}?x=1", "queue": "line"},
    )

    first, second = api.message(one["messageId"]), api.message(two["messageId"])
    assert one == {"messageId": first["messageId"], "url": HOOK}
    assert first["body"] == "grüße"
    assert first["notBefore"] == first["createdAt"] + 3_600_000
    assert second["url"] == f"{HOOK}?x=1"
    assert second["queueName"] == "line"
    assert "body" not in second


def test_each_item_has_its_own_headers(api: Any) -> None:
    headers = {"upstash-forward-a": "1", "content-type": "text/plain"}
    answers = batch(
        api,
        {"destination": HOOK, "headers": headers},
        {"destination": HOOK, "headers": headers | {"upstash-forward-a": "2"}},
        {"destination": HOOK},
        {"destination": HOOK, "headers": None, "body": None},
    )

    header_maps = [api.message(answer["messageId"]).get("header") for answer in answers]
    assert header_maps == [
        {"Content-Type": ["text/plain"], "A": ["1"]},
        {"Content-Type": ["text/plain"], "A": ["2"]},
        None,
        None,
    ]


@pytest.mark.parametrize("queue", ["", None])
def test_an_item_with_an_empty_queue_has_no_queue(api: Any, queue: str | None) -> None:
    (answer,) = batch(api, {"destination": HOOK, "headers": LATER, "queue": queue})

    assert "queueName" not in api.message(answer["messageId"])
    assert api.call("GET", "/v2/queues") == (200, [])


@pytest.mark.parametrize(
    "destination",
    [
        f"{HOOK}?a=1&qstash_token=secret&Upstash-Retries=7&b",
        "https%3A%2F%2Fexample.com%2Fhook%3Fa=1&qstash_token=secret&b?upstash-retries=7",
    ],
)
def test_a_destination_is_parsed_as_in_a_path(api: Any, destination: str) -> None:
    (answer,) = batch(api, {"destination": destination, "headers": LATER})
    in_path = api.publish(destination, Delay="1h")

    messages = [api.message(each["messageId"]) for each in (answer, in_path)]
    assert [each["url"] for each in messages] == [f"{HOOK}?a=1&b"] * 2
    assert [each["maxRetries"] for each in messages] == [7, 7]


def test_a_batch_may_exceed_one_round_trip(api: Any) -> None:
    items = [{"destination": f"{HOOK}/{i}", "headers": LATER} for i in range(1_001)]
    answers = batch(api, *items)

    assert [answer["url"] for answer in answers] == [i["destination"] for i in items]
    assert len({answer["messageId"] for answer in answers}) == 1_001


@pytest.mark.parametrize(
    ("item", "error"),
    [
        ({}, "a non-empty destination must be provided"),
        ({"destination": ""}, "a non-empty destination must be provided"),
        ({"destination": None}, "a non-empty destination must be provided"),
        ({"destination": "?a=1"}, "a non-empty destination must be provided"),
        ({"destination": 1}, "destination should be a text"),
        ({"destination": "group"}, "topic group not found: no url group"),
        ({"destination": "ftp://h"}, "invalid destination url: endpoint has invalid"),
        ({"destination": HOOK, "body": {"a": 1}}, "body should be a text"),
        ({"destination": HOOK, "body": "x" * 1001}, "body should have at most 1000"),
        ({"destination": HOOK, "queue": "a b"}, "queueName should be"),
        ({"destination": HOOK, "headers": []}, "headers should be an object"),
        ({"destination": HOOK, "headers": {" ": "a"}}, "headers should have names"),
        ({"destination": HOOK, "headers": ["a"]}, "headers should be an object"),
        ({"destination": HOOK, "headers": {"a": 1}}, "headers should have texts"),
        ({"destination": HOOK, "headers": {"upstash-delay": "x"}}, "Upstash-Delay"),
        ({"destination": HOOK, "headers": {"upstash-forward-日": "a"}}, "Upstash-For"),
        ({"destination": HOOK, "headers": {"upstash-forward-": "a"}}, "Upstash-For"),
        ({"destination": HOOK, "headers": {"upstash-forward-a": "\0"}}, "Upstash-For"),
        ({"destination": HOOK, "headers": {"upstash-forward-a": "\r\nb"}}, "Upstash"),
        ({"destination": HOOK, "headers": {"upstash-forward-a": "c\r\nb"}}, "Upstash"),
        ({"destination": HOOK, "headers": {"upstash-callback": "x"}}, "Upstash-Call"),
        ("text", "item should be an object"),
        (None, "item should be an object"),
    ],
)
def test_an_invalid_item_gets_an_error_in_its_place(
    make_api: Make, item: Any, error: str
) -> None:
    api = make_api(body_limit_bytes=1000)
    good = {"destination": HOOK, "headers": LATER}
    before, answer, after = batch(api, good, item, good)

    assert before["messageId"] and after["messageId"]
    assert answer["messageId"] == ""
    assert answer["error"].startswith(error)
    assert len(api.logs()["logs"]) == 2


@pytest.mark.parametrize("body", [b"", b"{}", b'"x"', b"[", b"\xff", b"null", b"1"])
def test_a_body_that_is_not_a_list_is_refused(api: Any, body: bytes) -> None:
    status, answer = api.call("POST", "/v2/batch", data=body)

    assert (status, list(answer)) == (400, ["error"])


def test_an_empty_batch_has_an_empty_answer(api: Any) -> None:
    assert batch(api) == []


def test_duplicates_within_a_batch_are_one_message(api: Any) -> None:
    item = {"destination": HOOK, "headers": {"upstash-deduplication-id": "d"}}
    one, two = batch(api, item, item)

    assert "deduplicated" not in one
    assert two == one | {"deduplicated": True}


def test_a_batch_may_be_larger_than_a_message(make_api: Make) -> None:
    api = make_api(body_limit_bytes=1000, batch_limit_bytes=200_000)
    item = {"destination": HOOK, "headers": LATER, "body": "x" * 1000}

    assert all(answer["messageId"] for answer in batch(api, *[item] * 150))
    status, answer = api.call("POST", "/v2/batch", json=[item] * 250)
    assert (status, answer) == (413, {"error": "body should have at most 200000 bytes"})


def test_a_batch_of_too_many_messages_is_refused(make_api: Make) -> None:
    api = make_api(batch_limit=3)
    item = {"destination": HOOK, "headers": LATER}

    assert len(batch(api, *[item] * 3)) == 3
    status, answer = api.call("POST", "/v2/batch", json=[item] * 4)
    error = "body should have at most 3 messages, not 4: split the batch"
    assert (status, answer) == (413, {"error": error})
    assert len(api.logs()["logs"]) == 3


def _hard(number: int) -> dict[str, Any]:
    expression = f"sqrt(-1 - retried - {number})"
    headers = LATER | {"Upstash-Retries": "999", "Upstash-Retry-Delay": expression}
    return {"destination": HOOK, "headers": headers}


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of steps of each evaluation of a retry delay."""
    counted: list[int] = []
    evaluate = Expression.delay_ms

    def count(expression: Expression, retried: int) -> int | None:
        counted.append(len(expression.steps))
        return evaluate(expression, retried)

    monkeypatch.setattr(Expression, "delay_ms", count)
    return counted


def test_s18_all_retry_delays_of_a_batch_share_a_number_of_steps(
    api: Any, steps: list[int]
) -> None:
    batch(api, *map(_hard, range(500)))

    assert 0 < sum(steps) <= BATCH_CHECK_STEPS


def test_s18_a_batch_reads_the_default_headers_of_a_url_group_once(
    api: Any, steps: list[int]
) -> None:
    endpoint = {"endpoints": [{"url": HOOK}]}
    api.call("POST", "/v2/topics/g/endpoints", json=endpoint)
    defaults = LATER | {
        "Upstash-Retries": "999",
        "Upstash-Retry-Delay": "sqrt(retried - 500)",
        "Upstash-Forward-Large": "x" * CACHED_MAX_LENGTH,
    }
    status, _ = api.call("PATCH", "/v2/topics/g", json={"headers": defaults})
    assert status == 200
    to_configure = sum(steps)
    steps.clear()

    batch(api, *[{"destination": "g"}] * 100)

    assert 0 < sum(steps) <= to_configure


def test_a_retry_delay_without_a_value_is_an_error_in_a_small_batch(api: Any) -> None:
    [answer] = batch(api, _hard(1))

    assert "should have a value before at least one retry" in answer["error"]


def test_a_batch_lets_other_requests_run_between_its_items(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(publish, "SLICE_S", -1.0)
    monkeypatch.setattr(time, "sleep", pauses.append)

    batch(api, *[{"destination": HOOK, "headers": LATER}] * 5)

    assert pauses == [0] * 5


@pytest.mark.parametrize(
    ("headers", "fault"),
    [
        ({f"Upstash-X{n}": "1" for n in range(501)}, "headers should be at most 500"),
        (
            {"Upstash-Redact-Fields": ",".join(f"header[h{n}]" for n in range(101))},
            "at most 100 names of 256 characters",
        ),
        (
            {"Upstash-Redact-Fields": f"header[{'h' * 257}]"},
            "at most 100 names of 256 characters",
        ),
        ({"Upstash-Redact-Fields": "," * 65_537}, "at most 65536 characters"),
        (
            {
                "Upstash-Flow-Control-Key": "k",
                "Upstash-Flow-Control-Value": "rate=1" + "," * 65_536,
            },
            "at most 65536 characters",
        ),
        ({"Content-Type": "x" * 65_537}, "at most 65536 bytes"),
        (
            {
                "Upstash-Callback": HOOK,
                "Upstash-Callback-Content-Type": "x" * 65_537,
            },
            "at most 65536 bytes",
        ),
    ],
    ids=lambda value: None if isinstance(value, dict) else value.replace(" ", "-"),
)
def test_s18_lists_and_headers_of_an_item_are_limited(
    api: Any, headers: dict[str, str], fault: str
) -> None:
    [answer] = batch(api, {"destination": HOOK, "headers": LATER | headers})

    assert fault in answer["error"]


def test_items_for_a_full_store_get_errors(api: Any) -> None:
    api.cell.client.set(keys.full(api.cell.prefix), "1")
    answers = batch(api, {"destination": HOOK}, {"destination": "x"})

    assert [answer["messageId"] for answer in answers] == ["", ""]
    assert answers[0]["error"] == "the store is full, please try again later"


class UnavailableStore(EventStore):
    """A store in which `create_many` fails after `calls_left` successful calls."""

    calls_left = 0

    def create_many(self, *args: Any, **more: Any) -> Any:
        if not self.calls_left:
            raise redis.ConnectionError("gone")
        self.calls_left -= 1
        return super().create_many(*args, **more)


@pytest.fixture
def batch_of_unavailable_store(api: Any, store_url: str) -> Callable[..., Any]:
    """A function that sends a batch to an API whose store fails.

    The store fails after `after` successful calls.
    """
    settings = Settings(redis_url=store_url, secret_key=SECRET_KEY)
    store = UnavailableStore(api.cell)
    publishing = Publishing(replace(services.build(settings), store=store))

    def batch(items: list[Any], *, after: int) -> Any:
        store.calls_left = after
        with api.app.test_request_context("/v2/batch", method="POST", json=items):
            return publishing.batch(api.owner).get_json()

    return batch


def test_the_rest_of_a_batch_gets_errors_when_the_store_fails_midway(
    api: Any, batch_of_unavailable_store: Callable[..., Any]
) -> None:
    items: list[Any] = [{"destination": HOOK, "headers": LATER}] * (
        2 * CREATE_BATCH_SIZE + 2
    )
    items[CREATE_BATCH_SIZE + 1] = "bad"
    answers = batch_of_unavailable_store(items, after=1)

    assert len(answers) == len(items)
    assert all(answer["messageId"] for answer in answers[:CREATE_BATCH_SIZE])
    assert api.message(answers[CREATE_BATCH_SIZE - 1]["messageId"])["url"] == HOOK
    assert all(answer["messageId"] == "" for answer in answers[CREATE_BATCH_SIZE:])
    errors = [answer["error"] for answer in answers[CREATE_BATCH_SIZE:]]
    assert errors[:2] == [UNKNOWN, "item should be an object"]
    assert errors[2:] == [UNKNOWN] * (CREATE_BATCH_SIZE - 2) + [NOT_STORED] * 2


def test_a_batch_of_which_nothing_was_stored_is_refused(
    batch_of_unavailable_store: Callable[..., Any],
) -> None:
    with pytest.raises(redis.ConnectionError):
        batch_of_unavailable_store([{"destination": HOOK}], after=0)
    with pytest.raises(redis.ConnectionError):
        batch_of_unavailable_store(
            ["bad"] * CREATE_BATCH_SIZE + [{"destination": HOOK}], after=1
        )


def test_a_batch_and_a_message_cost_one_round_trip_each(
    api: Any, store_url: str
) -> None:
    item = {"destination": HOOK, "headers": LATER}
    api.publish(Delay="1h")
    client = redis.Redis.from_url(store_url)

    def calls() -> tuple[int, int]:
        stats: Any = client.info("commandstats")
        return count_function_calls(client), stats.get("cmdstat_hget", {"calls": 0})[
            "calls"
        ]

    before = calls()

    batch(api, *[item] * 100)
    api.publish(Delay="1h")

    # The third call reserves the next hundred ids.
    assert calls() == (before[0] + 3, before[1])


def test_a_value_of_a_wrong_type_is_an_error_of_its_item(api: Any) -> None:
    good = {"destination": HOOK, "headers": LATER}
    items = [
        item
        for wrong in (1, 1.5, True, None, [], ["a"], {"a": "b"}, "\0")
        for item in (
            wrong,
            {"destination": wrong},
            {"destination": HOOK, "headers": {"upstash-forward-a": wrong}},
            {"destination": HOOK, "headers": {"content-type": wrong}},
            {"destination": HOOK, "headers": {"x-ignored": [wrong]}},
            {"destination": HOOK, "headers": [wrong]},
            {"destination": HOOK, "body": [wrong]},
            {"destination": HOOK, "queue": [wrong]},
        )
    ]

    answers = batch(api, *[each for item in items for each in (item, good)])

    assert [answer["messageId"] for answer in answers[0::2]] == [""] * len(items)
    assert all(answer["error"] for answer in answers[0::2])
    assert all(answer["messageId"] for answer in answers[1::2])


BAD_TEXTS = (
    b"",
    b"NaN",
    b"{'destination': 'x'}",
    b'{"destination": "%b",}' % HOOK.encode(),
    b'{"destination": "%b" "body": ""}' % HOOK.encode(),
    b'{"a": 1e999}',
    b'{"a": -1e999}',
    b'{"a": %b}' % (b"1" * 5_000),
    b'{"a": 01}',
    b'{"a": "\\ud83d"}',
    b'{"a": "\\udc00\\ud800"}',
    b'{"a": "\xed\xa0\x80"}',
    b'{"a": "\xff"}',
    b'{"a": "\\x"}',
    b'{"a": "\\u12"}',
    b'{"a": "\n"}',
    b'{"a": "\x00"}',
    b"\x00",
    b"[" * 2_000 + b"]" * 2_000,
    b'{"a": ' * 2_000 + b"1" + b"}" * 2_000,
    b"[1, 2, {] , }",
    b'{"a": [1, "]"}]',
    b'{"a": 1}]',
    b'{"a": 1}}}',
    b"]",
    b"// comment",
    b'"\\\\\\"" "\\\\"',
)


def raw_batch(api: Any, *items: bytes) -> tuple[int, Any]:
    return api.call("POST", "/v2/batch", data=b"[" + b",".join(items) + b"]")


def test_items_that_are_not_json_get_errors_and_the_others_are_sent(api: Any) -> None:
    texts = [b"" for _ in range(2 * len(BAD_TEXTS) + 1)]
    texts[1::2] = BAD_TEXTS
    good = b' {"headers": {"upstash-delay": "1h"}, "body": "],[{\\"\\\\", '
    texts[0::2] = [
        good + b'"destination": "%b/%d"} ' % (HOOK.encode(), n)
        for n in range(len(BAD_TEXTS) + 1)
    ]

    status, answers = raw_batch(api, *texts)

    assert status == 200
    assert [answer.get("url") for answer in answers[0::2]] == [
        f"{HOOK}/{n}" for n in range(len(BAD_TEXTS) + 1)
    ]
    assert [answer["messageId"] for answer in answers[1::2]] == [""] * len(BAD_TEXTS)
    for text, answer in zip(BAD_TEXTS, answers[1::2], strict=True):
        kind = "UTF-8" if b"\xed" in text or b"\xff" in text else "JSON"
        assert answer["error"].startswith(f"item is not valid {kind}: "), answer
    bodies = {api.message(answer["messageId"])["body"] for answer in answers[0::2]}
    assert bodies == {'],[{"\\'}


UNDIVIDABLE = (
    b'[{"a": NaN}',
    b'[{"a": NaN]',
    b'{"a": NaN}',
    b'[{"a": "}]',
    b'[{"a": NaN}]x',
    b"[NaN}",
    b"[NaN]]]x",
    b"NaN",
    b"\xef\xbb\xbf[NaN]",
)


def test_a_body_whose_items_cannot_be_told_apart_is_refused(api: Any) -> None:
    for body in UNDIVIDABLE:
        status, answer = api.call("POST", "/v2/batch", data=body)

        assert status == 400, body
        assert answer["error"].startswith("body is not valid JSON: "), body


def test_the_limits_of_a_batch_hold_for_invalid_json(
    make_api: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = make_api(batch_limit=3)
    monkeypatch.setattr(batch_items, "MAX_STEPS", 10)

    assert raw_batch(api, b"NaN", b"1", b"2", b"3")[0] == 413
    assert raw_batch(api, b"[" * 5_000 + b"1," * 5_000 + b"]" * 5_000)[0] == 200
    status, answer = raw_batch(api, b"[ " * 10 + b"NaN" + b"] " * 10)
    assert (status, answer["error"]) == (413, batch_items.TOO_COMPLEX)
