"""Checks that the records and the sets of a cell agree.

Each record must be in the right sets, and each member of a set must have a record.
The store may be in use during the check. The check reads a record and all its sets
atomically, so an event that moves from one set to another causes no false report.
"""

import redis
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from scheduler_api.core import logfmt
from scheduler_api.core.batches import batches
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.fsck import gates as fsck_gates
from scheduler_api.core.fsck import search_terms
from scheduler_api.core.fsck.records import Problem, check_event, check_schedule
from scheduler_api.core.store import codec, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.reads import quarantined_lines
from scheduler_api.core.store.records import EVENT, SCHEDULE
from scheduler_api.core.tenants.url_groups import read_group
from typing import Any, cast

MAX_FAULTS = 1_000
SCAN_COUNT = 500
BATCH_SIZE = 50
# How many records one call inspects. Such a call blocks the store for about 1 ms.
INSPECT_BATCH_SIZE = 20
NO_TTL = -1
# These keys and families of keys are not checked, and need no TTL. Any other key that
# is not checked must have a TTL.
PERMANENT = frozenset(
    (
        *("seq", "last_claim_at", "lease_grace_until", "rq_full", "next_check"),
        *("clock_step", "server", "repeats_before", "lost_tail", "totals"),
        *("epoch", "accepted_epoch", "layout", "waiting_gates", "owners", "superseded"),
        *("tenants", "tnseq", "rotated", "applications", "open_letter_jobs"),
        "alerts",
    )
)
PERMANENT_FAMILIES = frozenset(
    (
        "tn",
        "tok",
        "tokens",
        "removed",
        "audit",
        "chore",
        "journal",
        "q",
        "queues",
        "flow_keys",
    )
)
PLACES = frozenset(
    (
        *("due", "leased", "quarantine", "quarantine_reasons"),
        *("paused_schedules", "isolated"),
    )
)
INDEX_FIELDS = EVENT.codes("owner", "schedule", "state")
NAME_FIELDS = SCHEDULE.codes("owner", "name")
BODY_FIELDS = EVENT.codes("format", "owner", "body_revision")
TEMPLATE_FIELDS = SCHEDULE.codes("format", "revision")
Names = Sequence[str]
Command = tuple[str, ...]


@dataclass(frozen=True)
class Fault:
    """An inconsistency in the store.

    `key` does not include the prefix of the cell. `member` is a member or field of the
    key, or '' if the entire key is inconsistent.
    """

    key: str
    member: str
    problem: str

    def __str__(self) -> str:
        return f"{self.key} {self.member}".rstrip() + f": {self.problem}"


def check(cell: Cell) -> list[Fault]:
    """Check a cell; return the first faults, at most 1,000.

    Redis: SCAN in chunks; inspect_records or MULTI for each batch.
    """
    return list(islice(_Walk(cell).faults(), MAX_FAULTS))


def quarantined(cell: Cell) -> Iterator[logfmt.Message]:
    """Yield a log line for each quarantined event, schedule and gate, with the reason.

    A member of the quarantine is no fault of the store. Redis: ZSCAN, and two round
    trips for each batch.
    """
    found = cell.client.zscan_iter(keys.quarantine(cell.prefix), count=SCAN_COUNT)
    for batch in batches((_text(member) for member, _ in found), BATCH_SIZE):
        yield from quarantined_lines(cell, batch)


class _Walk:
    """One pass over all keys of a cell."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._client = cell.client
        self._prefix = cell.prefix
        self._families: dict[str, Callable[[Names], Iterator[Fault]]] = {
            "e": self._events,
            "s": self._schedules,
            "b": self._bodies,
            "t": self._templates,
            "log": self._logs,
            "ql": self._gate_members,
            "gw": self._gate_members,
            "gh": self._gate_members,
            "gp": self._gate_members,
            "gr": self._gate_members,
            "g": self._gates,
            "held_destinations": self._held_destinations,
            "ix": self._indexes,
            "fin": self._indexes,
            "occ": self._indexes,
            "names": self._names,
            "tm": self._terms,
            "groups": self._groups,
            "sb": self._shared_bodies,
            "sbe": self._sharers,
        }

    def faults(self) -> Iterator[Fault]:
        """Yield faults. A fault may come twice, because SCAN may return a key twice."""
        pattern, cursor = f"{self._prefix}*", 0
        while True:
            cursor, found = cast(
                tuple[int, list[bytes]],
                self._client.scan(cursor, match=pattern, count=SCAN_COUNT),
            )
            yield from self._keys([_text(key)[len(self._prefix) :] for key in found])
            if not cursor:
                break
        yield from self._removed_tenants()

    def _removed_tenants(self) -> Iterator[Fault]:
        """Check that nothing is stored for a tenant that was removed."""
        newest, members = self._execute(
            ("GET", keys.tenant_sequence(self._prefix)),
            ("SMEMBERS", keys.owners(self._prefix)),
        )
        if not (isinstance(newest, bytes) and newest.isdigit()):
            return
        if not isinstance(members, (set, list)):
            return
        for owners in batches(sorted(map(_text, members)), BATCH_SIZE):
            tenants = [owner.partition(":")[0] for owner in owners]
            records = (keys.tenant(self._prefix, tenant) for tenant in tenants)
            replies = self._execute(*(("EXISTS", record) for record in records))
            for owner, tenant, exists in zip(owners, tenants, replies, strict=True):
                if exists or not tenant.isdecimal() or int(tenant) > int(newest):
                    continue
                yield Fault("owners", owner, f"run `tenant remove {tenant}` again")

    def _keys(self, names: Names) -> Iterator[Fault]:
        groups = defaultdict[Callable[[Names], Iterator[Fault]], list[str]](list)
        for name in names:
            family, separator, _ = name.partition(":")
            if name in PLACES:
                groups[self._places].append(name)
            elif family in self._families and (
                separator or name == "held_destinations"
            ):
                groups[self._families[family]].append(name)
            elif name not in PERMANENT and family not in PERMANENT_FAMILIES:
                groups[self._others].append(name)
        single = (
            *(self._places, self._indexes, self._logs),
            *(self._names, self._groups, self._gate_members),
        )
        for check, group in groups.items():
            for batch in batches(group, 1 if check in single else BATCH_SIZE):
                try:
                    yield from check(batch)
                except redis.ResponseError as err:
                    yield Fault(batch[0], "", f"cannot be checked: {err}")

    def _others(self, names: Names) -> Iterator[Fault]:
        ttls = self._execute(*(("PTTL", self._prefix + name) for name in names))
        for name, ttl_ms in zip(names, ttls, strict=True):
            if ttl_ms == NO_TTL:
                yield Fault(name, "", "is an unknown key without a TTL")

    def _events(self, names: Names) -> Iterator[Fault]:
        return self._records([name.removeprefix("e:") for name in names])

    def _schedules(self, names: Names) -> Iterator[Fault]:
        return self._records(names)

    def _records(self, members: Names) -> Iterator[Fault]:
        """Check events and schedules.

        Members: `<event id>`, `~<event id>` or `s:<schedule id>`, as in `due`.
        """
        for batch in batches(members, INSPECT_BATCH_SIZE):
            yield from self._inspect(batch)

    def _inspect(self, members: Names) -> Iterator[Fault]:
        views = self._cell.call("inspect_records", args=members)
        for member, (fields, flat) in zip(members, views, strict=True):
            places = {name.decode(): float(score) for name, score in _pairs(flat)}
            key = member if member.startswith("s:") else f"e:{member.lstrip('~')}"
            if fields == []:
                for place in places:
                    yield Fault(place, member, "has no record")
                continue
            for problem in _check(member, fields, places):
                yield Fault(key, "", problem)

    def _places(self, names: Names) -> Iterator[Fault]:
        for name in names:
            kind = "s:" if name == "paused_schedules" else ""
            for batch in self._members(name):
                members = [kind + m for m in batch if not m.startswith("g:")]
                gates = [m for m in batch if m.startswith("g:")]
                for problem in fsck_gates.check_due_gates(
                    self._execute, prefix=self._prefix, members=gates
                ):
                    yield Fault(*problem)
                # Check only the members that have no record. A member with a record is
                # checked when SCAN returns the key of the record.
                replies = self._execute(*(("EXISTS", self._record(m)) for m in members))
                rows = zip(members, replies, strict=True)
                yield from self._records([m for m, exists in rows if not exists])

    def _gates(self, names: Names) -> Iterator[Fault]:
        found = fsck_gates.check_closed(self._execute, prefix=self._prefix, names=names)
        return (Fault(*problem) for problem in found)

    def _gate_members(self, names: Names) -> Iterator[Fault]:
        for name in names:
            for members in self._members(name):
                found = fsck_gates.check_members(
                    self._execute, prefix=self._prefix, name=name, members=members
                )
                yield from (Fault(*problem) for problem in found)

    def _held_destinations(self, names: Names) -> Iterator[Fault]:
        for name in names:
            for gates in self._members(name):
                found = fsck_gates.check_held(
                    self._execute, prefix=self._prefix, gates=gates
                )
                yield from (Fault(*problem) for problem in found)

    def _record(self, member: str) -> str:
        member = member.removeprefix("~")
        if member.startswith("s:"):
            return keys.schedule(self._prefix, member.removeprefix("s:"))
        return keys.event(self._prefix, member)

    def _members(self, name: str) -> Iterator[list[str]]:
        """Yield the members of a set, or the fields of a hash, in batches."""
        key, client = self._prefix + name, self._client
        found: Iterator[bytes]
        if name == "isolated" or name.startswith(("gh:", "gp:", "gr:", "sbe:")):
            found = client.sscan_iter(key, count=SCAN_COUNT)
        elif name in ("quarantine_reasons", "held_destinations"):
            found = (field for field, _ in client.hscan_iter(key, count=SCAN_COUNT))
        else:
            found = (member for member, _ in client.zscan_iter(key, count=SCAN_COUNT))
        for batch in batches(found, BATCH_SIZE):
            yield [_text(member) for member in batch]

    def _indexes(self, names: Names) -> Iterator[Fault]:
        for name in names:
            for members in self._members(name):
                yield from self._index_members(name, members)

    def _index_members(self, name: str, members: Names) -> Iterator[Fault]:
        """Check that the members of an index have a record and belong to the index."""
        of_schedules = name.startswith("ix:") and name.endswith(":schedules")
        commands: list[Command] = []
        for member in members:
            record = f"s:{member}" if of_schedules else member
            commands.append(("ZSCORE", self._prefix + name, member))
            commands.append(("ZSCORE", keys.quarantine(self._prefix), record))
            commands.append(("HMGET", self._record(record), *INDEX_FIELDS))
        replies = self._execute(*commands)
        rows = zip(members, *_threes(replies), strict=True)
        for member, score, quarantined, record in rows:
            if score is None or quarantined is not None:
                continue
            if not isinstance(record, list):
                continue
            owner, schedule, state = (_text(v) if v is not None else "" for v in record)
            allowed = {
                f"ix:{owner}:{state or 'active'}" if not (schedule and state) else "",
                f"ix:{owner}:schedules" if of_schedules else "",
                f"fin:{owner}:{state}" if state else "",
                f"occ:{schedule}" if schedule else "",
            }
            if not owner:
                yield Fault(name, member, "has no record")
            elif name not in allowed:
                yield Fault(name, member, "does not belong here")

    def _names(self, names: Names) -> Iterator[Fault]:
        """Check that each name points to a schedule that has this name."""
        for name in names:
            key, owner = self._prefix + name, name.removeprefix("names:").encode()
            found = self._client.hscan_iter(key, count=SCAN_COUNT)
            for batch in batches(found, BATCH_SIZE):
                commands: list[Command] = []
                for field, schedule_id in batch:
                    record = keys.schedule(self._prefix, _text(schedule_id))
                    commands.append(("HGET", key, _text(field)))
                    commands.append(("HMGET", record, *NAME_FIELDS))
                replies = self._execute(*commands)
                for (field, schedule_id), current, schedule in zip(
                    batch, replies[::2], replies[1::2], strict=True
                ):
                    if current != schedule_id or not isinstance(schedule, list):
                        continue
                    if schedule != [owner, field]:
                        problem = "points to a schedule that does not have this name"
                        yield Fault(name, _text(field), problem)

    def _terms(self, names: Names) -> Iterator[Fault]:
        found = search_terms.problems(
            self._execute, self._members, prefix=self._prefix, names=names
        )
        return (Fault(*problem) for problem in found)

    def _groups(self, names: Names) -> Iterator[Fault]:
        """Check that groups are readable, and that their owners are in `owners`."""
        for name in names:
            [exists] = self._execute(
                ("SISMEMBER", keys.owners(self._prefix), name.removeprefix("groups:"))
            )
            if not exists:
                yield Fault(name, "", "its owner is missing in owners")
            for field, record in self._client.hscan_iter(self._prefix + name):
                try:
                    read_group(_text(field), record)
                except UnreadableRecord as err:
                    yield Fault(name, _text(field), f"is not a readable group: {err}")

    def _bodies(self, names: Names) -> Iterator[Fault]:
        """Check that each body belongs to an event or has a TTL."""
        commands: list[Command] = []
        for name in names:
            commands.append(("PTTL", self._prefix + name))
            for event_id in _event_ids_of_body(name):
                record = keys.event(self._prefix, event_id)
                commands.append(("HMGET", record, *BODY_FIELDS))
        replies = self._execute(*commands)
        for name, ttl_ms, *found in zip(names, *_threes(replies), strict=True):
            used = any(
                self._uses(event_id, record, body=name)
                for event_id, record in zip(
                    _event_ids_of_body(name), found, strict=True
                )
            )
            if ttl_ms == NO_TTL and not used:
                yield Fault(name, "", "belongs to no event and has no TTL")

    def _shared_bodies(self, names: Names) -> Iterator[Fault]:
        """Check that each shared body has an event or a TTL."""
        for name in names:
            sharers = f"{self._prefix}sbe:{name.removeprefix('sb:')}"
            ttl_ms, exists = self._execute(
                ("PTTL", self._prefix + name), ("EXISTS", sharers)
            )
            if ttl_ms == NO_TTL and not exists:
                yield Fault(name, "", "belongs to no event and has no TTL")

    def _sharers(self, names: Names) -> Iterator[Fault]:
        """Check that each event with a shared body exists."""
        for name in names:
            for members in self._members(name):
                events = [keys.event(self._prefix, member) for member in members]
                found = self._execute(*(("EXISTS", event) for event in events))
                for member, exists in zip(members, found, strict=True):
                    if not exists:
                        yield Fault(name, member, "is no event")

    def _uses(self, event_id: str, record: Any, *, body: str) -> bool:
        """Whether an event uses a body; True if the event is unreadable."""
        if not isinstance(record, list):
            return True
        format_, owner, revision = record
        if owner is None:
            return format_ is not None
        key = keys.body(self._prefix, event_id, _text(revision or b""))
        return key == self._prefix + body

    def _templates(self, names: Names) -> Iterator[Fault]:
        """Check that each template is in use, superseded, or has a TTL."""
        commands: list[Command] = []
        for name in names:
            member = name.removeprefix("t:")
            commands.append(("PTTL", self._prefix + name))
            schedule = keys.schedule(self._prefix, member.partition(":")[0])
            commands.append(("HMGET", schedule, *TEMPLATE_FIELDS))
            commands.append(("ZSCORE", keys.superseded(self._prefix), member))
        replies = self._execute(*commands)
        rows = zip(names, *_threes(replies), strict=True)
        for name, ttl_ms, record, superseded in rows:
            revision = name.rpartition(":")[2].encode()
            # If the schedule is unreadable, assume that it uses the template.
            format_, current = record if isinstance(record, list) else (b"?", None)
            unreadable = format_ is not None and current is None
            used = unreadable or current == revision or superseded is not None
            if ttl_ms == NO_TTL and not used:
                yield Fault(name, "", "belongs to no schedule and has no TTL")

    def _logs(self, names: Names) -> Iterator[Fault]:
        """Check that logs belong to an event and that their entries are readable."""
        for name in names:
            event_id = name.removeprefix("log:")
            exists, entries = self._execute(
                ("EXISTS", keys.event(self._prefix, event_id)),
                ("HGETALL", self._prefix + name),
            )
            if isinstance(entries, redis.ResponseError):
                raise entries
            if entries and not exists:
                yield Fault(name, "", "belongs to no event")
            for number, entry in entries.items():
                try:
                    codec.decode_attempt(event_id, number, entry)
                except UnreadableRecord as err:
                    yield Fault(
                        name, _text(number), f"is not a readable attempt: {err}"
                    )

    def _execute(self, *commands: Command) -> list[Any]:
        """Run commands in one MULTI; return errors instead of raising them."""
        with self._client.pipeline(transaction=True) as pipe:
            for command in commands:
                pipe.execute_command(*command)  # type: ignore[no-untyped-call]
            return pipe.execute(raise_on_error=False)


def _check(member: str, fields: Any, places: dict[str, float]) -> Iterator[Problem]:
    record = {}
    if isinstance(fields, list):
        kind = SCHEDULE if member.startswith("s:") else EVENT
        named = kind.named(dict(_pairs(fields)))
        record = {name: _text(value) for name, value in named.items()}
    elif "quarantine" not in places:
        yield f"cannot be read: {_text(fields)}"
        return
    check = check_schedule if member.startswith("s:") else check_event
    yield from check(record, places)


def _event_ids_of_body(name: str) -> tuple[str, str]:
    """Return the two event ids that the key of a body may contain.

    The key is `b:<event id>` or `b:<event id>.<revision>`. An event id may also contain
    a dot, so the key does not show which of the two forms it has.
    """
    rest = name.removeprefix("b:")
    return rest, rest.rpartition(".")[0]


def _threes(flat: list[Any]) -> tuple[list[Any], list[Any], list[Any]]:
    return flat[::3], flat[1::3], flat[2::3]


def _pairs(flat: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")
