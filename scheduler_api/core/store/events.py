"""Creates, changes, cancels and deletes events by Lua functions.

The module `reads` reads events by id.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from itertools import zip_longest
from redis.exceptions import OutOfMemoryError
from scheduler_api.core.batches import batches
from scheduler_api.core.deduplication import (
    DeduplicationKey,
    Duplicate,
    Repeated,
    arguments_of,
)
from scheduler_api.core.errors import (
    Conflict,
    LimitReached,
    NotFound,
    NotPending,
    SchedulerError,
    StoreFull,
    StoreLost,
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
    Caps,
    LimitsByDialect,
    limits_of,
)
from scheduler_api.core.store import codec, gate_names, keys
from scheduler_api.core.store.batching import CallBatcher
from scheduler_api.core.store.cell import NO_OPTIONS, Cell
from scheduler_api.core.store.functions import Arg, Options
from scheduler_api.core.store.id_sequence import IdSequence
from scheduler_api.core.store.large_content import (
    INLINE_BYTES,
    discard,
    is_large,
    write_if_large,
)
from scheduler_api.core.store.shared_bodies import SharedBodies
from scheduler_api.core.traces import Spans
from typing import Any, cast

# Maximum number of events that one call cancels. Each event takes about 50 us, and the
# store serves no other request during the call.
CANCEL_BATCH_SIZE = 50
# Maximum number of events that one round trip creates.
CREATE_BATCH_SIZE = 200
# Large content is sent in pipelines of about this size, to limit the memory used.
PIPELINE_BYTES = 8_388_608
# After these codes, the creation of an event is tried again. `taken`: the id is in use.
# `expired`: the large content expired before the Lua function was called.
RETRIED = frozenset(("taken", "expired"))
# After these codes, the large content is kept. `ok`: the event uses the content.
# `fault`: the event may use the content. After any other code, the content is deleted.
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

# The answer to one draft: code, wanted time in ms, creation time in ms, and event id.
# If the code is `duplicate`, the value of the deduplication key replaces the event id.
Reply = tuple[bytes, int, int, bytes]
FULL: Reply = (b"full", 0, 0, b"")


class Cancelled(StrEnum):
    """The result of a cancellation.

    `REQUESTED`: an attempt is running. If this attempt fails, the event is cancelled.
    """

    DONE = "cancelled"
    REQUESTED = "requested"
    ALREADY_REQUESTED = "already_requested"
    ENDED = "ended"
    MISSING = "missing"


def check_accepted(result: Accepted) -> None:
    """Do nothing if a draft was stored, or is a duplicate.

    Raises: TimePassed, StoreFull, LimitReached.
    """
    if result.verdict is Verdict.LIMIT_REACHED:
        raise LimitReached(result.id)
    if result.verdict in REFUSALS:
        raise REFUSALS[result.verdict]


class EventStore:
    """The events of one cell.

    With `batches`, concurrent creations of single events share a round trip.
    """

    def __init__(
        self,
        cell: Cell,
        *,
        caps: Caps = NO_CAPS,
        owner_limits: LimitsByDialect = NO_LIMITS,
        tenant_options: Callable[[str], Options] = lambda _tenant: NO_OPTIONS,
        batches: bool = False,
    ) -> None:
        self.cell = cell
        self._caps = caps
        self._owner_limits = owner_limits
        self._tenant_options = tenant_options
        self._ids = IdSequence(cell)
        self._batcher = (
            CallBatcher(self._create_all, max_items=CREATE_BATCH_SIZE)
            if batches
            else None
        )

    def create(self, owner: Owner, draft: Draft) -> Event:
        """Store an event whose id is higher than the ids of all earlier events.

        Redis: create_events, atomic; if the client repeats the call, the event is
        still stored only once.

        Raises: TimePassed, StoreFull, LimitReached, Repeated.
        """
        [accepted] = self.create_many(owner, [replace(draft, ascending=True)])
        if accepted.duplicate_of is not None:
            raise Repeated(accepted.duplicate_of)
        check_accepted(accepted)
        return Event.new(
            accepted.id,
            owner,
            draft.content,
            wanted_ms=accepted.wanted_ms,
            created_ms=accepted.created_ms,
            deadline_ms=draft.deadline_ms,
        )

    def create_many(
        self,
        owner: Owner,
        drafts: Sequence[Draft],
        *,
        batch_size: int = CREATE_BATCH_SIZE,
        replaces: Sequence[str] = (),
        job: str = "",
        all_or_none: bool = False,
    ) -> list[Accepted]:
        """Store events, `batch_size` per round trip, with one answer per draft.

        If the client repeats a call, each draft is still stored only once. If a round
        trip raises an error, the events of earlier round trips remain stored.

        Redis: create_events, atomic per round trip. With `replaces`, instead:
        replay_dead_letters, atomic per dead letter.

        Args:
            replaces: for each draft, the id of the dead letter that the draft replaces.
                If the dead letter no longer exists, the draft is not stored.
            job: with `replaces`, the job that counts the replaced dead letters, as
                `<tenant id>:<job id>`.
            all_or_none: whether a limit of the tenant refuses all events of a round
                trip if there is no room for all of them.
        """
        one = drafts[0] if len(drafts) == 1 and not replaces else None
        if self._batcher and one and len(one.content.body) <= INLINE_BYTES:
            return [self._batcher.submit(owner, one)]
        return self._create_all(
            owner,
            drafts,
            batch_size=batch_size,
            replaces=replaces,
            job=job,
            all_or_none=all_or_none,
        )

    def _create_all(
        self,
        owner: Owner,
        drafts: Sequence[Draft],
        *,
        batch_size: int = CREATE_BATCH_SIZE,
        replaces: Sequence[str] = (),
        job: str = "",
        all_or_none: bool = False,
    ) -> list[Accepted]:
        options = self._tenant_options(owner.tenant)
        if options and all_or_none:
            options = {**options, "all_or_none": True}
        if job:
            options = {**options, "job": job}
        options = self.cell.with_epoch(options)
        accepted: dict[int, Accepted] = {}
        waiting = list(range(len(drafts)))
        while waiting:
            batch, waiting = waiting[:batch_size], waiting[batch_size:]
            dead = [replaces[i] for i in batch] if replaces else []
            try:
                replies = self._create_batch(
                    owner, [drafts[i] for i in batch], dead, options
                )
            except OutOfMemoryError:
                replies = [FULL] * len(batch)
            for i, reply in zip(batch, replies, strict=True):
                if (answer := _parse_reply(drafts[i], reply)) is None:
                    waiting.append(i)
                else:
                    accepted[i] = answer
        return [accepted[i] for i in range(len(drafts))]

    def _create_batch(
        self,
        owner: Owner,
        drafts: Sequence[Draft],
        replaces: Sequence[str],
        options: Options,
    ) -> list[Reply]:
        """Create the events of one round trip; write their large content beforehand."""
        args: list[Arg] = []
        written: list[str] = []
        size = 0
        with self.cell.client.pipeline(transaction=False) as pipe:
            shared = SharedBodies(self.cell, owner, drafts)
            shared.write(pipe)
            for draft, dead in zip_longest(drafts, replaces):
                stored = self._encode(draft.content, shared)
                name = nonce()
                event_id = self._id_of(draft, large=is_large(stored))
                key = keys.body(self.cell.prefix, event_id, name)
                inline, _ = write_if_large(pipe, key, stored)
                written.append("" if inline else key)
                size += len(stored) - len(inline)
                if size > PIPELINE_BYTES:
                    pipe.execute()
                    size = 0
                args += [dead] if replaces else []
                args += [event_id, name, str(owner), *_time_arguments(draft)]
                args += [draft.deadline_ms, inline]
                args += [
                    "1" if draft.journal else "",
                    *arguments_of(draft.deduplication),
                ]
                args += self._gate_arguments(owner, draft.content.url, draft.gates)
            pipe.execute()
            replies = self._call(args, options, replaces=bool(replaces))
            for key, reply in zip(written, replies, strict=True):
                if key and reply[0] not in KEPT:
                    pipe.delete(key)
            if not any(reply[0] in KEPT for reply in replies):
                shared.discard(pipe)
            pipe.execute()
        return replies

    def _encode(self, content: Content, shared: SharedBodies) -> bytes:
        name = shared.name_of(content.body)
        if name is None:
            return codec.encode_content(content, self.cell.cipher)
        return codec.encode_sharing(content, name, self.cell.cipher)

    def _call(
        self, args: Sequence[Arg], options: Options, *, replaces: bool
    ) -> list[Reply]:
        function = "replay_dead_letters" if replaces else "create_events"
        try:
            replies = cast(list[Reply], self.cell.call(function, options, args))
        except OutOfMemoryError:
            if replaces:
                raise
            return cast(list[Reply], self.cell.call("recall_events", args=args))
        if any(reply[0] == b"lost" for reply in replies):
            raise StoreLost
        return replies

    def _id_of(self, draft: Draft, *, large: bool) -> str:
        """Return the id of a draft, or '' if the Lua function is to assign the id.

        A draft with large content always gets its id here: the content is written
        before the call of the Lua function, and the key of the content contains the id.
        """
        if draft.id or not draft.ascending:
            return draft.id or self._ids.take()
        return self._ids.next() if large else ""

    def _gate_arguments(self, owner: Owner, url: str, gates: Gates) -> tuple[str, str]:
        """Return two arguments: the digests of the route and the encoded gates."""
        encoded = gate_names.encode_gates(
            owner,
            gates,
            url=url,
            caps=self._caps,
            owner_limits=limits_of(owner.dialect, self._owner_limits),
        )
        return gate_names.route_digest(url), encoded

    def find_duplicate(
        self, owner: Owner, deduplication: DeduplicationKey
    ) -> Duplicate | None:
        """Return what a deduplication key refers to: an event, a schedule, or None.

        Redis: one read.
        """
        key = keys.deduplication(self.cell.prefix, str(owner), deduplication.name)
        stored = cast(bytes | None, self.cell.client.get(key))
        return None if stored is None else Duplicate.parse(stored)

    def cancel(self, owner: Owner, event_ids: Sequence[str]) -> list[Cancelled]:
        """Cancel events; return one result per event.

        If an attempt is running, its event is cancelled only after the attempt has
        failed. If a call raises an error, some events may already be cancelled.

        Redis: cancel_events, in batches, atomic per event. If the client repeats a
        call, the second call gets the same answer as the first call.
        """
        replies: list[bytes] = []
        for batch in batches(event_ids, CANCEL_BATCH_SIZE):
            options = {"owner": str(owner), "change": nonce()}
            replies += self.cell.call("cancel_events", options, batch)
        return [Cancelled(reply.decode()) for reply in replies]

    def change(
        self,
        event: Event,
        *,
        content: Content | None = None,
        at_ms: int | None = None,
        cancel: bool = False,
        between_attempts: bool = False,
    ) -> None:
        """Edit or cancel an event that was never begun.

        With `between_attempts`, `at_ms` may also bring the next attempt of an event
        forward that has failed before; its fire time stays as it is.

        Redis: change_event, atomic; after an edit, the old content is never sent.

        Raises: NotFound, NotPending, TimePassed, LimitReached, StoreFull (only with
            `content`), Conflict (the event has changed since `event` was read).
        """
        options: dict[str, object] = {
            "id": event.id,
            "owner": str(event.owner),
            "read_change": event.change,
            "change": (name := nonce()),
            "cancel": cancel,
            "between_attempts": between_attempts,
            "replaces_content": content is not None,
        }
        inline = b""
        if at_ms is not None:
            options["due_ms"] = at_ms
        if content is not None:
            key = keys.body(self.cell.prefix, event.id, name)
            stored = codec.encode_content(content, self.cell.cipher)
            inline, _ = write_if_large(self.cell.client, key, stored)
            arguments = self._gate_arguments(event.owner, content.url, NO_GATES)
            options["destination"], options["gates"] = arguments
            options |= self._tenant_options(event.owner.tenant)
        reply = self.cell.call("change_event", options, [inline])
        code, _, limit = reply.decode().partition(":")
        if code != "ok" and content is not None:
            discard(self.cell.client, key, inline)
        if code == "limit_reached":
            raise LimitReached(limit)
        if code != "ok":
            raise REFUSALS.get(code, Conflict)

    def forget(self, event_ids: Sequence[str], *, before_ms: int) -> int:
        """Delete those of the events that finished before `before_ms`.

        Return the number of deleted events.

        Redis: forget_events, atomic per event.
        """
        options = {"before_ms": before_ms}
        return cast(int, self.cell.call("forget_events", options, event_ids))


class TracedEventStore(EventStore):
    """An event store that records a span for each creation."""

    def __init__(self, spans: Spans, cell: Cell, **options: Any) -> None:
        """
        Args:
            options: those of `EventStore`.
        """
        super().__init__(cell, **options)
        self._spans = spans

    def create_many(
        self, owner: Owner, drafts: Sequence[Draft], **options: Any
    ) -> list[Accepted]:
        """Store events as `EventStore` does."""
        with self._spans.create(owner, drafts) as traced:
            return super().create_many(owner, traced, **options)


def _time_arguments(draft: Draft) -> tuple[str, int, str]:
    future = "1" if draft.must_be_future else ""
    if draft.at_ms is None:
        return "in", draft.delay_ms, future
    return "at", draft.at_ms, future


def _parse_reply(draft: Draft, reply: Reply) -> Accepted | None:
    """Parse the reply to a draft. Return None if the event must be created again."""
    code, wanted_ms, created_ms, event_id = reply
    made_before = code == b"taken" and draft.id
    if code.decode() in RETRIED and not made_before:
        return None
    duplicate_of = Duplicate.parse(event_id) if code == b"duplicate" else None
    return Accepted(
        Verdict.DUPLICATE if made_before else Verdict(code.decode()),
        duplicate_of.id if duplicate_of else event_id.decode(),
        wanted_ms=int(wanted_ms),
        created_ms=int(created_ms),
        duplicate_of=duplicate_of,
    )
