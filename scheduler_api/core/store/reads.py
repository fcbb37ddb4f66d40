"""Reads of events by id, of owners, and of the ids of named schedules."""

import logging
import redis
from collections.abc import Sequence
from redis.client import Pipeline
from scheduler_api.core import logfmt, public_ids
from scheduler_api.core.errors import NotFound, UnreadableRecord
from scheduler_api.core.model import Event, Owner
from scheduler_api.core.store import codec, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.records import EVENT, SCHEDULE
from typing import Any, cast

log = logging.getLogger("scheduler.store")


def execute_reads(pipe: Pipeline) -> list[Any]:
    """Execute a pipeline; return an UnreadableRecord for each key of the wrong type.

    Raises: redis.ResponseError, if the server refuses a command for another reason.
    """
    return [_reply(each) for each in pipe.execute(raise_on_error=False)]


def _reply(reply: Any) -> Any:
    if isinstance(reply, redis.ResponseError) and "WRONGTYPE" in str(reply):
        return UnreadableRecord(str(reply))
    if isinstance(reply, Exception):
        raise reply
    return reply


def readable(reply: Any) -> Any:
    """Return a reply of `execute_reads`.

    Raises: UnreadableRecord: the key has the wrong type.
    """
    if isinstance(reply, UnreadableRecord):
        raise reply
    return reply


def read_event(cell: Cell, owner: Owner, event_id: str) -> Event:
    """Read an event of an owner. Redis: two round trips, not atomic.

    Raises: NotFound, UnreadableRecord.
    """
    [event] = read_events(cell, owner, [event_id])
    if event is None:
        raise NotFound
    return event


def read_events(
    cell: Cell, owner: Owner, event_ids: Sequence[str]
) -> list[Event | None]:
    """Return the events of an owner with the given ids, in the same order.

    If the owner has no event with an id, the result contains None in its place.

    Redis: two or three round trips, not atomic.

    Raises: UnreadableRecord: at least one of the events is unreadable.
    """
    pipe = cell.client.pipeline(transaction=False)
    for event_id in event_ids:
        pipe.hgetall(keys.event(cell.prefix, event_id))
        pipe.zscore(keys.quarantine(cell.prefix), event_id)
    replies = [readable(reply) for reply in execute_reads(pipe)]
    found = [EVENT.named(record) for record in replies[::2]]
    records = [
        record if record.get("owner") == str(owner).encode() else None
        for record in found
    ]
    for event_id, record in zip(event_ids, records, strict=True):
        if record is not None:
            pipe.get(codec.content_key(cell.prefix, event_id, record))
    contents = [readable(reply) for reply in execute_reads(pipe)]
    bodies = _shared_bodies(cell, owner, contents)
    remaining = iter(zip(contents, bodies, strict=True))
    events: list[Event | None] = []
    for event_id, record, at in zip(event_ids, records, replies[1::2], strict=True):
        if record is None:
            events.append(None)
            continue
        stored, body = next(remaining)
        events.append(
            codec.decode_event(
                event_id, record, stored, quarantined_ms=at, shared_body=body
            )
        )
    return events


def _shared_bodies(
    cell: Cell, owner: Owner, contents: Sequence[bytes | None]
) -> list[bytes | None]:
    """Return the shared body of each content, as stored; None if it has none.

    Redis: one round trip if any content has one.
    """
    names = [codec.shared_body_name(stored or b"") for stored in contents]
    wanted = list(dict.fromkeys(name for name in names if name is not None))
    if not wanted:
        return [None] * len(names)
    pipe = cell.client.pipeline(transaction=False)
    for name in wanted:
        pipe.get(keys.shared_body(cell.prefix, str(owner), name))
    replies = [readable(reply) for reply in execute_reads(pipe)]
    bodies = dict(zip(wanted, replies, strict=True))
    return [bodies[name] if name is not None else None for name in names]


def owner_of_event(cell: Cell, event_id: str) -> Owner | None:
    """Return the owner of an event, None if there is no such event. One round trip."""
    return _owner(cell, keys.event(cell.prefix, event_id), EVENT.code("owner"))


def owner_of_schedule(cell: Cell, schedule_id: str) -> Owner | None:
    """Return the owner of a schedule, None if there is none. One round trip."""
    return _owner(cell, keys.schedule(cell.prefix, schedule_id), SCHEDULE.code("owner"))


def _owner(cell: Cell, key: str, code: str) -> Owner | None:
    owner = cast(bytes | None, cell.client.hget(key, code))
    return None if owner is None else Owner.parse(owner.decode())


def named_schedule(cell: Cell, owner: Owner, name: str) -> str | None:
    """Return the id of the schedule with a name, None if there is none.

    Redis: one round trip.
    """
    key = keys.names(cell.prefix, str(owner))
    found = cast(bytes | None, cell.client.hget(key, name))
    return None if found is None else found.decode()


def name_members(cell: Cell, members: Sequence[str]) -> list[dict[str, object]]:
    """Return fields for a log line about each member of `due`, `leased` or quarantine.

    The fields are the owner and the client's id of the event or schedule. For a gate,
    and for a record without a readable owner, the only field is `member`.

    Redis: one round trip, not atomic.
    """
    pipe = cell.client.pipeline(transaction=False)
    for member in members:
        schedule = _schedule_id(member)
        if schedule:
            key, codes = keys.schedule(cell.prefix, schedule), SCHEDULE.codes
            pipe.hmget(key, codes("owner", "name"))
        else:
            event = keys.event(cell.prefix, member.lstrip("~"))
            pipe.hmget(event, EVENT.codes("owner"))
    replies = pipe.execute(raise_on_error=False)
    return [_name(*each) for each in zip(members, replies, strict=True)]


def log_quarantined(cell: Cell, members: Sequence[str]) -> None:
    """Log which members were quarantined, and why. Redis: two round trips if any."""
    for line in quarantined_lines(cell, members):
        log.error(line)


def quarantined_lines(cell: Cell, members: Sequence[str]) -> list[logfmt.Message]:
    """Return a log line for each quarantined member, with the quarantine reason.

    Redis: two round trips if any.
    """
    if not members:
        return []
    ids = [member.lstrip("~") for member in members]
    reasons = cell.client.hmget(keys.quarantine_reasons(cell.prefix), ids)
    return [
        logfmt.line("record.quarantined", **named, problem=_problem(reason))
        for named, reason in zip(name_members(cell, ids), reasons, strict=True)
    ]


def log_unreadable(cell: Cell, member: str, problem: UnreadableRecord) -> None:
    """Log that a reader leaves out an event or schedule. Redis: one round trip."""
    [named] = name_members(cell, [member])
    log.warning(logfmt.line("record.unreadable", **named, problem=problem))


def _problem(reason: object) -> str:
    return reason.decode(errors="replace") if isinstance(reason, bytes) else ""


def _schedule_id(member: str) -> str:
    return member[2:] if member.startswith("s:") else ""


def _name(member: str, found: object) -> dict[str, object]:
    if not isinstance(found, list) or found[0] is None:
        return {"member": member}
    owner = Owner.parse(found[0].decode(errors="replace"))
    if schedule := _schedule_id(member):
        name = (found[1] or b"").decode(errors="replace")
        named = public_ids.schedule_id(owner, schedule, name)
        return {"schedule": named, "owner": owner}
    return {"event": public_ids.event_id(owner, member.lstrip("~")), "owner": owner}
