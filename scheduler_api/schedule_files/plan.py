"""Compares a file with what the APIs list, and applies the difference."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from scheduler_api.schedule_files.entries import SECRET, Entry, Existing, Fields, leaves
from typing import Protocol


class Api(Protocol):
    """The schedules of a tenant in one API."""

    name: str
    fields: frozenset[str]
    has_ids: bool  # whether clients choose the ids of schedules

    def all(self) -> list[Existing]:
        """List all schedules. Raises: ApiError."""

    def create(self, entry: Entry) -> None:
        """Create a schedule. Raises: ApiError."""

    def replace(self, existing: Existing, entry: Entry) -> None:
        """Make a schedule what an entry says. Raises: ApiError."""

    def delete(self, existing: Existing) -> None:
        """Delete a schedule. Raises: ApiError."""

    def normal(self, fields: Fields) -> Fields:
        """Return fields so that different spellings of one value are equal."""

    def inherits(self, path: str, fields: Fields) -> bool:
        """Whether a value that the fields lack may come from elsewhere in the API."""


class Action(StrEnum):
    """What a step does."""

    CREATE = "create"
    CHANGE = "change"
    ADOPT = "adopt"
    REMOVE = "remove"


@dataclass(frozen=True)
class Change:
    """A field whose value changes; None: it has no value, or its default."""

    path: str
    old: object
    new: object


@dataclass(frozen=True)
class Step:
    """One request to an API, or a few for the same schedule."""

    action: Action
    api: Api
    id: str
    entry: Entry | None = None
    existing: Existing | None = None
    changes: tuple[Change, ...] = ()

    def run(self) -> None:
        """Send the requests.

        Raises: ApiError.
        """
        if self.existing is None:
            assert self.entry is not None
            self.api.create(self.entry)
        elif self.entry is None:
            self.api.delete(self.existing)
        else:
            self.api.replace(self.existing, self.entry)


def steps(
    entries: Iterable[Entry], existing: Iterable[Existing], apis: Mapping[str, Api]
) -> list[Step]:
    """Return what differs. Schedules that are no longer in the file come last."""
    unused = list(existing)
    planned = list[Step]()
    for entry in entries:
        api = apis[entry.api]
        found = _match(entry, unused, api)
        if found is not None:
            unused.remove(found)
        step = _step(entry, found, api)
        if step is not None:
            planned.append(step)
    gone = (each for each in unused if each.id is not None)
    return planned + [
        Step(Action.REMOVE, apis[each.api], each.id or "", existing=each)
        for each in gone
    ]


def _match(entry: Entry, existing: Iterable[Existing], api: Api) -> Existing | None:
    """Return the schedule of an entry.

    A schedule that came from no file matches by its id in QStash, where clients choose
    ids, and elsewhere by equal fields.
    """
    same_api = [each for each in existing if each.api == entry.api]
    for each in same_api:
        if each.id == entry.id:
            return each
    unnamed = [each for each in same_api if each.id is None]
    if api.has_ids:
        return next((each for each in unnamed if each.key == entry.id), None)
    wanted = api.normal(entry.fields)
    return next((each for each in unnamed if api.normal(each.fields) == wanted), None)


def _step(entry: Entry, found: Existing | None, api: Api) -> Step | None:
    if found is None:
        return Step(Action.CREATE, api, entry.id, entry=entry)
    changes = tuple(
        change
        for change in _changes(
            api.normal(found.fields), api.normal(entry.fields), entry
        )
        if change.new is not None or not api.inherits(change.path, entry.fields)
    )
    if not changes and (found.id is not None or not entry.from_file):
        return None
    action = Action.CHANGE if changes else Action.ADOPT
    return Step(action, api, entry.id, entry, found, changes)


def _changes(old: Fields, new: Fields, entry: Entry) -> tuple[Change, ...]:
    before, after = dict(leaves(old)), dict(leaves(new))
    secrets = {path.lower() for path in entry.secrets}

    def printed(path: str, value: object) -> object:
        return SECRET if value is not None and path.lower() in secrets else value

    return tuple(
        Change(path, printed(path, before.get(path)), printed(path, after.get(path)))
        for path in {**before, **after}
        if before.get(path) != after.get(path)
    )
