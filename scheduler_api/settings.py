"""Reads the settings of the engine and of all dialects from the environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import scrypt
from scheduler_api.core.settings.engine import EngineSettings, SettingsError
from scheduler_api.core.settings.variables import Variable, declared, write
from scheduler_api.dialects.outbound import DIALECTS
from typing import Any

PREFIX = "SCHED_"
DIGEST_BYTES = 6


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings(EngineSettings):
    """The settings of a process."""

    def __repr__(self) -> str:
        values = (f"{v.field}={self._show(v)!r}" for v in VARIABLES)
        return f"Settings({', '.join(values)})"

    def non_defaults(self) -> dict[str, str]:
        """Return the settings that differ from their defaults, with masked secrets."""
        return {
            v.name: self._show(v)
            for v in VARIABLES
            if v.required or write(self._value(v)) != v.default
        }

    def digest(self) -> str:
        """Return a digest of the settings that must be the same in all processes.

        The calculation takes about 10 ms of processor time, so that the digest does not
        help to guess SECRET_KEY.
        """
        shared = [(v.name, write(self._value(v))) for v in VARIABLES if not v.local]
        return _digest(repr(shared))

    def shared(self) -> dict[str, str]:
        """Return those of these settings that are not the defaults; secrets as digests.

        Each secret takes another 10 ms.
        """
        return {
            v.name: _digest(text) if v.mask else text
            for v in VARIABLES
            if not v.local and (text := write(self._value(v))) != v.default
        }

    def _show(self, v: Variable) -> str:
        return v.show(self._value(v))

    def _value(self, v: Variable) -> Any:
        owner = self if v.settings is EngineSettings else self.of(v.settings)
        return getattr(owner, v.field)


# The engine's variables come first; the table in the documentation has the same order.
VARIABLES = tuple(
    v
    for settings in (EngineSettings, *(dialect.settings for dialect in DIALECTS))
    for v in declared(settings)
)


def _digest(text: str) -> str:
    key = scrypt(text.encode(), salt=b"", n=4096, r=8, p=1, dklen=DIGEST_BYTES)
    return key.hex()


def from_env(environ: Mapping[str, str]) -> Settings:
    """Read the settings from `environ`; an empty value counts as absent.

    Raises:
        SettingsError: with one line per fault, which names the variable.
    """
    faults = [_unknown(name) for name in sorted(environ) if _is_unknown(name)]
    values: dict[type, dict[str, Any]] = {v.settings: {} for v in VARIABLES}
    for v in VARIABLES:
        text = environ.get(v.name, "")
        if not text:
            faults += [f"{v.name}: missing, expected {_expected(v)}"] * v.required
            continue
        try:
            values[v.settings][v.field] = v.parse(text)
        except ValueError as err:
            got = "" if v.mask else f", got {text!r}"
            faults.append(f"{v.name}: expected {err}{got}")
    if faults:
        raise SettingsError("\n".join(faults))
    own = values.pop(EngineSettings)
    dialects = tuple(kind(**by_field) for kind, by_field in values.items())
    return Settings(dialects=dialects, **own)


def _is_unknown(name: str) -> bool:
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
    """Return the table of all variables in Markdown."""
    rows = [
        f"| `{v.name}` | {'required' if v.required else _default(v)} | {v.doc} |"
        for v in VARIABLES
    ]
    return "\n".join(["| variable | default | meaning |", "| --- | --- | --- |", *rows])


def _default(optional: Variable) -> str:
    return f"`{optional.default}`" if optional.default else "none"
