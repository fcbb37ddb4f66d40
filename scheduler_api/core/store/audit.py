"""The audit log: who changed what by hand, with the values before and after.

Each tenant has a log, and so has the operator. A change that runs as a Lua function or
in a transaction writes its record in the same step. A change of many objects in several
steps writes its record before the first step. Records contain no secrets.
"""

import orjson
from collections.abc import Mapping
from dataclasses import dataclass
from redis.client import Pipeline
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell, Command
from scheduler_api.core.store.owned_keys import holder_of
from typing import Any, cast

# The number of records that a log keeps.
MAX_RECORDS = 1_000
MAX_OBJECT_LENGTH = 200
# A JSON object, or None if the object did not exist or does not exist any more.
State = Mapping[str, object] | None


@dataclass(frozen=True, slots=True)
class Change:
    """A change that a person makes.

    Attributes:
        tenant: the id of the tenant whose log gets the record; None: the operator's.
        by: the name of the token, or who uses the command line.
        action: the kind of object and what happens to it, such as `queue.pause`.
        object: the name or id of the object.
    """

    tenant: str | None
    by: str
    action: str
    object: str

    @property
    def fields(self) -> dict[str, str]:
        """The fields of the record, without the values before and after."""
        return {
            "by": self.by,
            "action": self.action,
            "object": _cut(self.object),
        }


@dataclass(frozen=True, slots=True)
class Record:
    """A record of the audit log."""

    at_ms: int
    change: Change
    before: Any
    after: Any


def _cut(text: str) -> str:
    if len(text) <= MAX_OBJECT_LENGTH:
        return text
    return f"{text[: MAX_OBJECT_LENGTH - 1]}\u2026"


def change(by: str | None, tenant: str | None, action: str, name: str) -> Change | None:
    """Return a change, None if it is not made by a person."""
    return None if by is None else Change(tenant, by, action, name)


def options(change: Change | None) -> dict[str, object]:
    """Return the options that make a Lua function write a record."""
    if change is None:
        return {}
    return {
        "audit": {
            "holder": holder_of(change.tenant),
            **change.fields,
            "max_records": MAX_RECORDS,
        }
    }


def add(
    client: Pipeline, prefix: str, change: Change | None, *, before: State, after: State
) -> None:
    """Add the command that writes a record to a pipeline; nothing without a change."""
    for command in commands(prefix, change, before=before, after=after):
        client.execute_command(*command)  # type: ignore[no-untyped-call]


def commands(
    prefix: str, change: Change | None, *, before: State, after: State
) -> list[Command]:
    """Return the command that writes a record; none without a change."""
    if change is None:
        return []
    states = {
        "before": orjson.dumps(before).decode(),
        "after": orjson.dumps(after).decode(),
    }
    fields = (change.fields | states).items()
    key = keys.audit(prefix, holder_of(change.tenant))
    flat = [text for field in fields for text in field]
    return [("XADD", key, "MAXLEN", MAX_RECORDS, "*", *flat)]


def write(cell: Cell, change: Change, *, before: State, after: State) -> None:
    """Write a record at once, before a change in several steps, also in a full store.

    One round trip.
    """
    cell.write_small(*commands(cell.prefix, change, before=before, after=after))


def newest(cell: Cell, tenant: str | None, *, count: int) -> list[Record]:
    """Return the newest records of a log, newest first. One round trip."""
    key = keys.audit(cell.prefix, holder_of(tenant))
    entries = cast(Any, cell.client.xrevrange(key, count=count))
    return [_record(tenant, entry, fields) for entry, fields in entries]


def _record(tenant: str | None, entry: bytes, fields: dict[bytes, bytes]) -> Record:
    at_ms, _, _ = entry.partition(b"-")
    by, action, name = (fields[each].decode() for each in (b"by", b"action", b"object"))
    return Record(
        int(at_ms),
        Change(tenant, by, action, name),
        orjson.loads(fields[b"before"]),
        orjson.loads(fields[b"after"]),
    )
