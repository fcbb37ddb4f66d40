"""Tests of invalid requests: the error lists every fault, and nothing is stored."""

import pytest
from collections.abc import Callable
from scheduler_api.dialects.events_v1.cron_grammar import GRAMMAR
from tests.core.cron.cron_times import refusal
from tests.dialects.events_v1.conftest import Api
from typing import Any

EMPTY, EMAIL = "eventOwner should not be empty", "eventOwner must be an email"
DATE = "endDate must be a valid ISO 8601 date string"
PAST = "endDate must be in the future"
CRON = "interval must be a valid cron expression"
URL = "callbackUrl must be a URL address"

CREATES: list[tuple[str, Any, list[str]]] = [
    *(("eventOwner", value, [EMPTY, EMAIL]) for value in (..., None, "")),
    *(("eventOwner", value, [EMAIL]) for value in (1, [], "user", "a@b", "a b@c.de")),
    ("eventOwner", "a" * 250 + "@example.com", [EMAIL]),
    *(("endDate", value, ["endDate should not be empty", DATE]) for value in (..., "")),
    *(("endDate", value, [DATE]) for value in (1, "soon", "2999", "20000-01-01")),
    *(
        ("endDate", value, [PAST])
        for value in ("2023-09-02T05:11:59.708Z", "2001-01-01")
    ),
    (
        "interval",
        ...,
        ["interval should not be empty", "interval must be a string"],
    ),
    ("interval", 5, ["interval must be a string"]),
    *(
        ("interval", value, [CRON, str(refusal(value, grammar=GRAMMAR))])
        for value in (
            *("* * * *", "* * * * * * *", "60 * * * * *", "0 0 24 * * *", "hello"),
            *("5-1 * * * *", "*/0 * * * *", "0 0 30 2 *", "H * * * *", "@every 1h"),
            *("@reboot", "0 0 0 1W * *", "-1 * * * *", "TZ=UTC * * * * *", " "),
            *("{} * * * *", "0 {0} * * *", "0 0 }{ * *"),
        )
    ),
    ("callbackUrl", ..., ["callbackUrl should not be empty", URL]),
    *(
        ("callbackUrl", value, [URL])
        for value in (1, "nowhere", "ftp://example.com/", "http://", "http://a b/")
    ),
    *(
        ("context", value, ["context must be an object"])
        for value in ([], "x", 1, True)
    ),
    *(("tags", value, ["tags must be an array"]) for value in ("prod", {}, 1)),
    ("tags", ["a", 1], ["each value in tags must be a string"]),
    (
        "tags",
        ["a" * 257],
        ["each value in tags must be shorter than or equal to 256 characters"],
    ),
    ("tags", ["a"] * 51, ["tags must contain no more than 50 elements"]),
]


@pytest.mark.parametrize(("name", "value", "messages"), CREATES)
def test_a_wrong_field_is_refused(api: Api, name: str, value: Any, messages: list[str]):
    error = api.error("POST", "/v1/events", api.body(**{name: value}))

    assert error == (400, messages)
    assert api.list_events() == ([], 0)


def test_all_faults_are_in_one_response_in_the_order_of_the_fields(api: Api):
    status, messages = api.error("POST", "/v1/events", {"tags": 1, "context": []})

    assert status == 400
    assert messages == [
        *(EMPTY, EMAIL),
        *("endDate should not be empty", DATE),
        *("interval should not be empty", "interval must be a string"),
        *("callbackUrl should not be empty", URL),
        *("context must be an object", "tags must be an array"),
    ]


def test_an_end_date_in_the_past_is_reported_with_other_faults(api: Api):
    body = api.body(endDate="2001-01-01", callbackUrl="x")

    assert api.error("POST", "/v1/events", body) == (400, [PAST, URL])


@pytest.mark.parametrize(
    ("name", "value", "messages"),
    [case for case in CREATES if case[0] != "eventOwner" and case[1] is not ...],
)
def test_a_patch_with_a_wrong_field_changes_nothing(
    api: Api, name: str, value: Any, messages: list[str]
):
    event = api.create()
    change = {"tags": ["new"], "interval": "@daily"} | {name: value}

    error = api.error("PATCH", f"/v1/events/{event['eventId']}", change)

    assert error == (400, messages)
    assert api.get(event["eventId"]) == event


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"a":', b"1", b"[" * 100_000, b"\xff"])
def test_a_body_that_is_not_an_object_is_refused(api: Api, raw: bytes):
    event = api.create()
    for method, path in [
        ("POST", "/v1/events"),
        ("PATCH", f"/v1/events/{event['eventId']}"),
    ]:
        error = api.error(method, path, data=raw)
        assert error == (400, ["the request body must be a JSON object"])


@pytest.mark.parametrize(
    "interval",
    [
        *("* * * 1 * *", "* 5 * * *", "*/2 * * * * *", "0 0 0 1 * MON", "0 0 * * 7"),
        *("0 0 0 L * *", "0 0 * * 1#2", "0 0 * * 5L", "@hourly", "@weekends"),
        *("1/15 * * * *", "  0   0 ? * mon  ", "*/100 * * * *", "1,2,2 * * * *"),
    ],
)
def test_an_interval_is_stored_unchanged(api: Api, interval: str):
    assert api.create(interval=interval)["interval"] == interval


@pytest.mark.parametrize(
    "settings", [{"https_only": True}, {"destination_ports": (443,)}]
)
def test_s07_settings_can_restrict_schemes_and_ports(
    make_api: Callable[..., Any], settings: dict[str, Any]
) -> None:
    api = make_api(**settings)
    forbidden, event = {"callbackUrl": "http://h/"}, api.create()
    expected = (400, ["callbackUrl must be a URL address"])

    assert api.error("POST", "/v1/events", api.body(**forbidden)) == expected
    assert api.error("PATCH", f"/v1/events/{event['eventId']}", forbidden) == expected
