"""Tests that each rule of security and of reliability is held by a test that names it.

S-01 to S-31 are in SECURITY.md. R-01 to R-32 are faults that the system survives:
`scripts/chaos` injects them, and tests hold what can be shown in seconds.
"""

import re
from tests.pages import ROOT

S_RULES = {f"S-{number:02}" for number in range(1, 32)}
R_RULES = {f"R-{number:02}" for number in range(1, 33)}
_TEST = re.compile(r"def test_((?:[a-z]\d\d_)+)")
_SCENARIO = re.compile(r"\bR-\d\d\b")


def in_names_of_tests() -> set[str]:
    found = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for numbers in _TEST.findall(path.read_text()):
            found |= {f"{n[0].upper()}-{n[1:]}" for n in numbers.split("_") if n}
    return found


def in_scenarios() -> set[str]:
    paths = (ROOT / "scripts").glob("chaos*.py")
    return {rule for path in paths for rule in _SCENARIO.findall(path.read_text())}


def test_every_promise_of_security_is_named_by_a_test() -> None:
    page = (ROOT / "SECURITY.md").read_text()
    promised = re.findall(r"^\| (S-\d\d) \|", page, re.MULTILINE)

    assert promised == sorted(S_RULES)
    assert S_RULES - in_names_of_tests() == set()


def test_every_fault_is_named_by_a_test_or_a_scenario() -> None:
    assert R_RULES - in_names_of_tests() - in_scenarios() == set()


def test_tests_name_only_rules_that_exist() -> None:
    named = {rule for rule in in_names_of_tests() if rule[0] in "SR"}

    assert named <= S_RULES | R_RULES
