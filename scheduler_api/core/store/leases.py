"""The calls of workers: begin, renew, release and settle events; report attempts."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from redis.exceptions import OutOfMemoryError
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.frozen import frozen
from scheduler_api.core.ids import nonce
from scheduler_api.core.model import Begun, FollowUp, Outcome, Owner
from scheduler_api.core.settings.limits import BreakerLimits
from scheduler_api.core.store import codec, gate_names, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.functions import Arg, AsyncClient, Options
from scheduler_api.core.store.large_content import write_if_large
from typing import Any, NamedTuple, Protocol, TypedDict, cast

# `begin` returns content up to this length; longer content must be read by `fetch`.
BEGIN_INLINE_BYTES = 8192
# The fields of `Begun` that are true if the reply of `begin` has these letters.
FLAGS = {
    "o": "origin_held",
    "r": "route_held",
    "p": "passes_origin",
    "d": "may_repeat",
    "t": "is_trial",
}


class Client(AsyncClient, Protocol):
    """An asynchronous client of the store."""

    # Number of connections made so far. After a new connection, the client may be
    # connected to a different server, such as a replica that became the primary.
    connects: int

    async def get(self, key: str) -> object: ...

    async def set(self, key: str, value: bytes, *, ex: int) -> object: ...


class Share(TypedDict, total=False):
    """How a busy worker divides itself among destinations and tenants.

    What is absent is not limited. All destinations are origins.

    Attributes:
        limit: maximum number of one destination's events in flight, while others have
            events; 0: no limit.
        in_flight: number of events in flight, by gate of the origin.
        fast, slow: gates of origins that answer fast, and of those that do not.
        tenants: number of events in flight, by tenant.
        fast_of, trials_of: number of events of fast origins, and of trials, by tenant.
        trial_room: how many more trials may begin.
        size: the size of the worker, and of the part of it that is reserved for
            origins that are not slow.
        room: how many more events may begin.
        general_room: how many more events of origins that are not fast may begin, apart
            from the reserve. Negative if such events use the reserve.
    """

    limit: int
    in_flight: Mapping[str, int]
    fast: Sequence[str]
    slow: Sequence[str]
    tenants: Mapping[str, int]
    fast_of: Mapping[str, int]
    trials_of: Mapping[str, int]
    trial_room: int
    size: int
    reserve: int
    room: int
    general_room: int


@frozen
class Report:
    """What a worker logs about an attempt.

    Attributes:
        url: the destination, or the name of a group.
        error: a stable code; None after a complete response.
        detail: a sentence about the error; operators may read it, but not tenants.
        waited_ms: how much of `total_ms` the attempt waited for a connection.
        contact: whom to ask about the event, such as an e-mail address, or ''.
    """

    url: str = ""
    status: int | None = None
    error: str | None = None
    detail: str = ""
    total_ms: int | None = None
    waited_ms: int = 0
    contact: str = ""


class Outcomes(NamedTuple):
    """The attempts of one worker at an origin or route since its last report.

    Attributes:
        attempts, failures, successes: numbers. Some outcomes are neither a failure nor
            a success.
        latest: the latest outcomes, oldest first. `s`: success, `r`: the route failed,
            `o`: the origin failed, `n`: the receiver asked for a delay.
        latest_held: likewise, of the attempts that began while the gate was held; also
            `x`: the attempt says nothing about the receiver.
        delay_ms: how long the receiver asked to wait, at least.
        url, cause: the origin or route, and the cause of the last failure, for people.
    """

    attempts: int
    failures: int
    successes: int = 0
    latest: str = ""
    latest_held: str = ""
    delay_ms: int = 0
    url: str = ""
    cause: str = ""


@frozen
class Settlement:
    """The end of one attempt.

    Attributes:
        token: the token with which `begin` began the attempt.
        log_entry: JSON for the event's log (`codec.encode_attempt`).
        report: for the worker's own log; not stored.
    """

    event_id: str
    token: str
    attempt: int
    outcome: Outcome
    log_entry: bytes
    delay_ms: int = 0
    reason: str = ""
    follow_ups: tuple[FollowUp, ...] = ()
    report: Report = Report()


@frozen
class Settled:
    """The answer to a settlement.

    Attributes:
        code: settled, repeated, late, gone or quarantined.
        next_ms: time of the next attempt; 0 if there is no retry.
    """

    event_id: str
    code: str
    next_ms: int


class WorkerStore:
    """Calls the store for one worker. The client may safely repeat each call."""

    def __init__(self, client: Client, cell: Cell, *, lease_ms: int) -> None:
        self.client = client
        self.cell = cell
        self.lease_ms = lease_ms
        self._name = nonce()
        self._counter = itertools.count(1)

    @property
    def connects(self) -> int:
        """The number of connections that the client has made so far."""
        return self.client.connects

    async def _call(
        self, function: str, options: Options, args: Iterable[Arg] = ()
    ) -> Any:
        return await self.cell.library.call_async(
            self.client, function, self.cell.with_clock(options), args
        )

    async def begin(
        self,
        ids: Sequence[str],
        *,
        share: Share | None = None,
        paused_routes: Sequence[str] = (),
    ) -> tuple[list[Begun], dict[str, str]]:
        """Take leases on events, immediately before the worker sends them.

        Redis: begin, atomic per id.

        Args:
            share: limits the use of this worker by destinations and tenants. None: no
                limits.
            paused_routes: gates of routes whose events must not begin; they are offered
                again after 200 ms.

        Returns: the begun events, and a code for each id whose event was not begun. An
            event with the code `full` is still leased; the worker has no room. A begun
            event with long content has no content here; `fetch` reads it.
        """
        options: dict[str, object] = {
            "token": self._token(),
            "lease_ms": self.lease_ms,
            "inline_bytes": BEGIN_INLINE_BYTES,
        }
        if share is not None:
            options["share"] = share
        if paused_routes:
            options["paused_routes"] = paused_routes
        begun, refused = [], {}
        for reply in await self._call("begin", options, ids):
            if reply[1] == b"begun":
                begun.append(read_begun(str(options["token"]), reply))
            else:
                refused[reply[0].decode()] = reply[1].decode()
        return begun, refused

    def _token(self) -> str:
        return f"{self._name}:{next(self._counter)}"

    async def fetch(self, begun: Begun) -> Begun:
        """Read the content of a begun event; return the event with its content.

        Raises: UnreadableRecord.
        """
        stored = await self._get(begun.content_key)
        if stored is None:
            raise UnreadableRecord(f"{begun.content_key} is missing")
        body, name = None, codec.shared_body_name(stored)
        if name is not None:
            owner = str(begun.owner)
            body = await self._get(keys.shared_body(self.cell.prefix, owner, name))
        return replace(begun, content=codec.decode_content(stored, body))

    async def _get(self, key: str) -> bytes | None:
        return cast(bytes | None, await self.client.get(key))

    async def renew(self, events: Sequence[Begun]) -> set[str]:
        """Renew leases; return the ids whose lease is lost. Redis: renew_leases."""
        pairs = [arg for begun in events for arg in (begun.id, begun.token)]
        lost = await self._call("renew_leases", {"lease_ms": self.lease_ms}, pairs)
        return {event_id.decode() for event_id in lost}

    async def report(
        self,
        reports: Mapping[str, Outcomes],
        *,
        limits: BreakerLimits,
        deviation: float = 1.0,
    ) -> dict[str, str]:
        """Report attempts at origins and routes, and return changed breakers.

        Redis: report_attempts, atomic per gate. If the client repeats the call, the
        attempts are still counted only once.

        Args:
            reports: by gate. An origin comes after its routes.
            deviation: a factor for the time until the next probe.

        Returns: the new state of each changed breaker, or `probe_failed`, by gate.
        """
        args = [arg for gate, outcomes in reports.items() for arg in (gate, *outcomes)]
        holds = (f"{dialect}={ms}" for dialect, ms in limits.longest_holds_ms.items())
        options = {
            "token": self._token(),
            "deviation": deviation,
            "attempts": limits.attempts,
            "percent": limits.percent,
            "window_ms": limits.window_ms,
            "hold_ms": limits.hold_ms,
            "longest_hold_ms": limits.longest_hold_ms,
            "ramp_per_s": limits.ramp_per_s,
            "trickle_per_s": limits.trickle_per_s,
            "trickle_parallelism": limits.trickle_parallelism,
            "longest_holds": " ".join(holds),
        }
        replies = await self._call("report_attempts", options, args)
        changed = zip(reports, replies, strict=True)
        return {gate: reply.decode() for gate, reply in changed if reply}

    async def release(self, ids: Sequence[str]) -> int:
        """Give back offered events that were not begun; return their number.

        Redis: release, atomic per id.
        """
        return cast(int, await self._call("release", {}, ids))

    async def _content_of(self, child: FollowUp, name: str) -> bytes:
        """Return the argument of `settle` that holds the content of a follow-up.

        Small content is the argument. Large content is normally written to its key
        before `settle`, and the argument is empty. A full store refuses this write, but
        still runs `settle`. Then the large content is the argument.
        """
        stored = codec.encode_content(child.content, self.cell.cipher)
        key = keys.body(self.cell.prefix, child.id, name)
        inline, writing = write_if_large(self.client, key, stored)
        try:
            if writing is not None:
                await writing
        except OutOfMemoryError:
            return stored
        return inline

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        """Record how attempts ended. Redis: settle, one call, atomic per attempt."""
        args: list[Arg] = []
        for s in settlements:
            args += [s.event_id, s.token, s.attempt, s.outcome.value, s.delay_ms]
            args += [s.reason, s.log_entry, len(s.follow_ups)]
            for child in s.follow_ups:
                args += [child.id, name := nonce(), child.delay_ms, child.deadline_ms]
                args.append(await self._content_of(child, name))
                url = child.content.url
                args += [
                    gate_names.route_digest(url),
                    gate_names.host_digest(url),
                ]
        return [
            Settled(event_id.decode(), code.decode(), int(next_ms))
            for event_id, code, next_ms in await self._call("settle", {}, args)
        ]


def read_begun(token: str, reply: list[Any]) -> Begun:
    """Parse a reply of `begin`, which has the values of `Begun` in the same order.

    `Begun.content` is None if the content is too long for the reply, or unreadable. In
    both cases, the caller calls `fetch`: it reads long content, and raises an error if
    the content is unreadable.
    """
    event_id, _, attempt, failures, interruptions, wanted_ms = reply[:6]
    created_ms, deadline_ms, owner, key, stored, schedule = reply[6:12]
    origin, route, held, left = reply[12:]
    try:
        content = codec.decode_content(stored) if stored else None
    except UnreadableRecord:
        content = None
    return Begun(
        event_id.decode(),
        token,
        attempt,
        failures,
        interruptions,
        wanted_ms,
        created_ms,
        deadline_ms,
        Owner.parse(owner.decode()),
        key.decode(),
        content,
        schedule.decode() or None,
        origin.decode(),
        route.decode(),
        left_ms=None if left == b"" else left,
        **{FLAGS[letter]: True for letter in held.decode()},
    )
