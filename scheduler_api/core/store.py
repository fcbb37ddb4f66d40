"""All writes of web, ticker and chores, and reads by id; a write is one Lua script."""

import redis
from collections.abc import Sequence
from dataclasses import dataclass
from redis.exceptions import OutOfMemoryError
from scheduler_api.core import codec, keys, scripts
from scheduler_api.core.errors import (
    Conflict,
    NotFound,
    NotPending,
    SchedulerError,
    StoreFull,
    TimePassed,
    UnreadableRecord,
)
from scheduler_api.core.ids import Ids, nonce
from scheduler_api.core.model import Content, Event, Owner, State
from typing import cast

INLINE_BYTES = 4096
WRITTEN_BEFOREHAND_S = 600
REFUSALS: dict[str, type[SchedulerError]] = {
    "missing": NotFound,
    "begun": NotPending,
    "ended": NotPending,
    "made": NotPending,
    "past": TimePassed,
    "changed": Conflict,
    "full": StoreFull,
}


@dataclass(frozen=True)
class Terms:
    """Lengths that claims work with, all in ms."""

    offer_ms: int
    lease_ms: int
    quiet_ms: int
    missed_grace_ms: int


@dataclass(frozen=True)
class Claim:
    """What one claim offers; `next_us` is None when nothing stands anywhere."""

    ids: list[str]
    solo_ids: list[str]
    schedule_ids: list[str]
    next_us: int | None
    interrupted: list[str]
    set_aside: list[str]
    epoch: str


class Store:
    """The store of one cell, for one process.

    `clock_ms` is for tests only: everybody else goes by the server's clock.
    """

    def __init__(
        self, client: redis.Redis, prefix: str, *, clock_ms: int | None = None
    ) -> None:
        self.client = client
        self.prefix = prefix
        self.clock_ms = clock_ms
        self.ids = Ids(client, prefix)

    def now_ms(self) -> int:
        """The store's time.

        Raises: redis.RedisError.
        """
        if self.clock_ms is not None:
            return self.clock_ms
        seconds, micros = self.client.time()
        return seconds * 1000 + micros // 1000

    def run(self, name: str, *args: scripts.Arg) -> object:
        """Runs a script under this store's clock.

        Raises: redis.RedisError.
        """
        clock = "" if self.clock_ms is None else str(self.clock_ms)
        return scripts.run(self.client, name, clock, *args, prefix=self.prefix)

    def write_beforehand(self, key: str, stored: bytes) -> bytes:
        """Content as the scripts take it: inline while small, else written under `key`.

        What is written beforehand expires unless a script keeps it; `key` must bear a
        nonce, so that nobody else's content can ever stand there.

        Raises: redis.RedisError.
        """
        if len(stored) <= INLINE_BYTES:
            return stored
        self.client.set(key, stored, ex=WRITTEN_BEFOREHAND_S)
        return b""

    def create(
        self, owner: Owner, content: Content, *, at_ms: int, deadline_ms: int
    ) -> Event:
        """Stores an event that must lie in the future; when it returns, it is stored.

        Redis: create.lua, atomic; repeated in silence by the client, it is one event.

        Raises: TimePassed, StoreFull, redis.RedisError.
        """
        stored, terms = codec.encode_content(content), ("at", at_ms, "1", deadline_ms)
        try:
            event_id, wanted_ms, created_ms = self._accept(owner, stored, terms)
        except OutOfMemoryError as err:
            raise StoreFull from err
        return Event(
            id=event_id,
            owner=owner,
            content=content,
            state=State.ACTIVE,
            wanted_ms=wanted_ms,
            next_ms=wanted_ms,
            created_ms=created_ms,
            updated_ms=created_ms,
            attempts=0,
            finished_ms=None,
            reason=None,
            change="",
        )

    def _accept(
        self, owner: Owner, stored: bytes, terms: tuple[scripts.Arg, ...]
    ) -> tuple[str, int, int]:
        """Goes from number to number until one is free; id, wanted and created ms."""
        mark = nonce()
        while True:
            event_id = self.ids.take()
            key = keys.body(self.prefix, event_id, mark)
            inline = self.write_beforehand(key, stored)
            reply = cast(
                list[list[bytes]],
                self.run("create", event_id, mark, str(owner), *terms, inline),
            )
            code = reply[0][0].decode()
            if code == "ok":
                return event_id, int(reply[0][1]), int(reply[0][2])
            if not inline:
                self.client.delete(key)
            if code in REFUSALS:
                raise REFUSALS[code]

    def change(
        self,
        event: Event,
        *,
        content: Content | None = None,
        at_ms: int | None = None,
        cancel: bool = False,
    ) -> None:
        """Edits or cancels an event that was never begun, as it was read.

        Redis: change.lua, atomic; nothing is sent from the old content afterwards.

        Raises: NotFound, NotPending, TimePassed, Conflict (it was changed since it
            was read), redis.RedisError.
        """
        name, inline = nonce(), b""
        if content is not None:
            inline = self.write_beforehand(
                keys.body(self.prefix, event.id, name), codec.encode_content(content)
            )
        reply = self.run(
            "change",
            *(event.id, str(event.owner), event.change, name),
            *("1" if content is not None else "", inline),
            *("" if at_ms is None else at_ms, "1" if cancel else ""),
        )
        code = cast(bytes, reply).decode()
        if code != "ok":
            raise REFUSALS.get(code, Conflict)

    def get(self, owner: Owner, event_id: str) -> Event:
        """The event of that id, if it is this owner's. Redis: two reads, not atomic.

        Raises: NotFound, UnreadableRecord, redis.RedisError.
        """
        event = self.get_many(owner, [event_id])[0]
        if event is None:
            raise NotFound
        return event

    def get_many(self, owner: Owner, event_ids: Sequence[str]) -> list[Event | None]:
        """The events of those ids, None where it is no event of this owner's.

        Raises: UnreadableRecord, redis.RedisError.
        """
        pipe = self.client.pipeline(transaction=False)
        for event_id in event_ids:
            pipe.hgetall(keys.event(self.prefix, event_id))
            pipe.zscore(keys.stuck(self.prefix), event_id)
        replies = pipe.execute()
        records = [
            record if record.get(b"o") == str(owner).encode() else None
            for record in replies[::2]
        ]
        for event_id, record in zip(event_ids, records, strict=True):
            if record is not None:
                pipe.get(self._content_key(event_id, record))
        contents = iter(pipe.execute())
        return [
            None if record is None else read_event(event_id, record, next(contents), at)
            for event_id, record, at in zip(
                event_ids, records, replies[1::2], strict=True
            )
        ]

    def _content_key(self, event_id: str, record: dict[bytes, bytes]) -> str:
        if b"s" in record:
            schedule, revision = record[b"s"].decode(), record.get(b"rv", b"").decode()
            return keys.template(self.prefix, schedule, revision)
        return keys.body(self.prefix, event_id, record.get(b"b", b"").decode())

    def claim(self, *, room: int, terms: Terms) -> Claim:
        """Offers up to `room` due events and ends leases that are over.

        Redis: claim.lua, atomic; a repeat costs the first batch one offer lease.

        Raises: redis.RedisError.
        """
        reply = cast(
            list[list[bytes]],
            self.run(
                "claim",
                *(room, terms.offer_ms, terms.lease_ms),
                *(terms.quiet_ms, terms.missed_grace_ms),
            ),
        )
        ids, solo, short, next_us, interrupted, aside, epoch = reply
        micros = int(cast(int, next_us))
        return Claim(
            ids=[i.decode() for i in ids],
            solo_ids=[i.decode() for i in solo],
            schedule_ids=[i.decode() for i in short],
            next_us=micros if micros >= 0 else None,
            interrupted=[i.decode() for i in interrupted],
            set_aside=[i.decode() for i in aside],
            epoch=cast(bytes, epoch).decode(),
        )

    def forget(self, event_ids: Sequence[str], *, before_ms: int) -> int:
        """Removes those of the events that finished before then; answers how many.

        Redis: forget.lua, atomic per event.

        Raises: redis.RedisError.
        """
        return cast(int, self.run("forget", before_ms, *event_ids))


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
        )
    except (KeyError, ValueError) as err:
        raise UnreadableRecord(f"event {event_id}") from err
