"""Tests of `scripts/chaos`: which rules have a scenario, and the table."""

import click
import json
import pytest
from chaos import SCENARIOS, command_of, main, selected
from chaos_table import Row, update_page
from dataclasses import replace
from pathlib import Path
from tests.system.report import Report, Tally

RULES = [f"R-{number:02}" for number in range(1, 33)]
MADE = {"command": "scripts/chaos", "at": "2026-12-02", "cores": 2, "minutes": 1}
SOUND = Tally(
    accepted=3,
    lost=[],
    in_tail=0,
    repeated_in_tail=0,
    duplicates=0,
    unwarned=0,
    in_flight=0,
    early=0,
    late_ms=[1.0, 2.0, 30.0],
    undelivered=[],
    fsck=[],
)


def row_of(*tallies: Tally) -> Row:
    row = Row("kills", "A worker is killed.", ("R-01",))
    for number, tally in enumerate(tallies):
        row.add(Report(tally, kills=2), seed=f"kills-1-{number}", took_s=1)
    return row


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_has_a_scenario(rule: str) -> None:
    assert [name for name in SCENARIOS if rule in SCENARIOS[name].rules]


def test_names_and_rules_select_scenarios() -> None:
    assert selected(("drain",), ("R-02",)) == ["kills-before-start", "drain"]
    assert selected((), ()) == list(SCENARIOS)


@pytest.mark.parametrize(
    "tally",
    [
        replace(SOUND, lost=["a"]),
        replace(SOUND, lost=["a", "b"], in_tail=1),
        replace(SOUND, duplicates=1),
        replace(SOUND, duplicates=2, repeated_in_tail=1),
        replace(SOUND, duplicates=1, in_flight=1, unwarned=1),
        replace(SOUND, early=1),
        replace(SOUND, undelivered=["a is dead"]),
        replace(SOUND, fsck=["fault"]),
    ],
)
def test_one_bad_round_fails_the_verdict_and_names_its_seed(tally: Tally) -> None:
    row = row_of(SOUND, tally, SOUND)

    assert row.verdict == "failed: 1"
    assert "(kills-1-1)" in row.problems[0]


@pytest.mark.parametrize(
    "tally",
    [
        SOUND,
        replace(SOUND, duplicates=1, in_flight=1),
        replace(SOUND, lost=["a"], in_tail=1, duplicates=1, repeated_in_tail=1),
    ],
)
def test_explained_duplicates_and_a_lost_tail_keep_the_verdict(tally: Tally) -> None:
    assert row_of(tally).verdict == "holds"


def test_rounds_add_up_in_the_json_and_in_the_page(tmp_path: Path) -> None:
    row = row_of(SOUND, replace(SOUND, late_ms=[4.0], accepted=1))
    row.fail("timed out", seed="kills-1-2", took_s=9)
    page = tmp_path / "page.md"
    page.write_text(
        "before\n<!-- figures -->\noutdated\n<!-- end of figures -->\nafter\n"
    )

    update_page(page, [row], MADE)
    found = json.loads(json.dumps(row.to_json()))

    assert (found["rounds"], found["accepted"], found["delivered"]) == (3, 4, 4)
    assert (found["late_p50_ms"], found["late_max_ms"]) == (4, 30)
    assert (found["holds"], found["problems"]) == (False, ["timed out (kills-1-2)"])
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "| kills | R-01 | 3 | 4 | 4 | 4 | 0 |" in text
    assert (
        "4 processes were killed, 4 of them by the scenarios of R-01 and R-02" in text
    )
    assert "outdated" not in text


def test_the_command_in_the_table_has_no_paths(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("")
    files = ["--json", str(tmp_path / "chaos.json"), "--page", str(page)]
    words = ["kills", "--rounds", "5", "--rule", "R-06", "--rule", "R-07", *files]

    command = command_of(main.make_context("chaos", words))

    assert command == "scripts/chaos kills --rule R-06 --rule R-07 --rounds 5"


def test_a_page_that_does_not_exist_is_refused_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(click.BadParameter, match="does not exist"):
        main.make_context("chaos", ["--page", str(tmp_path / "page.md")])
