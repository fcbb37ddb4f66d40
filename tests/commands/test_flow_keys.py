"""Tests of the commands that list and change flow-control keys."""

import pytest
from scheduler_api.core.model import FlowLimits, Gates
from tests.commands.cells import TENANT, OperatedCell, new_cell

BANK = "https://bank.example/pay"
KEY = "a key"


@pytest.fixture
def cell(valkey: str) -> OperatedCell:
    """A cell with a key that lets one of three events begin."""
    made = new_cell(valkey)
    flow = FlowLimits(KEY, rate=1, period_ms=60_000)
    for _ in range(3):
        made.create(BANK, "qstash", gates=Gates(flow=flow))
    return made


def run(cell: OperatedCell, command: str, *words: str) -> str:
    """Run a command for the key; return what it prints."""
    result = cell.call("flow", command, KEY, "--tenant", TENANT, *words)
    assert result.exit_code == 0, result.output
    return result.output


def begin(cell: OperatedCell) -> int:
    """Let a worker begin what may begin; return how many events it began."""
    began, _ = cell.engine.worker().try_begin(*cell.engine.offer().ids)
    return len(began)


def state(cell: OperatedCell) -> dict[str, object]:
    [found] = cell.read_json("flow list --tenant 1")["flowControlKeys"]
    return found


def test_a_key_says_its_limits_and_what_waits(cell: OperatedCell):
    begin(cell)
    text = " ".join(run(cell, "show").split())

    assert "rate 1 of 1 in 1 min" in text
    assert "waiting 2" in text
    assert "oldest msg_" in text
    assert (state(cell)["rate"], state(cell)["periodMs"]) == (1, 60_000)
    assert (state(cell)["begun"], state(cell)["waiting"]) == (1, 2)


def test_a_key_is_paused_and_resumed_with_audit_records(cell: OperatedCell):
    paused = run(cell, "pause")
    was_paused = state(cell)["isPaused"]
    held = begin(cell)
    resumed = run(cell, "resume")
    audit = cell.read("audit list --tenant 1")

    assert paused == f"flow-control key {KEY} of tenant 1 is paused\n"
    assert (was_paused, held) == (True, 0)
    assert resumed == f"flow-control key {KEY} of tenant 1 is resumed\n"
    assert not state(cell)["isPaused"]
    assert f'flow.pause "{KEY}"' in audit
    assert f'flow.resume "{KEY}"' in audit


def test_pinned_limits_stay_until_they_are_unpinned(cell: OperatedCell):
    flow = FlowLimits(KEY, parallelism=9)
    run(cell, "pin", "--parallelism", "2", "--rate", "5", "--period", "10")
    cell.create(BANK, "qstash", gates=Gates(flow=flow))
    pinned = state(cell)
    run(cell, "unpin", "--parallelism")
    cell.create(BANK, "qstash", gates=Gates(flow=flow))
    unpinned = state(cell)

    assert (pinned["parallelism"], pinned["isParallelismPinned"]) == (2, True)
    assert (pinned["rate"], pinned["periodMs"]) == (5, 10_000)
    assert (unpinned["parallelism"], unpinned["isParallelismPinned"]) == (9, False)
    assert unpinned["isRatePinned"] is True
    audit = cell.read("audit list --tenant 1")
    assert f'flow.pin "{KEY}"' in audit
    assert f'flow.unpin "{KEY}"' in audit


def test_both_limits_are_unpinned_by_default(cell: OperatedCell):
    run(cell, "pin", "--parallelism", "2", "--rate", "5")
    run(cell, "unpin")

    assert state(cell)["isParallelismPinned"] is False
    assert state(cell)["isRatePinned"] is False


def test_a_new_period_lets_events_begin(cell: OperatedCell):
    begin(cell)
    before = state(cell)["begun"]
    run(cell, "reset")

    assert before == 1
    assert state(cell)["begun"] == 0
    assert f'flow.reset "{KEY}"' in cell.read("audit list --tenant 1")


def test_wrong_limits_change_nothing(cell: OperatedCell):
    before = state(cell)
    for words in ("pin", "pin --period 5", "pin --parallelism 0", "pin --rate x"):
        assert cell.run(f"flow {words} '{KEY}' --tenant 1").exit_code == 2, words

    assert state(cell) == before


def test_an_unknown_key_is_not_created(cell: OperatedCell):
    for command in ("show", "pause", "resume", "pin --rate 1", "unpin", "reset"):
        result = cell.run(f"flow {command} other --tenant 1")

        assert result.exit_code == 1, command
        assert "there is no flow-control key other of tenant 1" in result.output
    assert len(cell.read_json("flow list")["flowControlKeys"]) == 1
