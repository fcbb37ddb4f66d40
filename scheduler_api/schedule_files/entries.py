"""Reads and writes a file of schedules.

A schedule that came from a file has the text `file:<id>` in the API: as a label of
QStash, as a tag of Scheduler v1, as the fragment of a Jiter destination.
"""

import re
import yaml
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from scheduler_api.core.errors import SchedulerError
from typing import Any, cast

Fields = dict[str, Any]

MARKER = "file:"
SCHEDULES, ID, API, PAUSED = "schedules", "id", "api", "paused"
SECRET = "(secret)"

_ID = re.compile(r"[A-Za-z0-9_.-]{1,200}")
# `${NAME}` is a variable; `$${` is the text `${`.
_VARIABLE = re.compile(r"\$?\$\{([A-Za-z_][A-Za-z0-9_]*)?(\})?")
_SECRET_NAME = re.compile(
    "auth|cookie|token|secret|password|signature|credential|(^|[-_])key", re.IGNORECASE
)


class BadFile(SchedulerError):
    """The file cannot be used; the message says where and how."""


@dataclass(frozen=True)
class Entry:
    """A schedule in a file, with the values of its variables.

    Attributes:
        secrets: the paths of values that must not be printed, such as
            `headers.Authorization`.
        from_file: False: it is imported, and gets no marker, so that no file removes
            it.
    """

    id: str
    api: str
    fields: Fields
    secrets: frozenset[str] = frozenset()
    from_file: bool = True

    @property
    def marker(self) -> str:
        """The text by which the API shows that the schedule came from a file."""
        return f"{MARKER}{self.id}"


@dataclass(frozen=True)
class Existing:
    """A schedule that an API lists.

    Attributes:
        key: the id that the API needs to change it.
        id: its id in a file; None if it did not come from a file.
    """

    api: str
    key: str
    fields: Fields
    id: str | None = None


def read(
    text: str, *, accepted: Mapping[str, frozenset[str]], variables: Mapping[str, str]
) -> list[Entry]:
    """Return the schedules in a file.

    Args:
        accepted: the names of fields, by API.

    Raises: BadFile.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as err:
        raise BadFile(f"it is neither YAML nor JSON: {err}") from err
    listed = document.get(SCHEDULES) if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise BadFile(f"it has no list '{SCHEDULES}'")
    entries = [
        _entry(raw, number, accepted=accepted, variables=variables)
        for number, raw in enumerate(listed, 1)
    ]
    seen = set[str]()
    for entry in entries:
        if entry.id in seen:
            raise BadFile(f"two schedules have the id {entry.id}")
        seen.add(entry.id)
    return entries


def write(entries: list[Entry]) -> str:
    """Return the text of a file; secrets are written as variables to set."""
    listed = [
        {ID: entry.id, API: entry.api} | cast(Fields, _written(entry, entry.fields, ()))
        for entry in entries
    ]
    return yaml.safe_dump(
        {SCHEDULES: listed}, sort_keys=False, allow_unicode=True, width=88
    )


def leaves(fields: Fields, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield each value of nested objects with its path, such as `headers.Accept`."""
    for name, value in fields.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*path, str(name)))
        else:
            yield ".".join((*path, str(name))), value


def is_secret(path: str) -> bool:
    """Whether a value is probably a secret, by the name of its header."""
    group, _, name = path.partition(".")
    return group.lower().endswith("headers") and bool(_SECRET_NAME.search(name))


def variable_name(entry_id: str, path: str) -> str:
    """Return the name of the variable for a secret of a schedule."""
    name = re.sub(r"\W", "_", f"{entry_id}_{path.rpartition('.')[2]}").upper()
    return f"_{name}" if name[0].isdigit() else name


def _entry(
    raw: object,
    number: int,
    *,
    accepted: Mapping[str, frozenset[str]],
    variables: Mapping[str, str],
) -> Entry:
    if not isinstance(raw, dict):
        raise BadFile(f"schedule {number} is not an object")
    entry_id, api = raw.get(ID), raw.get(API)
    if not isinstance(entry_id, str) or not _ID.fullmatch(entry_id):
        raise BadFile(
            f"schedule {number} needs an id of up to 200 letters, digits, '_', '.', '-'"
        )
    if not isinstance(api, str) or api not in accepted:
        raise BadFile(f"{entry_id}: 'api' should be one of {', '.join(accepted)}")
    rest = {name: value for name, value in raw.items() if name not in (ID, API)}
    for name in rest:
        if name not in accepted[api]:
            fields = ", ".join(sorted(accepted[api]))
            raise BadFile(f"{entry_id}: {name!r} is unknown: {fields}")
    try:
        filled = _map(rest, lambda _, text: _filled(text, variables))
    except KeyError as err:
        raise BadFile(f"{entry_id}: the variable {err.args[0]} is not set") from err
    secrets = {
        path
        for path, value in leaves(rest)
        if is_secret(path) or (isinstance(value, str) and _has_variable(value))
    }
    return Entry(entry_id, api, cast(Fields, filled), frozenset(secrets))


def _map(
    value: object, change: Callable[[str, str], str], path: tuple[str, ...] = ()
) -> object:
    """Return a JSON value with all texts changed; `change` gets their paths."""
    if isinstance(value, dict):
        return {
            name: _map(each, change, (*path, str(name))) for name, each in value.items()
        }
    if isinstance(value, list):
        return [_map(each, change, path) for each in value]
    return change(".".join(path), value) if isinstance(value, str) else value


def _has_variable(text: str) -> bool:
    return any(
        found[1] and found[2] and not found[0].startswith("$$")
        for found in _VARIABLE.finditer(text)
    )


def _filled(text: str, variables: Mapping[str, str]) -> str:
    """Raises: KeyError, with the name of a variable that is not set."""

    def value(found: re.Match[str]) -> str:
        if found[0].startswith("$$"):
            return found[0][1:]
        return variables[found[1]] if found[1] and found[2] else found[0]

    return _VARIABLE.sub(value, text)


def _written(entry: Entry, value: object, path: tuple[str, ...]) -> object:
    def text_of(where: str, text: str) -> str:
        if where in entry.secrets:
            return f"${{{variable_name(entry.id, where)}}}"
        return text.replace("${", "$${")

    return _map(value, text_of, path)
