"""Tests of all endpoints for schedules, through the HTTP API."""

import base64
import pytest
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from scheduler_api.core.cron.expression import parse, upcoming
from scheduler_api.core.model import ScheduleOptions, ScheduleState
from scheduler_api.core.store import claims
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.reads import read_event
from scheduler_api.dialects.qstash.parsing import redaction
from scheduler_api.dialects.qstash.parsing.message import from_options
from scheduler_api.web.schedule_options import header_name
from tests.dialects.engine import SECRET_KEY, TIMEOUTS
from tests.dialects.qstash.endpoints.schedules.conftest import URL, Api
from typing import Any

MINUTE_MS, DAY_MS = 60_000, 86_400_000
REQUIRED = {
    "scheduleId",
    "destination",
    "cron",
    "createdAt",
    "method",
    "retries",
    "isPaused",
    "callerIP",
    "callerIp",
    "nextScheduleTime",
    "missedRuns",
    "skippedRuns",
    "timeZone",
    "gap",
    "fold",
    "overlap",
}


def test_a_schedule_has_all_its_settings(api: Api) -> None:
    headers = {
        "Upstash_Cron": " CRON_TZ=Europe/Berlin 30 9 * * MON-FRI\t",
        "Upstash_Schedule_Id": "every.working-day_1",
        "Upstash_Method": "PUT",
        "Upstash_Retries": "5",
        "Upstash_Retry_Delay": "1000 * (1 + retried)",
        "Upstash_Delay": "1m30s",
        "Upstash_Timeout": "20s",
        "Upstash_Forward_x_tracked": "é",
        "Upstash_Callback": "https://example.com/back",
        "Upstash_Callback_Forward_X_One": "1",
        "Upstash_Failure_Callback": "https://example.com/failed",
        "Upstash_Failure_Callback_Forward_X_Two": "2",
        "Upstash_Queue_Name": "slow",
        "Upstash_Flow_Control_Key": "key",
        "Upstash_Flow_Control_Value": "parallelism=2, rate=5, period=1m",
        "Upstash_Label": "one, two",
        "Content_Type": "text/plain",
    }

    schedule_id = api.create(f"{URL}//a?b=%2F&c=d", "hé".encode(), **headers)
    schedule = api.get(schedule_id)

    now_ms = api.cell.now_ms()
    rule = parse("30 9 * * 1-5", tz="Europe/Berlin")
    assert 0 <= now_ms - schedule.pop("createdAt") < MINUTE_MS
    assert schedule.pop("nextScheduleTime") == next(upcoming(rule, after_ms=now_ms))
    assert schedule == {
        "scheduleId": "every.working-day_1",
        "destination": f"{URL}//a?b=%2F&c=d",
        "cron": "CRON_TZ=Europe/Berlin 30 9 * * MON-FRI",
        "method": "PUT",
        "isPaused": False,
        "body": "hé",
        "header": {"Content-Type": ["text/plain"], "X-Tracked": ["é"]},
        "retries": 5,
        "retryDelayExpression": "1000 * (1 + retried)",
        "delay": 90,
        "timeout": 20,
        "callback": "https://example.com/back",
        "callbackHeader": {"X-One": ["1"]},
        "failureCallback": "https://example.com/failed",
        "failureCallbackHeader": {"X-Two": ["2"]},
        "queueName": "slow",
        "flowControlKey": "key",
        "parallelism": 2,
        "rate": 5,
        "period": 60,
        "callerIP": "127.0.0.1",
        "callerIp": "127.0.0.1",
        "label": "one",
        "labels": ["one", "two"],
        "timeZone": "Europe/Berlin",
        "gap": "after",
        "fold": "first",
        "missedRuns": "latest",
        "overlap": "run",
        "skippedRuns": 0,
    }
    assert api.all() == [api.get(schedule_id)]


def test_unset_fields_are_left_out(api: Api) -> None:
    schedule_id = api.create()
    schedule = api.get(schedule_id)

    assert schedule_id.startswith("scd_")
    assert schedule.keys() == REQUIRED
    assert (schedule["method"], schedule["retries"]) == ("POST", 3)


def test_a_binary_body_is_returned_in_base64(api: Api) -> None:
    body = b"\x00\xff\xfe"
    schedule = api.get(api.create(body=body))

    assert "body" not in schedule
    assert base64.b64decode(schedule["bodyBase64"]) == body


def test_query_parameters_work_like_headers(
    api: Api,
) -> None:
    path = f"/v2/schedules/{URL}?a=1&upstash-cron=@daily&UPSTASH-Retries=7&b=2"
    status, answer = api.call("POST", path)

    assert status == 200, answer
    schedule = api.get(answer["scheduleId"])
    assert schedule["destination"] == f"{URL}?a=1&b=2"
    assert (schedule["cron"], schedule["retries"]) == ("@daily", 7)


@pytest.mark.parametrize("path", ["/v2/schedules", "/v2/schedules/"])
def test_the_list_has_all_schedules_oldest_first(api: Api, path: str) -> None:
    ids = [api.create(Upstash_Schedule_Id=f"n{n:03}") for n in range(120)]

    status, schedules = api.call("GET", path)

    assert status == 200
    assert sorted(each["scheduleId"] for each in schedules) == ids
    created = [each["createdAt"] for each in schedules]
    assert created == sorted(created)
    assert schedules[7] == api.get(schedules[7]["scheduleId"])


def test_without_schedules_the_list_is_empty(api: Api) -> None:
    assert api.call("GET", "/v2/schedules") == (200, [])


def test_an_upsert_replaces_everything_and_keeps_the_time_of_creation(
    api: Api,
) -> None:
    schedule_id = api.create(
        body=b"old",
        Upstash_Schedule_Id="mine",
        Upstash_Label="old",
        Upstash_Retries="0",
        Upstash_Delay="10s",
        Upstash_Timeout="10s",
        Upstash_Callback="https://example.com/back",
        Scheduler_Missed_Runs="all",
    )
    before = api.get(schedule_id)

    again = api.create(
        "https://example.com/other",
        Upstash_Schedule_Id="mine",
        Upstash_Cron="@hourly",
    )

    schedule = api.get(again)
    assert again == schedule_id == "mine"
    assert schedule.keys() == REQUIRED
    assert schedule["destination"] == "https://example.com/other"
    assert (schedule["cron"], schedule["retries"]) == ("@hourly", 3)
    assert schedule["createdAt"] == before["createdAt"]
    assert api.all() == [schedule]
    assert api.stored("mine").deadline_ms == 900_000
    assert api.stored("mine").options == ScheduleOptions(journal=True)


def test_an_upsert_keeps_a_pause(api: Api) -> None:
    api.create(Upstash_Schedule_Id="mine")
    api.call("PATCH", "/v2/schedules/mine/pause")

    api.create(Upstash_Schedule_Id="mine", Upstash_Cron="@hourly")

    assert api.get("mine")["isPaused"] is True
    assert api.stored("mine").state is ScheduleState.PAUSED


def test_an_unnamed_schedule_can_be_replaced_by_its_id(api: Api) -> None:
    schedule_id = api.create(body=b"old")

    again = api.create(body=b"new", Upstash_Schedule_Id=schedule_id)

    assert again == schedule_id
    assert [each["body"] for each in api.all()] == ["new"]


def test_a_name_may_look_like_a_generated_id(api: Api) -> None:
    first = api.create()
    number = int(first.removeprefix("scd_"), 36)
    ahead = [f"scd_{n}" for n in range(number + 1, 10)]
    for name in ahead:
        api.create(Upstash_Schedule_Id=name, body=name.encode())

    made = [api.create() for _ in range(5)]

    ids = [each["scheduleId"] for each in api.all()]
    assert len(ids) == len(set(ids)) == 1 + len(ahead) + len(made)
    for name in ahead:
        assert api.get(name)["body"] == name


def test_a_named_schedule_has_no_generated_id(api: Api) -> None:
    api.create(Upstash_Schedule_Id="mine")
    internal = api.stored("mine").id

    assert api.call("GET", f"/v2/schedules/scd_{internal}") == (
        404,
        {"error": f"schedule scd_{internal} not found"},
    )


def test_many_upserts_at_once_make_one_schedule(api: Api) -> None:
    def upsert(n: int) -> int:
        return int(api.try_create(body=b"%d" % n, Upstash_Schedule_Id="mine")[0])

    with ThreadPoolExecutor(8) as pool:
        statuses = set(pool.map(upsert, range(40)))

    assert statuses == {200}
    assert len(api.all()) == 1


@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_pause_and_resume_may_be_repeated(api: Api, method: str) -> None:
    schedule_id = api.create(Upstash_Cron="* * * * *")
    for word, paused in (("pause", True), ("resume", False)):
        for _ in range(2):
            path = f"/v2/schedules/{schedule_id}/{word}"
            assert api.call(method, path) == (200, None)
            assert api.get(schedule_id)["isPaused"] is paused


def test_a_paused_schedule_skips_its_fire_times(api: Api) -> None:
    schedule_id = api.create(Upstash_Cron="* * * * *", Scheduler_Missed_Runs="all")
    api.call("PATCH", f"/v2/schedules/{schedule_id}/pause")
    tick_ms = api.stored(schedule_id).times_ms[0]
    at_tick = Cell(api.client, "{s1}:", clock_ms=tick_ms)

    claimed = claims.claim(at_tick, room=10, timeouts=TIMEOUTS).ids
    api.call("PATCH", f"/v2/schedules/{schedule_id}/resume")

    assert claimed == []
    assert api.stored(schedule_id).times_ms[0] > api.cell.now_ms()
    assert api.get(schedule_id)["skippedRuns"] == 0


@pytest.mark.parametrize("word", ["pause", "resume"])
def test_a_destination_may_end_with_the_name_of_an_action(api: Api, word: str) -> None:
    for url in (f"https://example.com/{word}", f"https://example.com/a/{word}"):
        assert api.get(api.create(url))["destination"] == url
        assert api.get(api.create(url))["isPaused"] is False


def test_a_deleted_schedule_is_gone_but_its_last_message_is_sent(api: Api) -> None:
    schedule_id = api.create(Upstash_Schedule_Id="mine")
    event_id, _ = api.run(schedule_id)

    assert api.call("DELETE", "/v2/schedules/mine") == (200, None)

    gone = (404, {"error": "schedule mine not found"})
    assert api.call("GET", "/v2/schedules/mine") == gone
    assert api.call("DELETE", "/v2/schedules/mine") == gone
    assert api.call("PATCH", "/v2/schedules/mine/pause") == gone
    assert api.call("POST", "/v2/schedules/mine/resume") == gone
    assert api.all() == []
    assert event_id in [m.decode() for m in api.client.zrange("{s1}:leased", 0, -1)]


@pytest.mark.parametrize(
    "schedule_id", ["scd_0", "scd_zzzzzzzz", "scd_", "scd_A", "x", "scd_é", "%00"]
)
def test_unknown_schedules_are_not_found(api: Api, schedule_id: str) -> None:
    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        ("PATCH", "/pause"),
        ("POST", "/resume"),
        ("POST", "/run"),
        ("GET", "/runs"),
    ):
        status, answer = api.call(method, f"/v2/schedules/{schedule_id}{path}")
        assert status == 404
        assert list(answer) == ["error"]


OPTIONS = {
    "timeZone": "Europe/Berlin",
    "gap": "skip",
    "fold": "both",
    "missedRuns": "all",
    "mostMissed": 7,
    "startDate": "2031-01-01T00:00:00.000Z",
    "endDate": "2032-01-01T00:00:00.000Z",
    "maxRuns": 12,
    "jitter": "90s",
    "overlap": "skip",
}


def test_every_option_is_returned_as_it_was_sent(api: Api) -> None:
    headers = {header_name(name): str(value) for name, value in OPTIONS.items()}

    schedule_id = api.create(Upstash_Schedule_Id="mine", **headers)

    schedule = api.get(schedule_id)
    assert {name: schedule[name] for name in OPTIONS} == OPTIONS
    stored = api.stored(schedule_id)
    assert stored.tz == "Europe/Berlin"
    assert stored.options.max_runs == 12
    api.create(Upstash_Schedule_Id="mine")
    assert OPTIONS.keys() & api.get(schedule_id).keys() == {
        *("timeZone", "gap", "fold", "missedRuns", "overlap")
    }


def test_headers_of_a_forwarded_delivery_are_not_options(api: Api) -> None:
    api.create(Scheduler_Event_Id="msg_1", Scheduler_Attempt="2")


def test_another_tenant_cannot_see_or_change_a_schedule(
    api: Api, make_api: Callable[..., Api]
) -> None:
    made, named = api.create(body=b"a"), api.create(Upstash_Schedule_Id="mine")
    before = api.all()
    other = make_api()

    for schedule_id in (made, named):
        for method, path in (
            *(("GET", ""), ("DELETE", ""), ("PATCH", "/pause")),
            *(("POST", "/run"), ("GET", "/runs")),
        ):
            status, _ = other.call(method, f"/v2/schedules/{schedule_id}{path}")
            assert status == 404
        other.create(body=b"b", Upstash_Schedule_Id=schedule_id)

    assert api.all() == before
    assert len(other.all()) == 2


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"Upstash_Cron": ""}, "Upstash-Cron"),
        ({"Upstash_Cron": "* * * *"}, "Upstash-Cron"),
        ({"Upstash_Cron": "* * * * * *"}, "Upstash-Cron"),
        ({"Upstash_Cron": "61 * * * *"}, "Upstash-Cron"),
        ({"Upstash_Cron": "0 0 30 2 *"}, "Upstash-Cron"),
        ({"Upstash_Cron": "CRON_TZ=Mars/Base * * * * *"}, "Upstash-Cron"),
        ({"Upstash_Schedule_Id": "a b"}, "Upstash-Schedule-Id"),
        ({"Upstash_Schedule_Id": "a/b"}, "Upstash-Schedule-Id"),
        ({"Upstash_Queue_Name": "a b"}, "Upstash-Queue-Name"),
        ({"Upstash_Retries": "-1"}, "Upstash-Retries"),
        ({"Upstash_Retry_Delay": "import os"}, "Upstash-Retry-Delay"),
        ({"Upstash_Delay": "soon"}, "Upstash-Delay"),
        ({"Upstash_Callback": "nowhere"}, "Upstash-Callback"),
        ({"Upstash_Callback": "http://127.0.0.1/"}, "Upstash-Callback"),
        ({"Scheduler_Missed_Runs": "some"}, "Scheduler-Missed-Runs"),
        ({"Scheduler_Most_Missed": "5"}, "Scheduler-Most-Missed"),
        (
            {"Scheduler_Missed_Runs": "all", "Scheduler_Most_Missed": "0"},
            "Scheduler-Most-Missed",
        ),
        (
            {"Scheduler_Missed_Runs": "all", "Scheduler_Most_Missed": "1001"},
            "Scheduler-Most-Missed",
        ),
        ({"Scheduler_Time_Zone": "Mars/Base"}, "Scheduler-Time-Zone"),
        (
            {
                "Upstash_Cron": "CRON_TZ=Asia/Tokyo 0 0 * * *",
                "Scheduler_Time_Zone": "Europe/Berlin",
            },
            "Scheduler-Time-Zone",
        ),
        (
            {
                "Upstash_Cron": "CRON_TZ=UTC 0 0 * * *",
                "Scheduler_Time_Zone": "Asia/Tokyo",
            },
            "Scheduler-Time-Zone",
        ),
        ({"Scheduler_End_Date": "2020-01-01T00:00:00Z"}, "Scheduler-End-Date"),
        ({"Scheduler_Overlap": "never"}, "Scheduler-Overlap"),
        ({"Scheduler_Max_Run": "3"}, "Scheduler-Max-Run is unknown"),
    ],
)
def test_an_error_names_the_header_and_nothing_is_stored(
    api: Api, headers: dict[str, str], name: str
) -> None:
    status, answer = api.try_create(**headers)

    assert status == 400
    assert answer["error"].startswith(name), answer
    assert api.all() == []


def test_options_are_accepted_with_the_sdks_forward_prefix(api: Api) -> None:
    name = api.create(
        Upstash_Forward_Scheduler_Missed_Runs="skip",
        Upstash_Forward_Scheduler_Job="nightly",
    )
    status, answer = api.try_create(Upstash_Forward_Scheduler_Missed_Runs="some")

    schedule = api.get(name)
    assert schedule["missedRuns"] == "skip"
    assert schedule["header"] == {"Scheduler-Job": ["nightly"]}
    assert (status, answer["error"][:21]) == (400, "Scheduler-Missed-Runs")


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("group-of.urls_1", 404),
        ("ftp://example.com/", 400),
        ("http://", 400),
        ("http://127.0.0.1/", 400),
        ("a/b", 400),
    ],
)
def test_a_bad_destination_is_refused(api: Api, url: str, status: int) -> None:
    found, answer = api.try_create(url)

    assert (found, list(answer)) == (status, ["error"])
    assert api.all() == []


def test_a_body_above_the_limit_is_refused(make_api: Callable[..., Api]) -> None:
    api = make_api(body_limit_bytes=10)

    assert api.try_create(body=b"x" * 10)[0] == 200
    assert api.try_create(body=b"x" * 11)[0] == 413


def test_redacted_values_are_hidden_in_answers_and_sent_unchanged(api: Api) -> None:
    schedule_id = api.create(
        body=b"secret",
        Upstash_Forward_X_Open="open",
        Upstash_Forward_X_Key="key",
        Upstash_Redact_Fields="body, header[x-key]",
    )
    key = redaction.key_of(api.owner.tenant, secret_key=SECRET_KEY)

    for schedule in (api.get(schedule_id), *api.all()):
        assert schedule["body"] == redaction.placeholder(b"secret", key=key)
        assert schedule["header"]["X-Key"] == [redaction.placeholder(b"key", key=key)]
        assert schedule["header"]["X-Open"] == ["open"]
    event_id, _ = api.run(schedule_id)
    content = read_event(api.cell, api.owner, event_id).content
    assert content.body == b"secret"
    assert ("X-Key", "key") in from_options(content.options).headers


def test_a_wrong_token_is_refused(api: Api) -> None:
    api.token = "wrong"

    assert api.try_create()[0] == 401
    assert api.call("GET", "/v2/schedules")[0] == 401


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("action", ["pause", "resume"])
@pytest.mark.parametrize("what", ["unknown", "a%2Fb", "a/b", "%20", "\u00fc"])
def test_an_action_on_an_invalid_id_is_refused(
    api: Any, method: str, action: str, what: str
) -> None:
    path = f"/v2/schedules/{what}/{action}"
    headers = {"Upstash-Cron": "* * * * *"}

    assert api.call(method, path, headers=headers)[0] in {404, 405}
    assert api.call("GET", "/v2/schedules") == (200, [])
