"""Tests of the units of systemd in `docs/systemd/`."""

import os
import pytest
import re
import shutil
import subprocess
from pathlib import Path
from scheduler_api.core.settings.engine import EngineSettings
from tests.deploys.units import INSTALLED, SERVICES, copy_units, options, role_of
from tests.procfile import PROCFILE, ROOT

ANALYZE = "systemd-analyze"
# Of 10, for a service that may do everything. systemd calls less than 2 "OK".
EXPOSURE_MAX = 2


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, and systemd's program that checks them."""
    if shutil.which(ANALYZE) is None:
        if os.environ.get("CI") == "true":
            pytest.fail("systemd is not installed; CI must check the units")
        pytest.skip("needs systemd-analyze")
    return copy_units(tmp_path)


def analyze(*words: str | Path) -> str:
    """Run systemd-analyze; return all of its output.

    Raises: AssertionError, if it exits with an error.
    """
    result = subprocess.run(
        [ANALYZE, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


def test_systemd_finds_nothing_wrong_in_the_units(units: Path):
    names = [*units.glob("*.service"), *units.glob("*.target")]

    assert len(names) == len(PROCFILE) + 1
    assert analyze("verify", "--man=no", *names) == ""


def test_systemd_reads_what_all_units_have_in_common(units: Path):
    common = units / "scheduler-.service.d" / "common.conf"
    common.write_text("[Service]\nUnknown=1\n")
    worker = units / "scheduler-worker@.service"

    assert "Unknown key 'Unknown'" in analyze("verify", "--man=no", worker)


def test_systemd_calls_no_unit_exposed(units: Path):
    threshold = f"--threshold={EXPOSURE_MAX * 10}"

    for unit in units.glob("*.service"):
        assert "exposure level" in analyze("security", "--offline=yes", threshold, unit)


def test_the_units_start_the_commands_of_the_procfile():
    commands = {role_of(service): options(service)["ExecStart"] for service in SERVICES}

    assert commands == {
        role: [f"{INSTALLED}/bin/{line}"] for role, line in PROCFILE.items()
    }


def test_the_page_names_all_units_and_no_others():
    page = (ROOT / "docs" / "systemd.md").read_text()
    named = set(re.findall(r"scheduler-[a-z]+@?|scheduler\.target", page))

    units = {service.stem for service in SERVICES}
    assert named == units | {"scheduler.target"}


def test_systemd_lets_a_worker_finish_its_deliveries():
    [worker] = [service for service in SERVICES if role_of(service) == "worker"]
    [seconds] = options(worker)["TimeoutStopSec"]

    assert int(seconds) >= EngineSettings.drain_grace_s + 5
