"""All writes of web, ticker and chores, and reads by id; a write is one Lua script."""

import redis
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from scheduler_api.core.deduplication import Held, Mark, Repeated
from scheduler_api.core.errors import (
    Conflict,
    NotFound,
    NotPending,
    SchedulerError,
    StoreFull,
    TimePassed,
)
from scheduler_api.core.ids import nonce
from scheduler_api.core.model import (
    NO_GATES,
    Accepted,
    Content,
    Draft,
    Event,
    Gates,
    Owner,
    Verdict,
)
from scheduler_api.core.settings.limits import ANY_NUMBER, NO_CAPS, Caps, Room
from scheduler_api.core.store import codec, gate_names, keys, scripts
from scheduler_api.core.store.event_record import read_event
from scheduler_api.core.store.id_sequence import IdSequence
from scheduler_api.core.store.intake import (
    AT_ONCE,
    INLINE_BYTES,
    WRITTEN_BEFOREHAND_S,
    Intake,
)
from typing import cast

# Each takes some 50 us of the store, which does nothing else meanwhile.
CANCELLED_AT_ONCE = 50
REFUSALS: dict[str, type[SchedulerError]] = {
    "missing": NotFound,
    "begun": NotPending,
    "ended": NotPending,
    "made": NotPending,
    "past": TimePassed,
    "changed": Conflict,
    "full": StoreFull,
}


class Cancelled(StrEnum):
    """What a cancellation found; `asked`: this attempt is its last."""

    DONE = "cancelled"
    ASKED = "asked"
    AGAIN = "again"
    ENDED = "ended"
    MISSING = "missing"


@dataclass(frozen=True)
class Terms:
    """Lengths that claims work with, all in ms."""

    offer_ms: int
    lease_ms: int
    quiet_ms: int
    missed_grace_ms: int


@dataclass(frozen=True)
class Claim:
    """What one claim offers; `next_us` is None when nothing stands anywhere.

    `is_stalled`: what is overdue waits for room in RQ; a begin that finds some calls.
    """

    ids: list[str]
    solo_ids: list[str]
    schedule_ids: list[str]
    next_us: int | None
    interrupted: list[str]
    set_aside: list[str]
    epoch: str
    is_stalled: bool = False


class Store:
    """The store of one cell, for one process.

    `clock_ms` is for tests only: everybody else goes by the server's clock. One that
    `gathers` serves many greenlets: what they create at once is stored at once.
    """

    def __init__(
        self,
        client: redis.Redis,
        prefix: str,
        *,
        caps: Caps = NO_CAPS,
        room: Room = ANY_NUMBER,
        clock_ms: int | None = None,
        gathers: bool = False,
    ) -> None:
        self.client = client
        self.prefix = prefix
        self.caps = caps
        self.room = room
        self.clock_ms = clock_ms
        self.ids = IdSequence(client, prefix)
        self._intake = Intake(self, gathers=gathers)

    def gate_words(self, owner: Owner, url: str, gates: Gates) -> tuple[str, str]:
        """An event's destination, and all gates that it goes through, for a script."""
        words = gate_names.words(owner, gates, url=url, caps=self.caps, room=self.room)
        return gate_names.destination(url), words

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
        self,
        owner: Owner,
        content: Content,
        *,
        at_ms: int,
        deadline_ms: int,
        mark: Mark | None = None,
    ) -> Event:
        """Stores an event that must lie in the future; when it returns, it is stored.

        Its id is higher than those of all events stored before. Redis: create.lua,
        atomic; repeated in silence by the client, it is one event.

        Raises: TimePassed, StoreFull, Repeated, redis.RedisError.
        """
        draft = Draft(
            *(content, deadline_ms),
            at_ms=at_ms,
            must_be_future=True,
            mark=mark,
            ascending=True,
        )
        return self.accept(owner, draft)

    def accept(self, owner: Owner, draft: Draft) -> Event:
        """As `create`, for any draft.

        Raises: TimePassed, StoreFull, Repeated, redis.RedisError.
        """
        if not draft.ascending:
            draft = replace(draft, ascending=True)
        accepted = self.create_many(owner, [draft])[0]
        if accepted.held is not None:
            raise Repeated(accepted.held)
        if accepted.verdict is not Verdict.OK:
            raise REFUSALS[accepted.verdict]
        return Event.new(
            accepted.id,
            owner,
            draft.content,
            wanted_ms=accepted.wanted_ms,
            created_ms=accepted.created_ms,
        )

    def create_many(
        self,
        owner: Owner,
        drafts: Sequence[Draft],
        *,
        at_once: int = AT_ONCE,
        replaces: Sequence[str] = (),
    ) -> list[Accepted]:
        """Stores events, `at_once` per round trip; each answer is its own.

        One alone may share its round trip with others of its owner (`gathering`). Each
        may be to take the place of a dead letter, if that is still there. Redis:
        create.lua, atomic per call, or replay.lua, atomic per dead letter; a draft is
        one event, however often the client repeats a call in silence.

        Raises: redis.RedisError; what was answered before is stored.
        """
        return self._intake.create_many(
            owner, drafts, at_once=at_once, replaces=replaces
        )

    def holder(self, owner: Owner, mark: Mark) -> Held | None:
        """What holds a mark. Redis: one read.

        Raises: redis.RedisError.
        """
        key = keys.mark(self.prefix, str(owner), mark.name)
        stored = cast(bytes | None, self.client.get(key))
        return None if stored is None else Held.parse(stored)

    def cancel(self, owner: Owner, event_ids: Sequence[str]) -> list[Cancelled]:
        """Cancels events wherever they stand; one being sent is asked to stop.

        Redis: cancel.lua, some at a time, atomic per event; repeated in silence, it
        answers alike.

        Raises: redis.RedisError; the first of many may be cancelled then.
        """
        replies: list[bytes] = []
        for at in range(0, len(event_ids), CANCELLED_AT_ONCE):
            some = event_ids[at : at + CANCELLED_AT_ONCE]
            answer = self.run("cancel", str(owner), nonce(), *some)
            replies += cast(list[bytes], answer)
        return [Cancelled(reply.decode()) for reply in replies]

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
            *(self.gate_words(event.owner, content.url, NO_GATES) if content else ()),
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
                pipe.get(self.content_key(event_id, record))
        contents = iter(pipe.execute())
        return [
            None if record is None else read_event(event_id, record, next(contents), at)
            for event_id, record, at in zip(
                event_ids, records, replies[1::2], strict=True
            )
        ]

    def content_key(self, event_id: str, record: dict[bytes, bytes]) -> str:
        """Where what an event sends is kept, as its record has it (`b`, `s`, `rv`)."""
        if b"s" in record:
            schedule, revision = record[b"s"].decode(), record.get(b"rv", b"").decode()
            return keys.template(self.prefix, schedule, revision)
        return keys.body(self.prefix, event_id, record.get(b"b", b"").decode())

    def claim(
        self, *, room: int, terms: Terms, carrier: Sequence[scripts.Arg] = ()
    ) -> Claim:
        """Offers up to `room` due events and ends leases that are over.

        A carrier's words have the script leave them in RQ as well.

        Redis: claim.lua, atomic; a repeat costs the first batch one offer lease.

        Raises: redis.RedisError.
        """
        reply = cast(
            list[list[bytes]],
            self.run(
                "claim",
                *(room, terms.offer_ms, terms.lease_ms),
                *(terms.quiet_ms, terms.missed_grace_ms, *carrier),
            ),
        )
        ids, solo, short, next_us, interrupted, aside, epoch, stalled = reply
        micros = int(cast(int, next_us))
        return Claim(
            ids=[i.decode() for i in ids],
            solo_ids=[i.decode() for i in solo],
            schedule_ids=[i.decode() for i in short],
            next_us=micros if micros >= 0 else None,
            interrupted=[i.decode() for i in interrupted],
            set_aside=[i.decode() for i in aside],
            epoch=cast(bytes, epoch).decode(),
            is_stalled=cast(int, stalled) == 1,
        )

    def forget(self, event_ids: Sequence[str], *, before_ms: int) -> int:
        """Removes those of the events that finished before then; answers how many.

        Redis: forget.lua, atomic per event.

        Raises: redis.RedisError.
        """
        return cast(int, self.run("forget", before_ms, *event_ids))
