"""Tests of the list of events: filters, order, search window and limit."""

import pytest
import time
from collections.abc import Callable
from itertools import combinations
from scheduler_api.core.ids import to_id
from scheduler_api.core.store import keys
from scheduler_api.core.store.records import EVENT
from scheduler_api.core.timestamps import from_iso, to_iso
from typing import Any
from urllib.parse import urlencode

MINUTE_MS = 60_000
DAY_MS = 86_400_000
STATUSES = [
    "Pending",
    "Cancelled",
    "Queued",
    "Sent",
    "Failed To Send",
    "Failed To Queue",
]


def _ids(api: Any, query: str = "", **filters: str) -> list[str]:
    status, events = api.call("GET", f"/api/events?{query}{urlencode(filters)}")
    assert status == 200, events
    return [event["id"] for event in events]


@pytest.fixture
def one_of_each(api: Any) -> dict[str, str]:
    """Create an event of each status, oldest first; return the ids by status."""
    events = {
        status: api.create_past(ago_ms=5000 - n) for n, status in enumerate(STATUSES)
    }
    api.call("PUT", f"/api/events/{events['Cancelled']}", {"status": "Cancelled"})
    api.attempt(events["Queued"], "retry", status=500)
    api.attempt(events["Sent"], "delivered", status=200)
    api.attempt(events["Failed To Send"], "dead", status=500)
    api.cell.client.zadd(
        keys.quarantine(api.cell.prefix),
        {to_id(int(events["Failed To Queue"])): api.cell.now_ms()},
    )
    return events


def test_an_empty_list_is_an_empty_array(api: Any) -> None:
    assert api.call("GET", "/api/events") == (200, [])


def test_a_listed_event_equals_the_created_one(api: Any) -> None:
    first, second = api.create(), api.create(payload="\ud83d\u2028é")

    assert api.call("GET", "/api/events") == (200, [first, second])


def test_the_list_without_filters_has_every_status(
    api: Any, one_of_each: dict[str, str]
) -> None:
    _, events = api.call("GET", "/api/events")

    found = {event["status"]: event["id"] for event in events}
    assert found == one_of_each
    assert len(events) == len(STATUSES)


@pytest.mark.parametrize("status", STATUSES)
def test_a_status_selects_its_events(
    api: Any, one_of_each: dict[str, str], status: str
) -> None:
    assert _ids(api, status=status) == [one_of_each[status]]


@pytest.mark.parametrize("pair", list(combinations(STATUSES, 2)))
def test_statuses_can_be_combined_with_commas(
    api: Any, one_of_each: dict[str, str], pair: tuple[str, str]
) -> None:
    wanted = sorted({one_of_each[status] for status in pair}, key=int)

    assert _ids(api, status=",".join(pair)) == wanted


def test_the_official_client_s_encoding_of_statuses_is_accepted(
    api: Any, one_of_each: dict[str, str]
) -> None:
    found = _ids(api, "status=Pending%2CFailed+To+Send")

    assert found == [one_of_each["Pending"], one_of_each["Failed To Send"]]


@pytest.mark.parametrize("status", ["pending", "Pending,Nope", "Sent,,Queued", "%00"])
def test_an_unknown_status_is_refused(api: Any, status: str) -> None:
    code, response = api.call("GET", f"/api/events?status={status}")

    assert code == 400
    assert response["message"].startswith("'status' must be one of 'Pending'")


@pytest.mark.parametrize(
    "query",
    [
        "status=",
        "status=undefined",
        "scheduledStartDate=undefined&scheduledEndDate=undefined",
        "sentAtStartDate=undefined&sentAtEndDate=",
        "failedAtStartDate=&failedAtEndDate=undefined",
        "unknown=1",
    ],
)
def test_undefined_and_empty_filters_are_ignored(
    api: Any, one_of_each: dict[str, str], query: str
) -> None:
    assert _ids(api, query) == sorted(one_of_each.values(), key=int)


@pytest.mark.parametrize(
    "name",
    [
        "scheduledStartDate",
        "scheduledEndDate",
        "sentAtStartDate",
        "sentAtEndDate",
        "failedAtStartDate",
        "failedAtEndDate",
    ],
)
@pytest.mark.parametrize("text", ["x", "5", "2026-13-01T00:00:00Z", "null", "%00"])
def test_the_refusal_of_a_wrong_date_names_the_parameter(
    api: Any, name: str, text: str
) -> None:
    response = api.call("GET", f"/api/events?{name}={text}")

    assert response == (400, {"message": f"'{name}' must be a valid ISO timestamp"})


def test_scheduled_bounds_are_inclusive(api: Any) -> None:
    base_ms = api.cell.now_ms() + MINUTE_MS
    times = [to_iso(base_ms + n) for n in range(5)]
    ids = [api.create(scheduledTime=time)["id"] for time in times]

    assert _ids(api, scheduledStartDate=times[1]) == ids[1:]
    assert _ids(api, scheduledEndDate=times[3]) == ids[:4]
    bounds = {"scheduledStartDate": times[1], "scheduledEndDate": times[3]}
    assert _ids(api, **bounds) == ids[1:4]
    assert _ids(api, scheduledStartDate=times[3], scheduledEndDate=times[1]) == []


def test_scheduled_bounds_filter_every_status(
    api: Any, one_of_each: dict[str, str]
) -> None:
    _, events = api.call("GET", "/api/events")

    for event in events:
        at = event["scheduledTime"]
        found = _ids(api, scheduledStartDate=at, scheduledEndDate=at)
        assert found == [event["id"]]


def test_scheduled_bounds_may_be_in_the_past(api: Any) -> None:
    event = api.create()["id"]

    assert _ids(api, scheduledStartDate="1950-01-01T00:00:00Z") == [event]
    assert _ids(api, scheduledEndDate="1950-01-01T00:00:00Z") == []


@pytest.mark.parametrize(
    ("name", "outcome"), [("sentAt", "delivered"), ("failedAt", "dead")]
)
def test_bounds_of_sent_at_and_failed_at_are_inclusive(
    api: Any, name: str, outcome: str
) -> None:
    ids = [api.create_past(ago_ms=DAY_MS) for _ in range(4)]
    pending = api.create_past(ago_ms=DAY_MS)
    now_ms = api.cell.now_ms() - 1000
    for n, event in enumerate(ids):
        api.engine.attempt(to_id(int(event)), outcome, now_ms=now_ms + n, status=200)

    times = [to_iso(now_ms + n) for n in range(4)]
    assert _ids(api, **{f"{name}StartDate": times[1]}) == ids[1:]
    assert _ids(api, **{f"{name}EndDate": times[2]}) == ids[:3]
    bounds = {f"{name}StartDate": times[1], f"{name}EndDate": times[2]}
    assert _ids(api, **bounds) == ids[1:3]
    assert _ids(api) == [*ids, pending]


def test_filters_of_sent_at_and_failed_at_exclude_each_other(
    api: Any, one_of_each: dict[str, str]
) -> None:
    recent = to_iso(api.cell.now_ms() - MINUTE_MS)

    assert _ids(api, sentAtStartDate=recent) == [one_of_each["Sent"]]
    assert _ids(api, failedAtStartDate=recent) == [
        one_of_each["Failed To Send"],
        one_of_each["Failed To Queue"],
    ]
    assert _ids(api, sentAtStartDate=recent, failedAtStartDate=recent) == []
    assert _ids(api, sentAtStartDate=recent, status="Pending") == []


@pytest.mark.parametrize("name", ["sentAt", "failedAt"])
def test_a_start_before_the_search_window_is_refused(api: Any, name: str) -> None:
    old = to_iso(api.cell.now_ms() - 7 * DAY_MS - 2 * MINUTE_MS)
    within_tolerance = to_iso(api.cell.now_ms() - 7 * DAY_MS - MINUTE_MS // 2)

    response = api.call("GET", f"/api/events?{name}StartDate={old}")

    message = f"{name}StartDate is outside of the searchable range"
    assert response == (400, {"message": message})
    assert _ids(api, **{f"{name}StartDate": within_tolerance}) == []


def test_the_search_window_is_a_setting(make_api: Callable[..., Any]) -> None:
    api = make_api(search_window_days=30)
    event = api.create_past(ago_ms=20 * DAY_MS)
    api.attempt(event, "delivered", ago_ms=20 * DAY_MS, status=200)

    start = to_iso(api.cell.now_ms() - 25 * DAY_MS)

    assert _ids(api, sentAtStartDate=start) == _ids(api) == [event]


def test_events_sent_or_failed_before_the_search_window_are_not_listed(
    api: Any,
) -> None:
    names = ("delivered", "dead", "retry", "waiting", "recent")
    events = {name: api.create_past(ago_ms=30 * DAY_MS) for name in names}
    for name in ("delivered", "dead", "retry"):
        api.attempt(events[name], name, ago_ms=8 * DAY_MS, status=200)
    api.attempt(events["recent"], "delivered", ago_ms=6 * DAY_MS, status=200)

    found = [events[name] for name in ("retry", "waiting", "recent")]
    assert _ids(api) == found
    assert _ids(api, sentAtEndDate=to_iso(api.cell.now_ms())) == [events["recent"]]


def test_events_are_ordered_by_scheduled_time_and_id(api: Any) -> None:
    at_ms = api.cell.now_ms() + MINUTE_MS
    same = [api.create(scheduledTime=to_iso(at_ms))["id"] for _ in range(40)]
    late = api.create(scheduledTime=to_iso(at_ms + 1))["id"]
    early = api.create(scheduledTime=to_iso(at_ms - 1))["id"]

    assert _ids(api) == [early, *same, late]


def test_the_list_limit_omits_the_last_events(make_api: Callable[..., Any]) -> None:
    api = make_api(list_limit=3)
    ids = [api.create()["id"] for _ in range(5)]

    assert _ids(api) == ids[:3]


def test_a_rescheduled_event_is_listed_at_its_new_time(api: Any) -> None:
    first, second = api.create()["id"], api.create()["id"]

    later = to_iso(api.cell.now_ms() + 5 * MINUTE_MS)
    api.call("PUT", f"/api/events/{first}", {"scheduledTime": later})

    assert _ids(api) == [second, first]
    assert _ids(api, scheduledStartDate=later) == [first]


def test_occurrences_of_cron_jobs_are_not_in_the_list(api: Any) -> None:
    job = api.create_cron()
    fire_ms = from_iso(job["nextExecutionDate"])
    occurrence = f"{to_id(int(job['id']))}.{fire_ms // 1000}"
    api.engine.attempt(occurrence, "delivered", now_ms=fire_ms, status=200)

    assert _ids(api) == []
    assert _ids(api, sentAtStartDate=to_iso(fire_ms - MINUTE_MS)) == []


@pytest.mark.parametrize("damage", [b"never", b"9" * 30, b"\xff"])
@pytest.mark.parametrize("field", ["created_ms", "due_ms"])
def test_an_unreadable_record_does_not_hide_others(
    api: Any, field: str, damage: bytes
) -> None:
    ids = [api.create()["id"] for _ in range(3)]
    key = keys.event(api.cell.prefix, to_id(int(ids[1])))

    api.cell.client.hset(key, EVENT.code(field), damage)

    assert _ids(api) == [ids[0], ids[2]]


def test_a_broken_index_is_an_internal_error(api: Any) -> None:
    key = keys.by_time(api.cell.prefix, str(api.owner), "active")
    api.cell.client.set(key, "no index")

    response = api.call("GET", "/api/events")

    assert response == (500, {"message": "Unable to get events"})


def test_a_full_list_is_fast_among_100_000_finished_events(api: Any) -> None:
    client, prefix, owner = api.cell.client, api.cell.prefix, str(api.owner)
    now_ms = api.cell.now_ms()
    pipe = client.pipeline(transaction=False)
    for start in range(1_000, 101_000, 1_000):
        wanted = {to_id(n): now_ms - n for n in range(start, start + 1_000)}
        pipe.zadd(keys.by_time(prefix, owner, "delivered"), wanted)
        pipe.zadd(keys.finished(prefix, owner, "delivered"), wanted)
    pipe.execute()
    at_ms = now_ms + MINUTE_MS
    record = {
        **{"format": 1, "owner": owner, "created_ms": now_ms},
        **{"deadline_ms": 1, "due_ms": at_ms},
    }
    stored = {EVENT.code(name): value for name, value in record.items()}
    for number in range(200_000, 201_500):
        event_id = to_id(number)
        pipe.hset(keys.event(prefix, event_id), mapping=stored)
        pipe.set(keys.body(prefix, event_id), b'{"u":"http://example.com"}\n{}')
        pipe.zadd(keys.by_time(prefix, owner, "active"), {event_id: at_ms})
    pipe.execute()

    began_s = time.perf_counter()
    ids = _ids(api, status="Pending")
    took_s = time.perf_counter() - began_s

    assert ids == [str(number) for number in range(200_000, 201_000)]
    # The official client times out after 5 seconds.
    assert took_s < 5


def test_a_query_that_is_not_utf_8_is_accepted(api: Any) -> None:
    raw = {"QUERY_STRING": "status=&other=\xff"}

    assert api.call("GET", "/api/events", environ_overrides=raw) == (200, [])
