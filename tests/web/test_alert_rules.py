"""Tests of the alert rules and the dashboard, with Prometheus' own `promtool`."""

import json
import os
import pytest
import shutil
import subprocess
import yaml
from pathlib import Path
from tests.pages import ROOT
from typing import Any

FOLDER = ROOT / "docs" / "prometheus"
RULES, DASHBOARD = FOLDER / "rules.yml", FOLDER / "dashboard.json"
CASES = Path(__file__).with_name("alert_rules.yml")
VARIABLES = {"$__rate_interval": "5m", "$job": "scheduler"}


def promtool(*args: object) -> None:
    if shutil.which("promtool") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("promtool is not installed; CI must test the alert rules")
        pytest.skip("needs promtool")
    done = subprocess.run(
        ["promtool", *map(str, args)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def expressions_of_dashboard() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    found = [target["expr"] for panel in panels for target in panel["targets"]]
    for name, value in VARIABLES.items():
        found = [text.replace(name, value) for text in found]
    return found


def test_alerts_are_raised_when_they_should_be_and_not_before() -> None:
    promtool("test", "rules", CASES)


def test_each_alert_is_shown_to_be_raised_and_not_to_be() -> None:
    cases = yaml.safe_load(CASES.read_text())["tests"]
    tests = [each for case in cases for each in case["alert_rule_test"]]
    for is_raised in (False, True):
        tested = {t["alertname"] for t in tests if ("exp_alerts" in t) == is_raised}
        assert tested == {rule["alert"] for rule in rules()}


def test_prometheus_can_read_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    records = [
        {"record": f"scheduler:query_{i}", "expr": text}
        for i, text in enumerate(expressions_of_dashboard())
    ]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.dump({"groups": [{"name": "dashboard", "rules": records}]}))

    promtool("check", "rules", path)
