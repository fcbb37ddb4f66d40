"""Tests of the commands that list, show and cancel events."""

import json
import pytest
import re
from scheduler_api.core import public_ids
from scheduler_api.core.cron.expression import FULL
from scheduler_api.core.deduplication import DeduplicationKey
from scheduler_api.core.model import Content, Gates, Owner, State
from scheduler_api.core.schedules.schedules import Schedules
from scheduler_api.core.store import audit, keys
from scheduler_api.dialects.qstash.parsing.ids import message_key_name
from tests.commands.cells import PREFIX, TENANT, OperatedCell, new_cell
from typing import Any

BANK, SHOP = "https://bank.example/pay", "https://shop.example/order"
OWNERS = {name: Owner(TENANT, name) for name in ("jiter", "qstash", "events_v1")}


@pytest.fixture
def cell(valkey: str) -> OperatedCell:
    return new_cell(valkey)


def public(event_id: str, dialect: str = "jiter") -> str:
    return public_ids.event_id(OWNERS[dialect], event_id)


def end(cell: OperatedCell, event: str, outcome: str = "delivered", **log: Any) -> None:
    cell.engine.settle(cell.engine.begin(event), outcome, **{"status": 200} | log)


def listed(cell: OperatedCell, words: str = "") -> list[dict[str, Any]]:
    result = cell.run(f"events list --json {words}")
    assert result.exit_code == 0, result.output
    return list(json.loads(result.output)["events"])


def count(cell: OperatedCell, state: State, dialect: str = "jiter") -> int:
    key = keys.by_time(PREFIX, str(OWNERS[dialect]), state)
    return cell.cell.client.zcard(key)


@pytest.fixture
def several(cell: OperatedCell) -> dict[str, str]:
    """Public ids: a delivered, a failed, a due and a scheduled event."""
    made = {
        "delivered": cell.create(BANK),
        "failed": cell.create(SHOP, "qstash", gates=Gates(queue="orders")),
    }
    end(cell, made["delivered"])
    end(cell, made["failed"], "dead", status=503, reason="exhausted")
    made["due"] = cell.create(SHOP)
    made["scheduled"] = cell.create(BANK, "events_v1", delay_ms=3_600_000)
    dialects = ("jiter", "qstash", "jiter", "events_v1")
    pairs = zip(made.items(), dialects, strict=True)
    return {name: public(each, dialect) for (name, each), dialect in pairs}


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("", ["due", "failed", "delivered"]),
        ("--status scheduled", ["scheduled"]),
        ("--status failed", ["failed"]),
        (f"--url {SHOP}", ["due", "failed"]),
        ("--queue orders", ["failed"]),
        ("--to 2020-01-01T00:00:00Z", []),
        ("--from 2020-01-01T00:00:00Z --status due", ["due"]),
        ("--tenant 1 --count 1", ["due"]),
    ],
)
def test_the_list_has_the_events_that_match(
    cell: OperatedCell, several: dict[str, str], words: str, names: list[str]
):
    assert [each["id"] for each in listed(cell, words)] == [several[n] for n in names]


def test_the_list_filters_by_label_and_by_tenant(cell: OperatedCell):
    cell.run("tenant create Bob")
    labelled = Content(BANK, b"x", {"e": "a@example.com", "t": ["prod"]})
    tagged = cell.add(OWNERS["events_v1"], labelled)
    other = cell.add(Owner("2", "jiter"), Content(BANK, b"x"))

    named = [public(tagged, "events_v1")], [public(other)]
    assert [each["id"] for each in listed(cell, "--label prod")] == named[0]
    assert [each["id"] for each in listed(cell, "--tenant 2")] == named[1]
    assert {each["tenant"] for each in listed(cell)} == {"1", "2"}


def test_a_list_goes_on_at_its_position(cell: OperatedCell):
    made = [public(cell.create(BANK)) for _ in range(5)]
    first = json.loads(cell.run("events list --json --count 3").output)
    result = cell.run(f"events list --json --count 3 --after {first['next']}")
    second = json.loads(result.output)
    shown = cell.run("events list --count 3")

    found = [each["id"] for page in (first, second) for each in page["events"]]
    assert found == [*reversed(made)]
    assert second["next"] is None
    assert f"--after {first['next']}" in shown.stderr
    assert shown.stdout.count("https://") == 3


def test_a_list_fits_into_80_columns_and_breaks_no_id(cell: OperatedCell):
    event = public(cell.create(f"{BANK}/{'x' * 100}", "events_v1"), "events_v1")
    screen = cell.run("events list", COLUMNS="80", TTY_COMPATIBLE="1").stdout
    lines = re.sub(r"\x1b\[[0-9;]*m", "", screen).splitlines()

    assert max(map(len, lines)) <= 80
    assert any(event in line for line in lines)
    assert len(cell.run("events list").stdout.splitlines()) == 2


def test_the_list_says_where_unfinished_events_are(cell: OperatedCell):
    cell.pause(BANK)
    cell.wait_at_gate(BANK, 1)
    retried, sent = cell.create(SHOP), cell.create(SHOP)
    end(cell, retried, "retry", delay_ms=60_000, status=503)
    cell.engine.begin(sent)
    text = cell.run("events list").output

    assert [word in text for word in ("held", "retry in ", "being sent")] == [True] * 3
    assert "retry in 59" in text or "retry in 1 min" in text
    assert sorted((each["isWaiting"], each["isSent"]) for each in listed(cell)) == [
        *((False, False), (False, True)),
        (True, False),
    ]


@pytest.mark.parametrize("dialect", OWNERS)
def test_an_event_is_shown_by_the_id_of_its_client(cell: OperatedCell, dialect: str):
    name = public(cell.create(BANK, dialect), dialect)

    assert cell.run(f"events show {name}").output.startswith(f"Event {name}: due\n")


def test_an_event_is_shown_by_its_deduplication_id(cell: OperatedCell):
    key = DeduplicationKey(message_key_name("order-7"), 60_000)
    name = public(cell.create(BANK, "qstash", deduplication=key), "qstash")

    assert cell.run("events show order-7").output.startswith(f"Event {name}: due\n")


def test_an_event_is_shown_with_request_attempts_and_response(cell: OperatedCell):
    event = cell.create(BANK)
    end(cell, event, "retry", delay_ms=0, error="refused", status=None)
    end(cell, event, connect_ms=2.0, first_byte_ms=9.0, response='{"ok":\ttrue}\n')
    text = cell.run(f"events show {public(event)}").output
    words = " ".join(text.split())

    assert f"Request of the last attempt\nPOST {BANK}\n" in text
    assert "X-Jiter-Signature: (masked)\n" in text
    assert "the receiver refused the connection (refused); took 10 ms" in words
    assert "connected after 2 ms; first byte after 9 ms" in words
    assert 'Response to attempt 2\nstatus 200\n\n{"ok":  true}' in text


def test_the_json_of_an_event_has_everything(cell: OperatedCell):
    event = cell.add(OWNERS["events_v1"], Content(BANK, b"\xff\0"))
    end(cell, event, "retry", delay_ms=60_000, status=500, headers=["x-a", "b"])
    result = cell.run(f"events show {public(event, 'events_v1')} --json")
    [found] = json.loads(result.output)["found"]
    [attempt] = found["attempts"]

    assert found["request"]["bodyBase64"] == "/wA="
    assert (found["status"], attempt["errorCode"]) == ("due", "http-500")
    assert attempt["next"] == found["next"]


def test_a_schedule_is_no_event(cell: OperatedCell):
    made = Schedules(cell.cell, grace_ms=60_000).create(
        OWNERS["qstash"],
        Content(BANK, b"x"),
        expression="0 8 * * *",
        tz="UTC",
        grammar=FULL,
        deadline_ms=60_000,
    )
    result = cell.run(f"events show scd_{made.id}")

    assert result.exit_code == 1
    assert f"scd_{made.id} is a schedule: see `why`" in result.output


@pytest.mark.parametrize("command", ["show", "cancel"])
def test_an_unknown_id_is_said_to_be_unknown(cell: OperatedCell, command: str):
    result = cell.run(f"events {command} msg_nothing")

    assert result.exit_code == 1
    assert "no event and no schedule has the id msg_nothing" in result.output


def test_events_are_cancelled_by_id(cell: OperatedCell):
    made = [cell.create(BANK) for _ in range(3)]
    sent, ended = cell.create(BANK), cell.create(BANK)
    cell.engine.begin(sent)
    end(cell, ended)
    first = cell.run(f"events cancel {public(made[0])} {public(made[1])}")
    second = cell.run(f"events cancel {public(sent)} {public(ended)}")

    assert (first.exit_code, count(cell, State.CANCELLED)) == (0, 2)
    assert second.exit_code == 1
    assert f"{public(sent)} is being sent; it is cancelled if" in second.output
    assert f"{public(ended)} has ended already" in second.output
    assert audit.newest(cell.cell, TENANT, count=9)[0].change.action == "event.cancel"


def test_nothing_is_cancelled_if_one_id_is_unknown(cell: OperatedCell):
    event = cell.create(BANK)
    result = cell.run(f"events cancel {public(event)} msg_nothing")

    assert result.exit_code == 1
    assert count(cell, State.ACTIVE) == 1


def test_a_dry_run_cancels_nothing(cell: OperatedCell):
    event = cell.create(BANK)
    results = [
        cell.run(f"events cancel --dry-run {words}")
        for words in (public(event), "--tenant 1")
    ]

    assert results[0].output == f"{public(event)} would be cancelled\n"
    assert results[1].output == "1 event matches\n"
    assert count(cell, State.ACTIVE) == 1


def test_what_matches_is_counted_and_cancelled_after_a_question(cell: OperatedCell):
    for delay_ms in (0, 3_600_000):
        for url in (BANK, SHOP):
            cell.create(url, delay_ms=delay_ms)
    words = f"events cancel --tenant 1 --url {BANK}"
    refused = cell.call(*words.split(), answer="n\n")
    before = count(cell, State.ACTIVE)
    done = cell.call(*words.split(), answer="y\n")

    assert (refused.exit_code, before) == (1, 4)
    assert done.output.startswith("2 events match\nCancel them? [y/N]: y\n")
    assert done.output.endswith("2 events cancelled\n")
    assert {each["destination"] for each in listed(cell, "--status due")} == {SHOP}
    assert "url=https://bank" in cell.run("audit list --tenant 1").output


@pytest.mark.parametrize(
    "words", ["", "--url x", "msg_1 --tenant 1", "--tenant 9", "--status dead"]
)
def test_wrong_use_of_cancel_changes_nothing(cell: OperatedCell, words: str):
    cell.create(BANK)

    assert cell.run(f"events cancel --yes {words}").exit_code == 2
    assert count(cell, State.ACTIVE) == 1
