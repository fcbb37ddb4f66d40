"""The units of systemd in `docs/systemd/`, as a machine has them."""

import shlex
import shutil
import sys
from collections import defaultdict
from pathlib import Path
from tests.procfile import ROOT

FOLDER = ROOT / "docs" / "systemd"
COMMON = FOLDER / "scheduler-.service.d" / "common.conf"
# Where the page installs the packages; tests have theirs somewhere else.
INSTALLED = "/opt/scheduler"
SERVICES = sorted(FOLDER.glob("*.service"))


def role_of(service: Path) -> str:
    """The process that a service starts."""
    return service.stem.removeprefix("scheduler-").rstrip("@")


def options(service: Path) -> dict[str, list[str]]:
    """The options of a service and those of all services, each with its values."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in (service.read_text() + COMMON.read_text()).splitlines():
        name, is_option, value = line.partition("=")
        if is_option and not name.startswith("#"):
            found[name].append(value)
    return found


def command(service: Path) -> list[str]:
    """The command of a service, with the packages of the tests."""
    [line] = options(service)["ExecStart"]
    return shlex.split(line.replace(INSTALLED, sys.prefix))


def environ(service: Path) -> dict[str, str]:
    """The environment that the unit itself sets."""
    return dict(line.split("=", 1) for line in options(service)["Environment"])


def copy_units(folder: Path) -> Path:
    """Copy the units; in the copies, the packages are those of the tests."""
    copied = shutil.copytree(FOLDER, folder / "units")
    for file in copied.glob("*.service"):
        file.write_text(file.read_text().replace(INSTALLED, sys.prefix))
    return copied
