"""Writes of events; each is one function of the store. Reads by id are in `reads`."""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from itertools import zip_longest
from redis.exceptions import OutOfMemoryError
from scheduler_api.core.deduplication import (
    DeduplicationKey,
    Duplicate,
    Repeated,
    arguments_of,
)
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
from scheduler_api.core.settings.limits import (
    NO_CAPS,
    NO_LIMITS,
    NO_OWNER_LIMITS,
    Caps,
    LimitsByDialect,
)
from scheduler_api.core.store import codec, gate_names, keys
from scheduler_api.core.store.batching import Gathering
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.functions import Arg
from scheduler_api.core.store.id_sequence import IdSequence
from scheduler_api.core.store.large_content import (
    INLINE_BYTES,
    is_large,
    write_if_large,
)
from typing import cast

# Each takes some 50 us of the store, which does nothing else meanwhile.
CANCELLED_AT_ONCE = 50
# Events that one round trip creates.
AT_ONCE = 200
# Of large content, as much may wait in memory for its round trip.
PIPELINED_BYTES = 8_388_608
# The id was in use, or the content expired before the call: write the draft again.
AGAIN = frozenset(("taken", "expired"))
# Large content is kept, or perhaps kept after a fault; else it is deleted.
KEPT = (b"ok", b"fault")
REFUSALS: dict[str, type[SchedulerError]] = {
    "missing": NotFound,
    "begun": NotPending,
    "ended": NotPending,
    "made": NotPending,
    "past": TimePassed,
    "changed": Conflict,
    "full": StoreFull,
}

# Code, wanted and created time in ms, and id (or the value of the deduplication key).
Answer = tuple[bytes, int, int, bytes]
FULL: Answer = (b"full", 0, 0, b"")


class Cancelled(StrEnum):
    """What a cancellation found; `requested`: this attempt is its last."""

    DONE = "cancelled"
    REQUESTED = "requested"
    ALREADY_REQUESTED = "already_requested"
    ENDED = "ended"
    MISSING = "missing"


class EventStore:
    """The events of one cell, for one process.

    With `gathers`, events that several greenlets create at the same moment, one each,
    share a round trip.
    """

    def __init__(
        self,
        cell: Cell,
        *,
        caps: Caps = NO_CAPS,
        owner_limits: LimitsByDialect = NO_LIMITS,
        gathers: bool = False,
    ) -> None:
        self.cell = cell
        self._caps = caps
        self._owner_limits = owner_limits
        self._ids = IdSequence(cell.client, cell.prefix)
        self._gathering = Gathering(self._write, most=AT_ONCE) if gathers else None

    def create(self, owner: Owner, draft: Draft) -> Event:
        """Store an event; its id is higher than those of all events stored before.

        Redis: create_events, atomic; however often the client repeats it in silence, it
        is one event.

        Raises: TimePassed, StoreFull, Repeated.
        """
        [accepted] = self.create_many(owner, [replace(draft, ascending=True)])
        if accepted.duplicate_of is not None:
            raise Repeated(accepted.duplicate_of)
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
        """Store events, `at_once` per round trip; each draft has an answer of its own.

        A draft is one event, however often the client repeats a call in silence. After
        an error, events of earlier round trips are stored.

        Redis: create_events, atomic per round trip; with `replaces`
        replay_dead_letters, atomic per dead letter.

        Args:
            replaces: for each draft, the dead letter whose place it takes if that is
                still there.
        """
        one = drafts[0] if len(drafts) == 1 and not replaces else None
        if self._gathering and one and len(one.content.body) <= INLINE_BYTES:
            return [self._gathering.ask(owner, one)]
        return self._write(owner, drafts, at_once=at_once, replaces=replaces)

    def _write(
        self,
        owner: Owner,
        drafts: Sequence[Draft],
        *,
        at_once: int = AT_ONCE,
        replaces: Sequence[str] = (),
    ) -> list[Accepted]:
        accepted: dict[int, Accepted] = {}
        waiting = list(range(len(drafts)))
        while waiting:
            batch, waiting = waiting[:at_once], waiting[at_once:]
            dead = [replaces[i] for i in batch] if replaces else []
            try:
                answers = self._write_batch(owner, [drafts[i] for i in batch], dead)
            except OutOfMemoryError:
                answers = [FULL] * len(batch)
            for i, answer in zip(batch, answers, strict=True):
                if (found := _accepted(drafts[i], answer)) is None:
                    waiting.append(i)
                else:
                    accepted[i] = found
        return [accepted[i] for i in range(len(drafts))]

    def _write_batch(
        self, owner: Owner, drafts: Sequence[Draft], replaces: Sequence[str]
    ) -> list[Answer]:
        """One call, and before it the content that is large."""
        words: list[Arg] = []
        written: list[str] = []
        size = 0
        with self.cell.client.pipeline(transaction=False) as pipe:
            for draft, dead in zip_longest(drafts, replaces):
                stored, name = codec.encode_content(draft.content), nonce()
                event_id = self._id_of(draft, large=is_large(stored))
                key = keys.body(self.cell.prefix, event_id, name)
                inline, _ = write_if_large(pipe, key, stored)
                written.append("" if inline else key)
                size += len(stored) - len(inline)
                if size > PIPELINED_BYTES:
                    pipe.execute()
                    size = 0
                words += [dead] if replaces else []
                words += [event_id, name, str(owner), *_wanted(draft)]
                words += [draft.deadline_ms, inline]
                words += [
                    "1" if draft.journal else "",
                    *arguments_of(draft.deduplication),
                ]
                words += self._gate_words(owner, draft.content.url, draft.gates)
            pipe.execute()
            answers = self._call(words, replaces=bool(replaces))
            for key, answer in zip(written, answers, strict=True):
                if key and answer[0] not in KEPT:
                    pipe.delete(key)
            pipe.execute()
        return answers

    def _call(self, words: Sequence[Arg], *, replaces: bool) -> list[Answer]:
        if replaces:
            return cast(list[Answer], self.cell.call("replay_dead_letters", args=words))
        try:
            return cast(list[Answer], self.cell.call("create_events", args=words))
        except OutOfMemoryError:
            return cast(list[Answer], self.cell.call("recall_events", args=words))

    def _id_of(self, draft: Draft, *, large: bool) -> str:
        """Its id, or '' for the call to give it one; large content is named by it."""
        if draft.id or not draft.ascending:
            return draft.id or self._ids.take()
        return self._ids.next() if large else ""

    def _gate_words(self, owner: Owner, url: str, gates: Gates) -> tuple[str, str]:
        """An event's destination, and all gates that it goes through, as arguments."""
        words = gate_names.encode_gates(
            owner,
            gates,
            url=url,
            caps=self._caps,
            owner_limits=self._owner_limits.get(owner.dialect, NO_OWNER_LIMITS),
        )
        return gate_names.destination_digest(url), words

    def find_duplicate(
        self, owner: Owner, deduplication: DeduplicationKey
    ) -> Duplicate | None:
        """The event or schedule that has this key, or None. Redis: one read."""
        key = keys.deduplication(self.cell.prefix, str(owner), deduplication.name)
        stored = cast(bytes | None, self.cell.client.get(key))
        return None if stored is None else Duplicate.parse(stored)

    def cancel(self, owner: Owner, event_ids: Sequence[str]) -> list[Cancelled]:
        """Cancel events in any state; one being sent is asked to stop.

        After an error, the first of many may be cancelled. Redis: cancel_events, some
        at a time, atomic per event; repeated in silence, it answers alike.
        """
        replies: list[bytes] = []
        for at in range(0, len(event_ids), CANCELLED_AT_ONCE):
            some = event_ids[at : at + CANCELLED_AT_ONCE]
            options = {"owner": str(owner), "change": nonce()}
            replies += self.cell.call("cancel_events", options, some)
        return [Cancelled(reply.decode()) for reply in replies]

    def change(
        self,
        event: Event,
        *,
        content: Content | None = None,
        at_ms: int | None = None,
        cancel: bool = False,
    ) -> None:
        """Edit or cancel an event that was never begun, as it was read.

        Redis: change_event, atomic; nothing is sent from the old content afterwards.

        Raises: NotFound, NotPending, TimePassed, Conflict (it was changed since it was
            read).
        """
        options: dict[str, object] = {
            "id": event.id,
            "owner": str(event.owner),
            "read_change": event.change,
            "change": (name := nonce()),
            "cancel": cancel,
            "replaces_content": content is not None,
        }
        inline = b""
        if at_ms is not None:
            options["due_ms"] = at_ms
        if content is not None:
            key = keys.body(self.cell.prefix, event.id, name)
            stored = codec.encode_content(content)
            inline, _ = write_if_large(self.cell.client, key, stored)
            words = self._gate_words(event.owner, content.url, NO_GATES)
            options["destination"], options["gates"] = words
        reply = self.cell.call("change_event", options, [inline])
        code = reply.decode()
        if code != "ok":
            raise REFUSALS.get(code, Conflict)

    def forget(self, event_ids: Sequence[str], *, before_ms: int) -> int:
        """Remove those of the events that finished before then; answer how many.

        Redis: forget_events, atomic per event.
        """
        options = {"before_ms": before_ms}
        return cast(int, self.cell.call("forget_events", options, event_ids))


def _wanted(draft: Draft) -> tuple[str, int, str]:
    future = "1" if draft.must_be_future else ""
    if draft.at_ms is None:
        return "in", draft.delay_ms, future
    return "at", draft.at_ms, future


def _accepted(draft: Draft, answer: Answer) -> Accepted | None:
    """The function's answer to a draft; None: write the draft again."""
    code, wanted_ms, created_ms, event_id = answer
    made_before = code == b"taken" and draft.id
    if code.decode() in AGAIN and not made_before:
        return None
    duplicate_of = Duplicate.parse(event_id) if code == b"duplicate" else None
    return Accepted(
        Verdict.DUPLICATE if made_before else Verdict(code.decode()),
        duplicate_of.id if duplicate_of else event_id.decode(),
        wanted_ms=int(wanted_ms),
        created_ms=int(created_ms),
        duplicate_of=duplicate_of,
    )
