"""Tests of the table of docs/cron.md: complete, and true of this project."""

import cron_scores
import json
import pytest
from cron_scores import GROUPS, OURS, is_right
from typing import Any

CASES = json.loads(cron_scores.CASES.read_text())["cases"]
FIRED = {"next": ["2025-01-01T00:00:00Z", "2025-01-01T00:01:00Z"]}
FIRST_MS, SECOND_MS = 1_735_689_600_000, 1_735_689_660_000


def test_each_group_of_cases_is_described() -> None:
    assert {case["group"] for case in CASES} == GROUPS.keys()


def test_the_page_has_the_score_of_this_project() -> None:
    lines = cron_scores.table(CASES, {OURS: cron_scores.read(CASES)}).splitlines()
    page = cron_scores.PAGE.read_text()

    assert [line for line in lines[2:] if line.removesuffix("|") not in page] == []
    assert lines[-1] == f"| all | {len(CASES)} of {len(CASES)} |"


@pytest.mark.parametrize(
    ("case", "times", "right"),
    [
        (FIRED, [FIRST_MS, SECOND_MS], True),
        (FIRED, [FIRST_MS], False),
        (FIRED, None, False),
        ({"refusal": "no"}, None, True),
        ({"refusal": "no"}, [FIRST_MS], False),
    ],
)
def test_an_answer_is_right_if_all_times_are(
    case: dict[str, Any], times: list[int] | None, right: bool
) -> None:
    assert is_right(case, times) == right
