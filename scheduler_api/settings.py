"""The settings of a process: the engine's and each dialect's, from its environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from scheduler_api.core.settings.engine import EngineSettings, SettingsError
from scheduler_api.core.settings.variables import Variable, declared, write
from scheduler_api.dialects.events_v1.settings import EventsV1Settings
from scheduler_api.dialects.jiter.settings import JiterSettings
from scheduler_api.dialects.qstash.settings import QstashSettings
from typing import Any

PREFIX = "SCHED_"


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings(EngineSettings, JiterSettings, QstashSettings, EventsV1Settings):
    """What one process was told; read once, at its start.

    The order of the bases is the order of the table in the README.
    """

    def __repr__(self) -> str:
        shown = (f"{v.field}={v.show(getattr(self, v.field))!r}" for v in VARIABLES)
        return f"Settings({', '.join(shown)})"

    def log_line(self) -> str:
        """`NAME=value` of all that differs from the defaults, secrets masked."""
        return " ".join(
            f"{v.name}={v.show(getattr(self, v.field))}"
            for v in VARIABLES
            if v.required or write(getattr(self, v.field)) != v.default
        )


VARIABLES = declared(Settings)


def from_env(environ: Mapping[str, str]) -> Settings:
    """Read the settings from `environ`; an empty value counts as absent.

    Raises:
        SettingsError: one line for each fault, naming the variable.
    """
    faults = [_unknown(name) for name in sorted(environ) if _is_stranger(name)]
    values: dict[str, Any] = {}
    for v in VARIABLES:
        text = environ.get(v.name, "")
        if not text:
            faults += [f"{v.name}: missing, expected {_expected(v)}"] * v.required
            continue
        try:
            values[v.field] = v.parse(text)
        except ValueError as err:
            got = "" if v.mask else f", got {text!r}"
            faults.append(f"{v.name}: expected {err}{got}")
    if faults:
        raise SettingsError("\n".join(faults))
    return Settings(**values)


def _is_stranger(name: str) -> bool:
    return name.startswith(PREFIX) and name not in {v.name for v in VARIABLES}


def _unknown(name: str) -> str:
    close = get_close_matches(name, [v.name for v in VARIABLES], n=1)
    return f"{name}: there is no such setting" + (f", {close[0]}?" if close else "")


def _expected(required: Variable) -> str:
    try:
        required.parse("")
    except ValueError as err:
        return str(err)
    return required.doc


def environment_table() -> str:
    """The table of all variables, in Markdown."""
    rows = [
        f"| `{v.name}` | {'required' if v.required else _default(v)} | {v.doc} |"
        for v in VARIABLES
    ]
    return "\n".join(["| variable | default | meaning |", "| --- | --- | --- |", *rows])


def _default(optional: Variable) -> str:
    return f"`{optional.default}`" if optional.default else "none"
