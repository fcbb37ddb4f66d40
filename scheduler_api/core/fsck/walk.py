"""Proves the invariant: compares records and sets both ways, on a store at work.

Whatever belongs together is read in one atomic step, with every place that it may stand
in, so nothing that moves meanwhile looks like a fault.
"""

import redis
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.fsck import gates as fsck_gates
from scheduler_api.core.fsck import search_terms
from scheduler_api.core.fsck.records import Problem, judge_event, judge_schedule
from scheduler_api.core.store import codec, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.records import EVENT, SCHEDULE
from scheduler_api.core.tenants.url_groups import read_group
from typing import Any, cast

MOST = 1_000
SCANNED_AT_ONCE = 500
READ_AT_ONCE = 50
# A call for these takes a millisecond; everybody else waits for it.
INSPECTED_AT_ONCE = 20
NEVER_EXPIRES = -1
# Keys and families of keys that stay until somebody removes them (`keys` says who); any
# other must expire by itself.
PERMANENT = frozenset(
    (
        *("seq", "last_claim_at", "lease_grace_until", "rq_full", "next_check"),
        *("epoch", "accepted_epoch", "layout", "waiting_gates", "owners", "superseded"),
        *("tenants", "tnseq", "rotated", "applications"),
    )
)
PERMANENT_FAMILIES = frozenset(
    ("tn", "tok", "chore", "journal", "q", "gl", "queues", "flow_keys")
)
PLACES = frozenset(
    (
        *("due", "leased", "quarantine", "quarantine_reasons"),
        *("paused_schedules", "isolated"),
    )
)
INDEXED = EVENT.codes("owner", "schedule", "state")
NAMED = SCHEDULE.codes("owner", "name")
KEPT_BODY = EVENT.codes("format", "owner", "body_revision")
KEPT_TEMPLATE = SCHEDULE.codes("format", "revision")
Names = Sequence[str]
Command = tuple[str, ...]


@dataclass(frozen=True)
class Fault:
    """Something that records and sets do not agree on.

    `where` names a key without the cell's prefix, `member` one of its members, if any.
    """

    where: str
    member: str
    problem: str

    def __str__(self) -> str:
        return f"{self.where} {self.member}".rstrip() + f": {self.problem}"


def check(cell: Cell) -> list[Fault]:
    """The first thousand faults of a cell; none in a sound one, however busy it is.

    Redis: SCAN in chunks; inspect_records or MULTI for each batch.

    Raises: redis.RedisError.
    """
    return list(islice(_Walk(cell).faults(), MOST))


class _Walk:
    """One walk over all keys of a cell."""

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
            "ql": self._at_gates,
            "gw": self._at_gates,
            "gh": self._at_gates,
            "gp": self._at_gates,
            "gr": self._at_gates,
            "g": self._gates,
            "held_destinations": self._held,
            "ix": self._indexes,
            "fin": self._indexes,
            "occ": self._indexes,
            "names": self._names,
            "tm": self._terms,
            "groups": self._groups,
        }

    def faults(self) -> Iterator[Fault]:
        """What the walk meets; a key twice in one walk may be told twice."""
        pattern, cursor = f"{self._prefix}*", 0
        while True:
            cursor, found = cast(
                tuple[int, list[bytes]],
                self._client.scan(cursor, match=pattern, count=SCANNED_AT_ONCE),
            )
            yield from self._keys([_text(key)[len(self._prefix) :] for key in found])
            if not cursor:
                return

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
        one_by_one = (
            *(self._places, self._indexes, self._logs),
            *(self._names, self._groups, self._at_gates),
        )
        for look, group in groups.items():
            for batch in _batches(group, 1 if look in one_by_one else READ_AT_ONCE):
                try:
                    yield from look(batch)
                except redis.ResponseError as err:
                    yield Fault(batch[0], "", f"cannot be checked: {err}")

    def _others(self, names: Names) -> Iterator[Fault]:
        left = self._ask(*(("PTTL", self._prefix + name) for name in names))
        for name, ms in zip(names, left, strict=True):
            if ms == NEVER_EXPIRES:
                yield Fault(name, "", "is unknown and never expires")

    def _events(self, names: Names) -> Iterator[Fault]:
        return self._records([name.removeprefix("e:") for name in names])

    def _schedules(self, names: Names) -> Iterator[Fault]:
        return self._records(names)

    def _records(self, members: Names) -> Iterator[Fault]:
        """Judges events and schedules, named as in `due`, by all that is stored."""
        for batch in _batches(members, INSPECTED_AT_ONCE):
            yield from self._inspected(batch)

    def _inspected(self, members: Names) -> Iterator[Fault]:
        views = self._cell.call("inspect_records", args=members)
        for member, (fields, found) in zip(members, views, strict=True):
            places = {name.decode(): float(score) for name, score in _pairs(found)}
            where = member if member.startswith("s:") else f"e:{member.lstrip('~')}"
            if fields == []:
                for place in places:
                    yield Fault(place, member, "has no record")
                continue
            for problem in _judge(member, fields, places):
                yield Fault(where, "", problem)

    def _places(self, names: Names) -> Iterator[Fault]:
        for name in names:
            kind = "s:" if name == "paused_schedules" else ""
            for found in self._members(name):
                members = [kind + m for m in found if not m.startswith("g:")]
                checked = [m for m in found if m.startswith("g:")]
                for problem in fsck_gates.checked(
                    self._ask, prefix=self._prefix, members=checked
                ):
                    yield Fault(*problem)
                known = self._ask(*(("EXISTS", self._record(m)) for m in members))
                there = zip(members, known, strict=True)
                yield from self._records([m for m, exists in there if not exists])

    def _gates(self, names: Names) -> Iterator[Fault]:
        found = fsck_gates.problems(self._ask, prefix=self._prefix, names=names)
        return (Fault(*problem) for problem in found)

    def _at_gates(self, names: Names) -> Iterator[Fault]:
        for name in names:
            for members in self._members(name):
                found = fsck_gates.at_gate(
                    self._ask, prefix=self._prefix, name=name, members=members
                )
                yield from (Fault(*problem) for problem in found)

    def _held(self, names: Names) -> Iterator[Fault]:
        for name in names:
            for gates in self._members(name):
                found = fsck_gates.held(self._ask, prefix=self._prefix, gates=gates)
                yield from (Fault(*problem) for problem in found)

    def _record(self, member: str) -> str:
        member = member.removeprefix("~")
        if member.startswith("s:"):
            return keys.schedule(self._prefix, member.removeprefix("s:"))
        return keys.event(self._prefix, member)

    def _members(self, name: str) -> Iterator[list[str]]:
        """The members of a sorted set; of a set; the fields of a hash."""
        key, client = self._prefix + name, self._client
        found: Iterator[bytes]
        if name == "isolated" or name.startswith(("gh:", "gp:", "gr:")):
            found = client.sscan_iter(key, count=SCANNED_AT_ONCE)
        elif name in ("quarantine_reasons", "held_destinations"):
            found = (
                field for field, _ in client.hscan_iter(key, count=SCANNED_AT_ONCE)
            )
        else:
            found = (each for each, _ in client.zscan_iter(key, count=SCANNED_AT_ONCE))
        while batch := list(islice(found, READ_AT_ONCE)):
            yield [_text(member) for member in batch]

    def _indexes(self, names: Names) -> Iterator[Fault]:
        for name in names:
            for members in self._members(name):
                yield from self._indexed(name, members)

    def _indexed(self, name: str, members: Names) -> Iterator[Fault]:
        """What an index names must be there, and belong into it."""
        of_schedules = name.startswith("ix:") and name.endswith(":schedules")
        commands: list[Command] = []
        for member in members:
            record = f"s:{member}" if of_schedules else member
            commands.append(("ZSCORE", self._prefix + name, member))
            commands.append(("ZSCORE", keys.quarantine(self._prefix), record))
            commands.append(("HMGET", self._record(record), *INDEXED))
        replies = self._ask(*commands)
        for member, score, aside, found in zip(members, *_threes(replies), strict=True):
            if score is None or aside is not None or not isinstance(found, list):
                continue
            owner, schedule, state = (_text(v) if v is not None else "" for v in found)
            belongs = {
                f"ix:{owner}:{state or 'active'}" if not (schedule and state) else "",
                f"ix:{owner}:schedules" if of_schedules else "",
                f"fin:{owner}:{state}" if state else "",
                f"occ:{schedule}" if schedule else "",
            }
            if not owner:
                yield Fault(name, member, "has no record")
            elif name not in belongs:
                yield Fault(name, member, "does not belong here")

    def _names(self, names: Names) -> Iterator[Fault]:
        """A name is borne by the schedule that it names."""
        for name in names:
            key, owner = self._prefix + name, name.removeprefix("names:").encode()
            found = self._client.hscan_iter(key, count=SCANNED_AT_ONCE)
            while batch := list(islice(found, READ_AT_ONCE)):
                commands: list[Command] = []
                for field, schedule_id in batch:
                    record = keys.schedule(self._prefix, _text(schedule_id))
                    commands.append(("HGET", key, _text(field)))
                    commands.append(("HMGET", record, *NAMED))
                replies = self._ask(*commands)
                for (field, schedule_id), still, bearer in zip(
                    batch, replies[::2], replies[1::2], strict=True
                ):
                    if still != schedule_id or not isinstance(bearer, list):
                        continue
                    if bearer != [owner, field]:
                        yield Fault(name, _text(field), "names none that bears it")

    def _terms(self, names: Names) -> Iterator[Fault]:
        found = search_terms.problems(
            self._ask, self._members, prefix=self._prefix, names=names
        )
        return (Fault(*problem) for problem in found)

    def _groups(self, names: Names) -> Iterator[Fault]:
        """A group can be read, and belongs to an owner that `owners` names."""
        for name in names:
            [known] = self._ask(
                ("SISMEMBER", keys.owners(self._prefix), name.removeprefix("groups:"))
            )
            if not known:
                yield Fault(name, "", "belongs to an owner that owners does not name")
            for field, record in self._client.hscan_iter(self._prefix + name):
                try:
                    read_group(_text(field), record)
                except UnreadableRecord as err:
                    yield Fault(name, _text(field), f"is no group: {err}")

    def _bodies(self, names: Names) -> Iterator[Fault]:
        """A body belongs to the event that names it, or expires."""
        commands: list[Command] = []
        for name in names:
            commands.append(("PTTL", self._prefix + name))
            for event_id in _owners_of_body(name):
                record = keys.event(self._prefix, event_id)
                commands.append(("HMGET", record, *KEPT_BODY))
        replies = self._ask(*commands)
        for name, left, *found in zip(names, *_threes(replies), strict=True):
            kept = any(
                self._keeps(event_id, record, body=name)
                for event_id, record in zip(_owners_of_body(name), found, strict=True)
            )
            if left == NEVER_EXPIRES and not kept:
                yield Fault(name, "", "belongs to no event and never expires")

    def _keeps(self, event_id: str, record: Any, *, body: str) -> bool:
        """Whether an event sends that body, or cannot be read and so may send it."""
        if not isinstance(record, list):
            return True
        form, owner, revision = record
        if owner is None:
            return form is not None
        named = keys.body(self._prefix, event_id, _text(revision or b""))
        return named == self._prefix + body

    def _templates(self, names: Names) -> Iterator[Fault]:
        """A template is a schedule's present one, or superseded, or expires."""
        commands: list[Command] = []
        for name in names:
            schedule_id, _, revision = name.removeprefix("t:").partition(":")
            member = f"{schedule_id}:{revision}"
            commands.append(("PTTL", self._prefix + name))
            record = keys.schedule(self._prefix, schedule_id)
            commands.append(("HMGET", record, *KEPT_TEMPLATE))
            commands.append(("ZSCORE", keys.superseded(self._prefix), member))
        replies = self._ask(*commands)
        for name, left, found, superseded in zip(names, *_threes(replies), strict=True):
            named = name.rpartition(":")[2].encode()
            # One that cannot be read may send it.
            form, present = found if isinstance(found, list) else (b"?", None)
            unreadable = form is not None and present is None
            kept = unreadable or present == named or superseded is not None
            if left == NEVER_EXPIRES and not kept:
                yield Fault(name, "", "belongs to no schedule and never expires")

    def _logs(self, names: Names) -> Iterator[Fault]:
        """A log belongs to an event, and every line of it is an attempt."""
        for name in names:
            event_id = name.removeprefix("log:")
            exists, lines = self._ask(
                ("EXISTS", keys.event(self._prefix, event_id)),
                ("HGETALL", self._prefix + name),
            )
            if isinstance(lines, redis.ResponseError):
                raise lines
            if lines and not exists:
                yield Fault(name, "", "belongs to no event")
            for number, line in lines.items():
                try:
                    codec.decode_attempt(event_id, number, line)
                except UnreadableRecord as err:
                    yield Fault(name, _text(number), f"is no attempt: {err}")

    def _ask(self, *commands: Command) -> list[Any]:
        """Answers of one MULTI; an error is an answer."""
        with self._client.pipeline(transaction=True) as pipe:
            for command in commands:
                pipe.execute_command(*command)  # type: ignore[no-untyped-call]
            return pipe.execute(raise_on_error=False)


def _judge(member: str, fields: Any, places: dict[str, float]) -> Iterator[Problem]:
    record = {}
    if isinstance(fields, list):
        of = SCHEDULE if member.startswith("s:") else EVENT
        named = of.named(dict(_pairs(fields)))
        record = {name: _text(value) for name, value in named.items()}
    elif "quarantine" not in places:
        yield f"cannot be read: {_text(fields)}"
        return
    judge = judge_schedule if member.startswith("s:") else judge_event
    yield from judge(record, places)


def _owners_of_body(name: str) -> tuple[str, str]:
    """The events that a body may belong to: its name may end in a revision, or not."""
    rest = name.removeprefix("b:")
    return rest, rest.rpartition(".")[0]


def _batches(names: Names, size: int) -> Iterator[Names]:
    for at in range(0, len(names), size):
        yield names[at : at + size]


def _threes(flat: list[Any]) -> tuple[list[Any], list[Any], list[Any]]:
    return flat[::3], flat[1::3], flat[2::3]


def _pairs(flat: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")
