"""Tests that log lines name events and schedules as their clients do."""

import logging
import pytest
import redis
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import Owner
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.reads import log_quarantined, log_unreadable, name_members
from scheduler_api.core.store.records import EVENT, SCHEDULE
from scheduler_api.dialects import outbound

PREFIX = "{s1}:"
V1_ID = "00000000-0000-4000-8000-000000000052"


@pytest.fixture
def cell(store_client: redis.Redis) -> Cell:
    assert outbound.DIALECTS
    return Cell(store_client, PREFIX)


def put_event(cell: Cell, event_id: str, owner: str) -> None:
    cell.client.hset(keys.event(PREFIX, event_id), EVENT.code("owner"), owner)


def put_schedule(cell: Cell, schedule_id: str, owner: str, name: str) -> None:
    codes = SCHEDULE.codes("owner", "name")
    record = dict(zip(codes, (owner, name), strict=True))
    cell.client.hset(keys.schedule(PREFIX, schedule_id), mapping=record)


def test_each_member_has_the_owner_and_the_id_of_its_client(cell: Cell):
    put_event(cell, "2a", "5:qstash")
    put_event(cell, "2b", "5:jiter")
    put_schedule(cell, "2a", "5:qstash", "daily")
    put_schedule(cell, "2b", "5:qstash", "")
    put_schedule(cell, "2a2", "5:jiter", "")
    put_event(cell, "2a.9", "5:events_v1")

    found = name_members(cell, ["2a", "~2b", "s:2a", "s:2b", "s:2a2", "2a.9"])

    qstash, jiter, v1 = Owner("5", "qstash"), Owner("5", "jiter"), "5:events_v1"
    assert found == [
        {"event": "msg_2a", "owner": qstash},
        {"event": "83", "owner": jiter},
        {"schedule": "daily", "owner": qstash},
        {"schedule": "scd_2b", "owner": qstash},
        {"schedule": "2954", "owner": jiter},
        {"event": f"{V1_ID}_9", "owner": Owner.parse(v1)},
    ]


def test_a_member_without_a_readable_owner_is_named_as_it_is(cell: Cell):
    cell.client.set(keys.event(PREFIX, "2a"), "no record")

    found = name_members(cell, ["g:q:5:qstash:orders", "2a", "2c", "s:2c"])

    assert [each["member"] for each in found] == [
        *("g:q:5:qstash:orders", "2a", "2c", "s:2c")
    ]


def test_a_malformed_id_does_not_prevent_the_line(
    cell: Cell, caplog: pytest.LogCaptureFixture
):
    put_event(cell, "not base 36", "5:jiter")

    with caplog.at_level(logging.WARNING):
        log_unreadable(cell, "not base 36", UnreadableRecord("attempts: x"))

    assert caplog.messages == [
        'record.unreadable event="not base 36" owner=5:jiter problem="attempts: x"'
    ]


def test_a_quarantined_member_is_logged_with_the_reason(
    cell: Cell, caplog: pytest.LogCaptureFixture
):
    put_event(cell, "2a", "5:qstash")
    reasons = {"2a": "due_ms is missing", "g:q:5:qstash:orders": "bad gate"}
    cell.client.hset(keys.quarantine_reasons(PREFIX), mapping=reasons)

    log_quarantined(cell, ["~2a", "g:q:5:qstash:orders"])

    assert caplog.messages == [
        'record.quarantined event=msg_2a owner=5:qstash problem="due_ms is missing"',
        'record.quarantined member=g:q:5:qstash:orders problem="bad gate"',
    ]
