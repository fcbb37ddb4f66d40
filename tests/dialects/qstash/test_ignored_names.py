"""Tests of headers that have no effect, or that belong to another operation."""

import pytest
from scheduler_api.dialects.qstash.parsing.ignored_names import (
    MAX_HINTS,
    MAX_LENGTH,
    Describer,
)
from scheduler_api.web import underscores
from tests.dialects.qstash.conftest import HOOK
from typing import Any

GROUP = {"endpoints": [{"url": HOOK}, {"url": f"{HOOK}/2"}]}
CRON = {"Upstash-Cron": "0 0 1 1 *"}
MISSPELT = [
    ("Upstash-Delays", "Upstash-Delays (Upstash-Delay?)"),
    ("upstash-dely", "Upstash-Dely (Upstash-Delay?)"),
    ("Upstash-Retry", "Upstash-Retry (Upstash-Retries?)"),
    ("Upstash-Max-Retries", "Upstash-Max-Retries (Upstash-Retries?)"),
    ("Upstash-Retried", "Upstash-Retried (Upstash-Retries?)"),
    ("Upstash-NotBefore", "Upstash-Notbefore (Upstash-Not-Before?)"),
    ("Upstash-Dedup-Id", "Upstash-Dedup-Id (Upstash-Deduplication-Id?)"),
    ("Upstash-Queue", "Upstash-Queue (Upstash-Queue-Name?)"),
    ("Upstash-Flow-Control", "Upstash-Flow-Control (Upstash-Flow-Control-Key?)"),
    ("Upstash-Fail-Callback", "Upstash-Fail-Callback (Upstash-Failure-Callback?)"),
    ("Upstash-Forward", "Upstash-Forward (Upstash-Forward-*?)"),
    ("Upstash-Delay-Seconds", "Upstash-Delay-Seconds (Upstash-Delay?)"),
    ("Upstash-Name-Queue", "Upstash-Name-Queue (Upstash-Queue-Name?)"),
    ("Upstash-Delay-Retry", "Upstash-Delay-Retry (Upstash-Retry-Delay?)"),
    ("Upstash-Foward-X", "Upstash-Foward-X (Upstash-Forward-*?)"),
    ("Upstash-Priority", "Upstash-Priority"),
    ("Upstash-Timezone", "Upstash-Timezone"),
    ("Upstash-Timestamp", "Upstash-Timestamp"),
    ("Upstash-Group-Name", "Upstash-Group-Name"),
    ("Upstash-Message-Id", "Upstash-Message-Id"),
    ("Upstash-Schedule-Id", "Upstash-Schedule-Id"),
]
SILENT = {
    "Upstash-Telemetry-Sdk": "x",
    "Upstash-Forward-Delays": "x",
    "Upstash-Callback-Delays": "x",
    "Upstash-Failure-Callback-Forward-X": "x",
    "Upstash-Callback-Workflow-Init": "true",
    "Upstash-Forward-Upstash-Workflow-Init": "true",
    "Upstash-Method": "POST",
    "Upstash-Empty": " ",
    "X-Upstash-Delays": "x",
    "Upstash-Flow-Control-Key": "k",
    "Upstash-Flow-Control-Value": "rate=9",
}


def send(api: Any, path: str, headers: dict[str, str]) -> tuple[int, Any, str | None]:
    """Send a message; return the status, the body and the ignored names."""
    headers = {"Upstash-Delay": "1d"} | headers
    status, answer = api.call("POST", path, headers=headers)
    return status, answer, api.headers.get("Scheduler-Ignored")


def test_a_name_without_effect_is_named_with_the_nearest_one(api: Any) -> None:
    for name, ignored in MISSPELT:
        assert send(api, f"/v2/publish/{HOOK}", {name: "x"})[2] == ignored
        assert send(api, f"/v2/enqueue/q/{HOOK}?{name}=x", {})[2] == ignored


def test_a_batch_names_what_has_no_effect_in_each_item(api: Any) -> None:
    items: list[Any] = [
        {"destination": HOOK, "headers": {"Upstash-Delay": "1d", name: "x"}}
        for name, _ in MISSPELT
    ]
    items += [
        {"destination": f"{HOOK}?a=1&{name.lower()}=x&upstash-delay=1d"}
        for name, _ in MISSPELT
    ]

    answers = api.call("POST", "/v2/batch", json=items)[1]

    expected = [ignored for _, ignored in MISSPELT]
    assert [answer["ignored"] for answer in answers] == expected * 2


def test_names_that_have_an_effect_elsewhere_or_are_sent_on_are_not_named(
    api: Any,
) -> None:
    item = {"destination": HOOK, "headers": SILENT}

    assert send(api, f"/v2/publish/{HOOK}", SILENT)[2] is None
    assert send(api, f"/v2/schedules/{HOOK}", SILENT | CRON)[2] is None
    [answer] = api.call("POST", "/v2/batch", json=[item])[1]
    assert set(answer) == {"messageId", "url"}


FIELDS = [
    ("queueName", "queueName (header Upstash-Queue-Name?)"),
    ("delay", "delay (header Upstash-Delay?)"),
    ("notBefore", "notBefore (header Upstash-Not-Before?)"),
    ("not_before", "not_before (header Upstash-Not-Before?)"),
    ("retriesCount", "retriesCount (header Upstash-Retries?)"),
    ("flowControl", "flowControl (header Upstash-Flow-Control-Key?)"),
    ("Queue", "Queue (queue?)"),
    ("header", "header (headers?)"),
    ("id", "id"),
    ("\n\u00fc", "??"),
]


def test_a_field_of_an_item_without_effect_is_named(api: Any) -> None:
    delayed = {"destination": HOOK, "headers": {"Upstash-Delay": "1d"}}
    items = [delayed | {name: "x"} for name, _ in FIELDS]
    items += [delayed | {"queue": "", "queueName": "", "delay": None}]

    answers = api.call("POST", "/v2/batch", json=items)[1]

    expected = [ignored for _, ignored in FIELDS]
    assert [answer.get("ignored") for answer in answers] == [*expected, None]


def test_names_with_underscores_are_named(api: Any) -> None:
    item = {"destination": HOOK, "headers": {"upstash_delays": "x"}}

    [answer] = api.call("POST", "/v2/batch", json=[item])[1]
    assert answer["ignored"] == "Upstash_delays (Upstash-Delay?)"
    sent = underscores.hide("Upstash_Delay")
    for path, more in (("publish", {}), ("schedules", CRON)):
        named = send(api, f"/v2/{path}/{HOOK}", {sent: "x"} | more)[2]
        assert named == "Upstash_delay (Upstash-Delay?)"


def test_no_absurd_name_is_suggested_for_a_schedule(api: Any) -> None:
    for name, ignored in (
        ("Upstash-Region", "Upstash-Region"),
        ("Upstash-Timezone", "Upstash-Timezone (Scheduler-Time-Zone?)"),
        ("Upstash-Cron-Tz", "Upstash-Cron-Tz (Scheduler-Time-Zone?)"),
        ("Upstash-Crons", "Upstash-Crons (Upstash-Cron?)"),
    ):
        assert send(api, f"/v2/schedules/{HOOK}", {name: "UTC"} | CRON)[2] == ignored


def test_schedules_and_groups_and_retries_name_them_too(api: Any) -> None:
    assert api.call("POST", "/v2/topics/g/endpoints", json=GROUP)[0] == 200
    dead = api.publish(retries="0")["messageId"]
    api.attempt(dead, "dead", status=500)
    [letter] = api.call("GET", "/v2/dlq")[1]["messages"]
    headers = {"Upstash-Labels": "x", "Upstash-Not-Before": "1"}
    item = {"destination": "g", "headers": {"Upstash-Labels": "x"}}

    scheduled = send(api, f"/v2/schedules/{HOOK}", headers | CRON)
    assert scheduled[2] == "Upstash-Labels (Upstash-Label?), Upstash-Not-Before"
    assert send(api, "/v2/publish/g", headers)[2] == "Upstash-Labels (Upstash-Label?)"
    [answers] = api.call("POST", "/v2/batch", json=[item])[1]
    ignored = {"Upstash-Labels (Upstash-Label?)"}
    assert {each["ignored"] for each in answers} == ignored
    defaults = {"headers": {"Upstash-Labels": "x", "Upstash-Label": "y"}}
    assert api.call("PATCH", "/v2/topics/g", json=defaults)[0] == 200
    assert api.headers["Scheduler-Ignored"] == "Upstash-Labels (Upstash-Label?)"
    retried = send(api, f"/v2/dlq/retry/{letter['dlqId']}", headers)
    assert retried[2] == "Upstash-Labels (Upstash-Label?)"


def test_many_or_strange_names_fit_into_one_header(api: Any) -> None:
    names = {f"Upstash-{'N' * 30}{number}": "x" for number in range(90)}
    item = {
        "destination": HOOK,
        "headers": {"Upstash-\r\nX: ü,\0": "x", "Upstash-" + "y" * 2_000: "x"},
    }

    ignored = send(api, f"/v2/publish/{HOOK}", names)[2]
    assert ignored is not None
    assert 900 < len(ignored) <= MAX_LENGTH
    assert set(ignored.split(", ")) <= set(map(str.title, names))
    [answer] = api.call("POST", "/v2/batch", json=[item])[1]
    assert answer["ignored"] == f"Upstash-??x?????, Upstash-Y{'y' * 55}"
    assert (
        send(api, f"/v2/publish/{HOOK}?upstash-%0d%0aa:b=1", {})[2] == "Upstash-??a?b"
    )


def test_a_request_gets_a_limited_number_of_hints() -> None:
    describer = Describer()
    texts = [describer.describe([f"upstash-delays{n}"]) for n in range(MAX_HINTS + 1)]

    assert [text.endswith("?)") for text in texts] == [True] * MAX_HINTS + [False]


@pytest.mark.parametrize("route", ["/v2/publish/", "/v2/enqueue/q/"])
def test_a_cron_expression_on_a_message_is_refused(api: Any, route: str) -> None:
    for path, headers in ((HOOK, CRON), (f"{HOOK}?upstash-cron=0+0+1+1+*", {})):
        status, answer, _ = send(api, route + path, headers)
        assert (status, "/v2/schedules/" in answer["error"]) == (400, True)
        assert answer["error"].startswith("Upstash-Cron ")
    assert api.logs()["logs"] == []


def test_a_cron_expression_in_a_batch_refuses_only_its_item(api: Any) -> None:
    good = {"destination": HOOK}
    bad = {"destination": HOOK, "headers": {"upstash-cron": "* * * * *"}}

    status, answers = api.call("POST", "/v2/batch", json=[good, bad, good])

    assert (status, ["error" in each for each in answers]) == (
        200,
        [False, True, False],
    )
    assert "/v2/schedules/" in answers[1]["error"]


@pytest.mark.parametrize("name", ["Upstash-Workflow-Init", "upstash-workflow-runid"])
def test_the_start_of_a_workflow_is_refused(api: Any, name: str) -> None:
    fault = "workflows are not supported by this server"
    for path in (f"/v2/publish/{HOOK}", "/v2/publish/none", f"/v2/enqueue/q/{HOOK}"):
        status, answer, _ = send(api, path, {name: "true"})
        assert status == 404 if "none" in path else (status, fault in answer["error"])
    assert send(api, f"/v2/schedules/{HOOK}", {name: "x"} | CRON)[0] == 400
    assert send(api, f"/v2/publish/{HOOK}?{name}=true", {})[0] == 400
    assert api.logs()["logs"] == []


@pytest.mark.parametrize(
    "bad",
    [
        {"destination": HOOK, "headers": {"Upstash-Workflow-RunId": "wfr_1"}},
        {"destination": f"{HOOK}?upstash-workflow-init=true"},
    ],
)
def test_a_batch_with_a_workflow_is_refused_whole(api: Any, bad: Any) -> None:
    items = [{"destination": HOOK}] * 600 + [bad, 7, {"headers": 7}]

    status, answer = api.call("POST", "/v2/batch", json=items)

    assert (status, list(answer)) == (400, ["error"])
    assert answer["error"].endswith("workflows are not supported by this server")
    assert api.logs()["logs"] == []


def test_a_queue_name_on_a_message_takes_effect(api: Any) -> None:
    named = {"Upstash-Queue-Name": "line"}
    item = {"destination": HOOK, "headers": {"Upstash-Delay": "1d"} | named}
    messages = [
        send(api, f"/v2/publish/{HOOK}", named)[1],
        send(api, f"/v2/publish/{HOOK}?upstash-queue-name=line", {})[1],
        send(api, f"/v2/enqueue/line/{HOOK}", named)[1],
        *api.call("POST", "/v2/batch", json=[item, item | {"queue": "line"}])[1],
    ]

    found = [api.message(each["messageId"])["queueName"] for each in messages]
    assert found == ["line"] * 5
    assert api.call("GET", "/v2/queues/line")[1]["lag"] == 5


def test_two_names_of_a_queue_are_refused(api: Any) -> None:
    named = {"Upstash-Queue-Name": "line"}
    item = {"destination": HOOK, "headers": named, "queue": "other"}

    status, answer, _ = send(api, f"/v2/enqueue/other/{HOOK}", named)

    assert (status, answer["error"][:18]) == (400, "Upstash-Queue-Name")
    [answer] = api.call("POST", "/v2/batch", json=[item])[1]
    assert answer["error"].startswith("Upstash-Queue-Name")
