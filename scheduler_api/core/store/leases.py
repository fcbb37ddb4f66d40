"""What a worker does with events in hand: begin, renew, release, settle."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from redis.exceptions import OutOfMemoryError
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.ids import nonce
from scheduler_api.core.model import Begun, FollowUp, Outcome, Owner
from scheduler_api.core.settings.limits import BreakerLimits
from scheduler_api.core.store import codec, gate_names, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.functions import Arg, AsyncClient, Options
from scheduler_api.core.store.large_content import write_if_large
from typing import Any, NotRequired, Protocol, TypedDict, cast

# Longer content is not part of what begin answers: `fetch` reads it.
BEGIN_INLINE_BYTES = 8192


class Client(AsyncClient, Protocol):
    """What it takes to ask the store."""

    # Each may lead to another server than the one before, after a failover.
    connects: int

    async def get(self, key: str) -> object: ...

    async def set(self, key: str, value: bytes, *, ex: int) -> object: ...


class Share(TypedDict):
    """What one destination may have of a worker while others are wanted.

    `limit`: most of its events in hand; `in_hand`: counts by gate of a destination;
    `only_others`: there is room left only for destinations below the limit.
    """

    limit: int
    in_hand: Mapping[str, int]
    only_others: NotRequired[bool]


@dataclass(frozen=True)
class Settlement:
    """One attempt's end: valid only with the token of its begin; `line` is its log.

    `contact` is whom a log line names if the event is given up.
    """

    event_id: str
    token: str
    attempt: int
    outcome: Outcome
    line: bytes
    delay_ms: int = 0
    reason: str = ""
    follow_ups: tuple[FollowUp, ...] = ()
    contact: str = ""


@dataclass(frozen=True)
class Settled:
    """How settling went.

    `code`: settled, repeated, late, gone or quarantined; `next_ms` of a retry.
    """

    event_id: str
    code: str
    next_ms: int


class WorkerStore:
    """The store as one worker sees it; every call is one function, and may repeat."""

    def __init__(self, client: Client, cell: Cell, *, lease_ms: int) -> None:
        self.client = client
        self.cell = cell
        self.lease_ms = lease_ms
        self._name = nonce()
        self._counter = itertools.count(1)

    @property
    def connects(self) -> int:
        """How often the client has connected."""
        return self.client.connects

    async def _call(
        self, function: str, options: Options, args: Iterable[Arg] = ()
    ) -> Any:
        return await self.cell.library.call_async(
            self.client, function, self.cell.under_clock(options), args
        )

    async def begin(
        self, ids: Sequence[str], *, share: Share | None = None
    ) -> tuple[list[Begun], dict[str, str]]:
        """Takes events for the length of a lease, right before they are sent.

        Answers those taken, and for each other id why it fell out. Content that is too
        long for an answer is left to `fetch`. Redis: begin, atomic per id.

        Args:
            share: what one destination may have of this worker; None: all of it.

        Raises: redis.RedisError.
        """
        options: dict[str, object] = {
            "token": self._token(),
            "lease_ms": self.lease_ms,
            "inline_bytes": BEGIN_INLINE_BYTES,
        }
        if share is not None:
            options["share"] = share
        begun, fallen = [], {}
        for reply in await self._call("begin", options, ids):
            if reply[1] == b"begun":
                begun.append(read_begun(str(options["token"]), reply))
            else:
                fallen[reply[0].decode()] = reply[1].decode()
        return begun, fallen

    def _token(self) -> str:
        return f"{self._name}:{next(self._counter)}"

    async def fetch(self, begun: Begun) -> Begun:
        """The same event with its content, from a read of its own.

        Raises: UnreadableRecord, redis.RedisError.
        """
        stored = cast(bytes | None, await self.client.get(begun.content_key))
        if stored is None:
            raise UnreadableRecord(f"{begun.content_key} is missing")
        return replace(begun, content=codec.decode_content(stored))

    async def renew(self, held: Sequence[Begun]) -> set[str]:
        """Prolongs leases; answers the ids that are lost. Redis: renew_leases.

        Raises: redis.RedisError.
        """
        pairs = [word for begun in held for word in (begun.id, begun.token)]
        lost = await self._call("renew_leases", {"lease_ms": self.lease_ms}, pairs)
        return {event_id.decode() for event_id in lost}

    async def report(
        self, counts: Mapping[str, tuple[int, int]], *, limits: BreakerLimits
    ) -> dict[str, str]:
        """Tells attempts and failures by destination; answers whose breaker changed.

        Redis: report_attempts, atomic per destination; repeated in silence, it counts
        once.

        Raises: redis.RedisError.
        """
        words = [word for gate, count in counts.items() for word in (gate, *count)]
        options = {"token": self._token(), **asdict(limits)}
        replies = await self._call("report_attempts", options, words)
        changed = zip(counts, replies, strict=True)
        return {gate: reply.decode() for gate, reply in changed if reply}

    async def release(self, ids: Sequence[str]) -> int:
        """Gives offered events back that were not begun. Redis: release.

        Raises: redis.RedisError.
        """
        return cast(int, await self._call("release", {}, ids))

    async def _content_of(self, child: FollowUp, name: str) -> bytes:
        """The content of a follow-up as `settle` takes it.

        A full store refuses to have it written first: then it is an argument even so,
        because settling must go on.
        """
        stored = codec.encode_content(child.content)
        key = keys.body(self.cell.prefix, child.id, name)
        inline, writing = write_if_large(self.client, key, stored)
        try:
            if writing is not None:
                await writing
        except OutOfMemoryError:
            return stored
        return inline

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        """Writes down how attempts ended, many in one call. Redis: settle.

        Raises: redis.RedisError.
        """
        words: list[Arg] = []
        for s in settlements:
            words += [s.event_id, s.token, s.attempt, s.outcome.value, s.delay_ms]
            words += [s.reason, s.line, len(s.follow_ups)]
            for child in s.follow_ups:
                words += [child.id, name := nonce(), child.delay_ms, child.deadline_ms]
                words.append(await self._content_of(child, name))
                url = child.content.url
                words += [
                    gate_names.destination_digest(url),
                    gate_names.host_digest(url),
                ]
        return [
            Settled(event_id.decode(), code.decode(), int(next_ms))
            for event_id, code, next_ms in await self._call("settle", {}, words)
        ]


def read_begun(token: str, reply: list[bytes]) -> Begun:
    """An event from an answer of `begin`; content that is no content is left out.

    Raises: nothing: what cannot be read is found when it is fetched.
    """
    event_id, _, attempt, failures, interruptions, wanted = reply[:6]
    created, deadline, owner, key, stored, schedule = reply[6:12]
    destination, held, left = reply[12:]
    try:
        content = codec.decode_content(stored) if stored else None
    except UnreadableRecord:
        content = None
    return Begun(
        id=event_id.decode(),
        token=token,
        attempt=int(attempt),
        failures=int(failures),
        interruptions=int(interruptions),
        wanted_ms=int(wanted),
        created_ms=int(created),
        deadline_ms=int(deadline),
        owner=Owner.parse(owner.decode()),
        content_key=key.decode(),
        content=content,
        schedule=schedule.decode() or None,
        destination=destination.decode(),
        destination_held=held == b"1",
        left_ms=None if left == b"" else int(left),
    )
