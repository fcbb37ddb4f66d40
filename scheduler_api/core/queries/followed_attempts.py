"""Reads finished attempts together with what they belong to."""

from collections.abc import Sequence
from dataclasses import dataclass
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import Attempt, Content, Owner
from scheduler_api.core.queries.heads import read_contents, read_records
from scheduler_api.core.queries.journal import Journal
from scheduler_api.core.store.attempt_feed import Entry
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.records import EVENT

FIELDS = EVENT.codes("owner", "schedule", "revision", "body_revision")


@dataclass(frozen=True)
class FollowedAttempt:
    """An attempt, and its event.

    `content` has no body; it is None if it is unreadable.
    """

    owner: Owner
    attempt: Attempt
    content: Content | None


def read(cell: Cell, entries: Sequence[Entry]) -> list[FollowedAttempt]:
    """Return attempts in their order; those that are gone or unreadable are left out.

    Redis: three round trips, and one for each event with a long head.
    """
    ids = dict.fromkeys(entry.event_id for entry in entries)
    found = read_records(cell, ids, FIELDS)
    records = {event_id: record for event_id, record in found if "owner" in record}
    contents = dict(read_contents(cell, records))
    attempts = Journal(cell).attempts(entries)
    return [
        FollowedAttempt(
            Owner.parse(records[attempt.event_id]["owner"].decode()),
            attempt,
            _readable(contents[attempt.event_id]),
        )
        for attempt in attempts
        if attempt is not None and attempt.event_id in records
    ]


def _readable(content: Content | UnreadableRecord) -> Content | None:
    return None if isinstance(content, UnreadableRecord) else content
