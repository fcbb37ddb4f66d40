"""The record of an event: its fields (`keys.event` lists them). Pure."""

from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import Event, Owner, State
from scheduler_api.core.store import codec


def read_event(
    event_id: str,
    record: dict[bytes, bytes],
    stored: bytes | None,
    stuck_score: float | None,
) -> Event:
    """An event from its record and its content.

    Raises: UnreadableRecord.
    """
    try:
        at_ms = int(record[b"at"])
        return Event(
            id=event_id,
            owner=Owner.parse(record[b"o"].decode()),
            content=codec.decode_content(stored or b""),
            state=State(record.get(b"st", b"active").decode()),
            wanted_ms=int(record.get(b"w", at_ms)),
            next_ms=at_ms,
            created_ms=int(record[b"c"]),
            updated_ms=int(record.get(b"u", record[b"c"])),
            attempts=int(record.get(b"n", 0)),
            finished_ms=int(record[b"fin"]) if b"fin" in record else None,
            reason=record[b"y"].decode() if b"y" in record else None,
            change=record.get(b"ch", b"").decode(),
            stuck_ms=None if stuck_score is None else int(stuck_score),
            schedule=record[b"s"].decode() if b"s" in record else None,
        )
    except (KeyError, ValueError) as err:
        raise UnreadableRecord(f"event {event_id}") from err
