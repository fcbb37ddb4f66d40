"""New events on their way into the store: written down, gathered, and told apart."""

import redis
from collections.abc import Sequence
from itertools import zip_longest
from redis.exceptions import OutOfMemoryError
from scheduler_api.core.deduplication import Held, words_of
from scheduler_api.core.ids import nonce
from scheduler_api.core.model import Accepted, Draft, Gates, Owner, Verdict
from scheduler_api.core.store import codec, keys, scripts
from scheduler_api.core.store.batching import Gathering
from scheduler_api.core.store.id_sequence import IdSequence
from typing import Protocol, cast

INLINE_BYTES = 4096
WRITTEN_BEFOREHAND_S = 600
AT_ONCE = 200
# Of what is written beforehand, as much may wait in memory for its round trip.
PIPELINED_BYTES = 8_388_608
# Another number was already in use, or the content expired on the way: begin anew.
AGAIN = frozenset(("taken", "nobody"))
# After a fault it may be kept or not; else it expires.
KEPT = (b"ok", b"fault")
Answer = tuple[bytes, int, int, bytes]
FULL: Answer = (b"full", 0, 0, b"")


class Scripted(Protocol):
    """What runs the scripts of a cell: its store."""

    client: redis.Redis
    prefix: str
    ids: IdSequence

    def run(self, name: str, *args: scripts.Arg) -> object:
        """Runs a script."""
        ...

    def gate_words(self, owner: Owner, url: str, gates: Gates) -> tuple[str, str]:
        """An event's destination, and all gates that it goes through."""
        ...


class Intake:
    """Stores new events; one alone may go with others of its owner and moment."""

    def __init__(self, store: Scripted, *, gathers: bool) -> None:
        self._store = store
        self._gathers = gathers
        self._alone = Gathering(self._create_all, most=AT_ONCE)

    def create_many(
        self,
        owner: Owner,
        drafts: Sequence[Draft],
        *,
        at_once: int = AT_ONCE,
        replaces: Sequence[str] = (),
    ) -> list[Accepted]:
        """As `Store.create_many`."""
        small = len(drafts) == 1 and len(drafts[0].content.body) <= INLINE_BYTES
        if self._gathers and small and not replaces:
            return [self._alone.ask(owner, drafts[0])]
        return self._create_all(owner, drafts, at_once=at_once, replaces=replaces)

    def _create_all(
        self,
        owner: Owner,
        drafts: Sequence[Draft],
        *,
        at_once: int = AT_ONCE,
        replaces: Sequence[str] = (),
    ) -> list[Accepted]:
        answers: dict[int, Accepted] = {}
        waiting = list(range(len(drafts)))
        while waiting:
            batch, waiting = waiting[:at_once], waiting[at_once:]
            try:
                dead = [replaces[i] for i in batch] if replaces else []
                replies = self._create([drafts[i] for i in batch], owner, dead)
            except OutOfMemoryError:
                replies = [FULL] * len(batch)
            for i, (code, wanted, created, event_id) in zip(
                batch, replies, strict=True
            ):
                made_before = code == b"taken" and drafts[i].id
                if code.decode() in AGAIN and not made_before:
                    waiting.append(i)
                    continue
                held = Held.parse(event_id) if code == b"double" else None
                answers[i] = Accepted(
                    Verdict.DOUBLE if made_before else Verdict(code.decode()),
                    held.id if held else event_id.decode(),
                    wanted_ms=int(wanted),
                    created_ms=int(created),
                    held=held,
                )
        return [answers[i] for i in range(len(drafts))]

    def _create(
        self, drafts: Sequence[Draft], owner: Owner, replaces: Sequence[str]
    ) -> list[Answer]:
        script = "replay" if replaces else "create"
        words: list[scripts.Arg] = []
        written: list[str] = []
        size = 0
        with self._store.client.pipeline(transaction=False) as pipe:
            for draft, dead in zip_longest(drafts, replaces):
                stored, key, mark = codec.encode_content(draft.content), "", nonce()
                event_id = self._id_of(draft, large=len(stored) > INLINE_BYTES)
                if len(stored) > INLINE_BYTES:
                    key = keys.body(self._store.prefix, event_id, mark)
                    pipe.set(key, stored, ex=WRITTEN_BEFOREHAND_S)
                    size += len(stored)
                    stored = b""
                if size > PIPELINED_BYTES:
                    pipe.execute()
                    size = 0
                written.append(key)
                words += [dead] if replaces else []
                words += [event_id, mark, str(owner), *_wanted(draft)]
                words += [draft.deadline_ms, stored]
                words += ["1" if draft.journal else "", *words_of(draft.mark)]
                words += self._store.gate_words(owner, draft.content.url, draft.gates)
            pipe.execute()
            replies = cast(list[Answer], self._store.run(script, *words))
            # What a refused one had written would stand until it expires.
            for key, reply in zip(written, replies, strict=True):
                if key and reply[0] not in KEPT:
                    pipe.delete(key)
            pipe.execute()
        return replies

    def _id_of(self, draft: Draft, *, large: bool) -> str:
        """Its id, or '' for the script to give it one; large content is named by it."""
        if draft.id or not draft.ascending:
            return draft.id or self._store.ids.take()
        return self._store.ids.next() if large else ""


def _wanted(draft: Draft) -> tuple[str, int, str]:
    future = "1" if draft.must_be_future else ""
    if draft.at_ms is None:
        return "in", draft.delay_ms, future
    return "at", draft.at_ms, future
