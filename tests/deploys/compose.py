"""The compose file in `docs/containers/`."""

import re
import shlex
import yaml
from collections.abc import Mapping
from pathlib import Path
from tests.procfile import ROOT
from typing import Any

FILE = ROOT / "docs" / "containers" / "compose.yaml"
SERVICES: Mapping[str, dict[str, Any]] = yaml.safe_load(FILE.read_text())["services"]

_REQUIRED = re.compile(r"\$\{(\w+):\?[^}]*\}")


def command(service: str) -> list[str]:
    """The command of a service."""
    return shlex.split(SERVICES[service]["command"])


def environ(service: str, given: Mapping[str, str]) -> dict[str, str]:
    """The environment of a service.

    Args:
        given: the variables of the shell that runs `docker compose`.

    Raises: KeyError, if the shell lacks a variable that the file requires.
    """
    values = SERVICES[service].get("environment", {})
    return {
        name: _REQUIRED.sub(lambda match: given[match[1]], value)
        for name, value in values.items()
    }


def stop_within_s(service: str) -> int:
    """How long the engine waits after SIGTERM."""
    return int(SERVICES[service].get("stop_grace_period", "10s").removesuffix("s"))


def dockerfile() -> Path:
    """The file that builds the image of a process."""
    build = SERVICES["web"]["build"]
    return (FILE.parent / build["context"] / build["dockerfile"]).resolve()


def context() -> list[str]:
    """The files and folders of the checkout that the image is built from.

    All others are ignored.
    """
    everything, *lines = Path(f"{dockerfile()}.dockerignore").read_text().split()
    assert everything == "*"
    return [line.removeprefix("!") for line in lines if line.startswith("!")]
