"""The ids that clients use. Each dialect registers how it writes them."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from scheduler_api.core.model import Owner


@dataclass(frozen=True)
class PublicIds:
    """How a dialect writes ids; by default, as they are stored.

    Attributes:
        event: takes the id of an event.
        schedule: takes the id and the name of a schedule; the name may be empty.
        stored: takes an id that clients use, of an event or a schedule; returns the
            stored id, or None if the text is no such id.
        deduplication: takes a deduplication id or an idempotency key; returns the names
            that its deduplication keys may have.
    """

    event: Callable[[str], str] = str
    schedule: Callable[[str, str], str] = lambda schedule_id, _name: schedule_id
    stored: Callable[[str], str | None] = str
    deduplication: Callable[[str], tuple[str, ...]] = lambda _text: ()


AS_STORED = PublicIds()
_BY_DIALECT: dict[str, PublicIds] = {}


def register(dialect: str, ids: PublicIds) -> None:
    """Register how the dialect with this name writes ids."""
    _BY_DIALECT[dialect] = ids


def event_id(owner: Owner, event_id: str) -> str:
    """Return the id of an event that its clients use; a malformed id is unchanged."""
    with suppress(KeyError, ValueError):
        return _BY_DIALECT[owner.dialect].event(event_id)
    return event_id


def schedule_id(owner: Owner, schedule_id: str, name: str) -> str:
    """Return the id of a schedule that its clients use; a malformed id is unchanged."""
    with suppress(KeyError, ValueError):
        return _BY_DIALECT[owner.dialect].schedule(schedule_id, name)
    return schedule_id


def stored_ids(text: str) -> dict[str, str]:
    """Return the stored id that a text is in each dialect; none where it is no id."""
    found = {name: ids.stored(text) for name, ids in _BY_DIALECT.items()}
    return {name: stored for name, stored in found.items() if stored is not None}


def deduplication_names(dialect: str, text: str) -> tuple[str, ...]:
    """Return the names that the deduplication keys of a text may have in a dialect."""
    return _BY_DIALECT.get(dialect, AS_STORED).deduplication(text)
