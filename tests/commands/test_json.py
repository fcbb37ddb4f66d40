"""Tests that what people read as a table, programs read as JSON."""

import pytest
from rich.table import Table
from scheduler_api.commands.common import print_table
from tests.commands.cells import OperatedCell, new_cell
from tests.commands.click_tree import commands
from typing import Any

BANK = "https://bank.example/pay"
LISTS = [(words, each) for words, each in commands() if words[-1] in ("list", "show")]


@pytest.fixture
def cell(valkey: str) -> OperatedCell:
    """A cell with a paused destination and a dead letter."""
    made = new_cell(valkey)
    engine = made.engine
    event = made.create(BANK)
    engine.settle(engine.begin(event), "dead", status=503)
    assert made.run(f"destination pause 1 {BANK}").exit_code == 0
    return made


@pytest.mark.parametrize(
    ("words", "name", "expected"),
    [
        ("tenant list", "tenants", {"tenant": "1", "name": "Ada"}),
        ("token list --tenant 1", "tokens", {"isReadOnly": False, "validUntil": None}),
        (
            "destination list",
            "destinations",
            {"destination": "https://bank.example:443", "breaker": "closed"},
        ),
        (
            "dead-letters list --tenant 1",
            "deadLetters",
            {"destination": BANK, "attempts": 1, "code": "http-503"},
        ),
        (
            "audit list --tenant 1",
            "records",
            {"action": "destination.pause", "object": "https://bank.example:443"},
        ),
        (
            "cron --tz Europe/Berlin --after 2027-01-01T00:00:00Z '0 8 * * *'",
            "runs",
            {"at": "2027-01-01T07:00:00Z", "local": "2027-01-01T08:00:00"},
        ),
    ],
)
def test_a_list_is_one_document(
    cell: OperatedCell, words: str, name: str, expected: dict[str, Any]
):
    first = cell.read_json(words)[name][0]

    assert first | expected == first


def test_jobs_and_limits_are_documents(cell: OperatedCell):
    retried = cell.run("dead-letters retry --tenant 1 --yes --rate 9")
    assert retried.exit_code == 0, retried.output
    assert cell.run("tenant limits 1 --pending-events 5").exit_code == 0
    [job] = cell.read_json("dead-letters jobs --tenant 1")["jobs"]
    limits = cell.read_json("tenant limits 1")["limits"]

    assert (job["action"], job["state"], job["done"]) == ("retry", "done", 1)
    assert limits["pending_events"] == {"value": 5, "isOwn": True, "used": 1}
    assert limits["requests_per_s"]["value"] is None


def test_faults_of_the_store_are_a_document(cell: OperatedCell):
    sound = cell.read_json("fsck")
    cell.cell.client.set("{s1}:lost", "x")
    result = cell.run("fsck --json")

    assert sound == {"faults": [], "quarantined": []}
    assert result.exit_code == 1
    assert '"key": "lost"' in result.output


@pytest.mark.parametrize(
    ("words", "command"), LISTS, ids=[" ".join(w) for w, _ in LISTS]
)
def test_every_list_has_json(words: tuple[str, ...], command: Any):
    assert "as_json" in [param.name for param in command.params]


def test_no_cell_of_a_table_is_cut_off_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    table = Table("name", "time")
    table.add_row("n" * 60, "2027-01-01T12:00:00Z")
    print_table(table)
    output = capsys.readouterr().out

    assert output.count("n") >= 60
    assert "…" not in output
