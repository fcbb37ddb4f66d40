"""Tests of the commands that list and change queues."""

import pytest
from scheduler_api.core.flow_control.queues import Queues
from scheduler_api.core.model import Gates, Owner
from scheduler_api.core.store import keys
from scheduler_api.core.store.gate_names import queue_gate
from scheduler_api.core.store.records import GATE
from tests.commands.cells import PREFIX, TENANT, OperatedCell, new_cell

OWNER = Owner(TENANT, "qstash")
BANK = "https://bank.example/pay"


@pytest.fixture
def cell(valkey: str) -> OperatedCell:
    """A cell with a queue that has three events."""
    made = new_cell(valkey)
    for _ in range(3):
        made.create(BANK, "qstash", gates=Gates(queue="orders"))
    return made


def orders(cell: OperatedCell, command: str, *words: str, answer: str = "") -> str:
    """Run a command for the queue; return what it prints."""
    options = ("--tenant", TENANT, *words)
    result = cell.call("queue", command, "orders", *options, answer=answer)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_list_has_the_queues_of_all_tenants_or_of_one(cell: OperatedCell):
    assert cell.run("tenant create Eve").exit_code == 0
    eve = Owner("2", "qstash")
    Queues(cell.cell).put(eve, "mails", parallelism=5, paused=True)
    every = cell.read_json("queue list")["queues"]
    one = cell.read_json("queue list --tenant 2")["queues"]

    assert [(each["tenant"], each["name"]) for each in every] == [
        ("1", "orders"),
        ("2", "mails"),
    ]
    assert one == every[1:]
    assert (one[0]["isPaused"], one[0]["parallelism"]) == (True, 5)


def test_the_list_goes_on_after_a_page(cell: OperatedCell):
    queues = Queues(cell.cell)
    for number in range(60):
        queues.put(OWNER, f"q{number}", parallelism=1, paused=False)

    assert len(cell.read_json("queue list")["queues"]) == 61


def test_a_queue_says_what_runs_and_what_waits_longest(cell: OperatedCell):
    before = cell.read_json("queue show orders --tenant 1")
    cell.engine.offer()
    after = cell.read_json("queue show orders --tenant 1")

    assert (before["running"], before["waiting"]) == (0, 3)
    assert (after["running"], after["waiting"]) == (1, 2)
    assert before["oldest"].startswith("msg_")
    assert before["oldest"] != after["oldest"]
    assert after["oldest"] in orders(cell, "show")


def test_a_queue_is_paused_and_resumed_with_audit_records(cell: OperatedCell):
    paused = orders(cell, "pause")
    state = cell.read_json("queue show orders --tenant 1")["isPaused"]
    resumed = orders(cell, "resume")
    audit = cell.read("audit list --tenant 1")

    assert (paused, state) == ("queue orders of tenant 1 is paused\n", True)
    assert resumed == "queue orders of tenant 1 is resumed\n"
    assert not cell.read_json("queue show orders --tenant 1")["isPaused"]
    assert 'queue.pause "orders"' in audit
    assert 'queue.resume "orders"' in audit


def test_a_resumed_queue_says_what_else_holds_its_first_event(cell: OperatedCell):
    cell.pause(BANK)
    orders(cell, "pause")

    assert "also held by https://bank.example" in orders(cell, "resume")


def test_more_events_are_sent_with_a_higher_parallelism(cell: OperatedCell):
    orders(cell, "set", "--parallelism", "2")

    assert len(cell.engine.offer().ids) == 2
    assert 'queue.put "orders"' in cell.read("audit list --tenant 1")


def test_a_deleted_queue_asks_first_and_cancels_its_events(cell: OperatedCell):
    words = ("queue", "delete", "orders", "--tenant", "1")
    refused = cell.call(*words, answer="n\n")
    kept = cell.read_json("queue list")["queues"]
    text = orders(cell, "delete", answer="y\n")

    assert "cancel its 3 events?" in refused.output
    assert (refused.exit_code, len(kept)) == (1, 1)
    assert "is deleted; 3 events are cancelled" in text
    assert cell.read_json("queue list")["queues"] == []
    assert 'queue.delete "orders"' in cell.read("audit list --tenant 1")


def test_an_unknown_queue_is_not_created(cell: OperatedCell):
    for command in ("show", "pause", "resume", "set --parallelism 2", "delete --yes"):
        result = cell.run(f"queue {command} mails --tenant 1")

        assert result.exit_code == 1, command
        assert "there is no queue mails of tenant 1: see `queue list" in result.output
    assert len(cell.read_json("queue list")["queues"]) == 1


def test_a_name_of_two_apis_is_not_guessed(cell: OperatedCell):
    jiter = Owner(TENANT, "jiter")
    Queues(cell.cell).put(jiter, "orders", parallelism=1, paused=False)
    result = cell.run("queue delete orders --tenant 1 --yes")

    assert result.exit_code == 1
    assert "several APIs have" in result.output


def test_a_queue_that_cannot_be_read_is_listed(cell: OperatedCell):
    key = keys.queue(PREFIX, queue_gate(OWNER, "orders"))
    cell.cell.client.hset(key, GATE.code("parallelism"), "x")
    shown = cell.run("queue show orders --tenant 1")

    assert "unreadable" in cell.read("queue list")
    assert cell.read_json("queue list")["queues"][0]["isPaused"] is None
    assert (shown.exit_code, "see `fsck`" in shown.output) == (1, True)
