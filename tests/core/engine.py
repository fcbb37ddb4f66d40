"""An engine for tests, with a worker and a clock that only the test moves."""

import asyncio
import redis
import redis.asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from scheduler_api.core.cron.expression import FULL
from scheduler_api.core.fsck import walk
from scheduler_api.core.model import (
    Begun,
    Content,
    Draft,
    Event,
    FollowUp,
    Outcome,
    Owner,
    Schedule,
    ScheduleOptions,
)
from scheduler_api.core.schedules.schedules import Schedules
from scheduler_api.core.settings.limits import (
    NO_CAPS,
    NO_LIMITS,
    Caps,
    LimitsByDialect,
)
from scheduler_api.core.store import claims, codec, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.claims import Claim, ClaimTimeouts
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.leases import Settled, Settlement, WorkerStore
from scheduler_api.core.store.reads import read_event
from scheduler_api.core.store.records import EVENT, SCHEDULE, Fields
from scheduler_api.core.store.rq_envelopes import RqEnqueuer
from tests.core.function_calls import Repeats, repeating
from tests.core.stored import everything
from tests.sync_worker import LEASE_MS, SyncWorker
from typing import Any, cast

PREFIX = "{s1}:"
OWNER = Owner("1", "jiter")
CONTENT = Content("https://receiver.example/hook", b'{"n": 1}')
OTHER = Content("https://other.example/", b"other")
# The delay before an isolated event is offered again.
ISOLATION_DELAY_MS = 200
START_MS = 1_900_000_000_000
OFFER_MS = 3_000
# A rule that never fires. Its only time is 02:30 on the last Sunday in March, but on
# this day clocks in Berlin skip 02:00 to 03:00.
NEVER = {
    SCHEDULE.code("expression"): "CRON_TZ=Europe/Berlin 30 2 * 3 0L",
    SCHEDULE.code("gap"): "skip",
}
LEASE_GRACE_MS = 15_000
MISSED_GRACE_MS = 60_000
DEADLINE_MS = 10_000
SLACK_MS = 10_000
TIMEOUTS = ClaimTimeouts(
    offer_ms=OFFER_MS,
    lease_ms=LEASE_MS,
    grace_ms=LEASE_GRACE_MS,
    missed_grace_ms=MISSED_GRACE_MS,
)


class Engine:
    """The operations of the engine on one cell, and shortcuts for tests."""

    def __init__(
        self,
        client: redis.Redis,
        connect: Callable[[], redis.asyncio.Redis],
        runner: asyncio.Runner,
    ) -> None:
        self.client = client
        # Whether fsck runs after the test; tests that damage records set this to False.
        self.checks_faults = True
        self.cell = Cell(client, PREFIX, clock_ms=START_MS)
        self.set_limits()
        self._connect = connect
        self._runner = runner
        self._workers: list[SyncWorker] = []
        self.worker = self.new_worker()

    def set_limits(
        self, *, caps: Caps = NO_CAPS, owner_limits: LimitsByDialect = NO_LIMITS
    ) -> None:
        """Use these limits from now on, as if the settings had changed."""
        self.store = EventStore(self.cell, caps=caps, owner_limits=owner_limits)
        self.schedules = Schedules(
            self.cell, grace_ms=MISSED_GRACE_MS, caps=caps, owner_limits=owner_limits
        )

    def new_worker(self) -> SyncWorker:
        store = WorkerStore(self._connect(), self.cell, lease_ms=LEASE_MS)
        self._workers.append(SyncWorker(store, self._runner))
        return self._workers[-1]

    def close(self) -> None:
        for worker in self._workers:
            self._runner.run(worker.store.client.aclose())

    @property
    def now_ms(self) -> int:
        return self.cell.now_ms()

    @now_ms.setter
    def now_ms(self, now_ms: int) -> None:
        self.cell.clock_ms = now_ms

    def use_server_clock(self) -> None:
        """Use the server's clock instead of the clock that the test sets."""
        self.cell.clock_ms = None

    def faults(self) -> list[str]:
        return [str(fault) for fault in walk.check(self.cell)]

    def create(
        self,
        in_ms: int = 1_000,
        *,
        content: Content = CONTENT,
        owner: Owner = OWNER,
        deadline_ms: int = DEADLINE_MS,
    ) -> Event:
        at_ms = self.now_ms + in_ms
        return self.store.create(
            owner, Draft(content, deadline_ms, at_ms=at_ms, must_be_future=True)
        )

    def claim(
        self,
        room: int = 100,
        *,
        enqueuer: RqEnqueuer | None = None,
        jump: tuple[int, int] | None = None,
    ) -> Claim:
        return claims.claim(
            self.cell, room=room, timeouts=TIMEOUTS, enqueuer=enqueuer, jump=jump
        )

    def tick(self, ms: int, *, step_ms: int = 1_000) -> list[Claim]:
        """Advance the clock by `ms` in small steps, and claim after each step."""
        claims = []
        while ms > 0:
            self.now_ms += min(step_ms, ms)
            ms -= step_ms
            claims.append(self.claim(room=0))
        return claims

    def offered(self, in_ms: int = 1_000, **how: Any) -> Event:
        """Create an event and claim it."""
        event = self.create(in_ms, **how)
        self.now_ms += in_ms
        assert event.id in all_ids(self.claim())
        return event

    def begun(self, in_ms: int = 1_000, **how: Any) -> Begun:
        """Create an event, claim it and begin it."""
        [begun] = self.worker.begin(self.offered(in_ms, **how).id)
        return begun

    def claim_and_begin(self, event_id: str) -> Begun:
        """Advance the clock until an event is due; claim and begin this event."""
        self.now_ms = max(self.now_ms, self.due()[event_id])
        assert event_id in all_ids(self.claim())
        [begun] = self.worker.begin(event_id)
        return begun

    def interrupted(self, times: int = 1) -> Begun:
        """Create an event, interrupt `times` attempts, and leave the event in `due`."""
        begun = self.begun()
        for n in range(times):
            if n:
                assert begun.id in all_ids(self.claim())
                [begun] = self.worker.begin(begun.id)
            self.tick(LEASE_MS - 1)
            self.now_ms += 1
            assert begun.id in self.claim(room=0).interrupted
            if begun.id in self.leased():
                self.now_ms += ISOLATION_DELAY_MS
                self.claim(room=0)
        return begun

    def schedule(
        self,
        expression: str = "* * * * *",
        *,
        content: Content = CONTENT,
        name: str = "",
        owner: Owner = OWNER,
        **options: Any,
    ) -> Schedule:
        return self.schedules.create(
            owner,
            content,
            expression=expression,
            tz="UTC",
            grammar=FULL,
            deadline_ms=DEADLINE_MS,
            name=name,
            options=ScheduleOptions(**options),
        )

    def edited(self, schedule: Schedule, **changes: Any) -> Schedule:
        """Read a schedule from the store, and edit the given fields or options."""
        current = self.schedules.get(schedule.owner, schedule.id)
        field_names = {"content", "expression", "tz", "state", "deadline_ms"}
        fields = {name: value for name, value in changes.items() if name in field_names}
        options = {
            name: value for name, value in changes.items() if name not in field_names
        }
        return self.schedules.edit(
            current, grammar=FULL, options=replace(current.options, **options), **fields
        )

    def ended(self, schedule: Schedule) -> Schedule:
        """End a schedule as if its rule had no more fire times."""
        key = keys.schedule(PREFIX, schedule.id)
        self.client.hset(key, mapping=NEVER)
        assert self.schedules.top_up(schedule.id) == "ended"
        self.client.hdel(key, *NEVER)
        self.client.hset(key, SCHEDULE.code("expression"), schedule.expression)
        return self.schedules.get(schedule.owner, schedule.id)

    def get(self, event_id: str) -> Event:
        return read_event(self.cell, OWNER, event_id)

    def record(self, event_id: str) -> dict[str, str]:
        return self._record(EVENT, keys.event(PREFIX, event_id))

    def schedule_record(self, schedule_id: str) -> dict[str, str]:
        return self._record(SCHEDULE, keys.schedule(PREFIX, schedule_id))

    def _record(self, fields: Fields, key: str) -> dict[str, str]:
        stored = cast(dict[bytes, bytes], self.client.hgetall(key))
        return {name: value.decode() for name, value in fields.named(stored).items()}

    def log(self, event_id: str) -> dict[str, str]:
        return self._hash(keys.log(PREFIX, event_id))

    def quarantine_reasons(self) -> dict[str, str]:
        return self._hash(keys.quarantine_reasons(PREFIX))

    def _hash(self, key: str) -> dict[str, str]:
        stored = cast(dict[bytes, bytes], self.client.hgetall(key))
        return {name.decode(): value.decode() for name, value in stored.items()}

    def places(self, event_id: str) -> list[str]:
        """Return the names of the sets that contain an event or a schedule.

        For a schedule, `event_id` is `s:<schedule id>`.
        """
        sets = {
            "due": self.due(),
            "leased": self.leased(),
            "quarantine": self.quarantine(),
        }
        return [name for name, members in sets.items() if event_id in members]

    def due(self) -> dict[str, int]:
        return self.scores(keys.due(PREFIX))

    def leased(self) -> dict[str, int]:
        return self.scores(keys.leased(PREFIX))

    def paused_schedules(self) -> dict[str, int]:
        return self.scores(keys.paused_schedules(PREFIX))

    def quarantine(self) -> dict[str, int]:
        return self.scores(keys.quarantine(PREFIX))

    def isolated(self) -> set[str]:
        members = cast(set[bytes], self.client.smembers(keys.isolated(PREFIX)))
        return {member.decode() for member in members}

    def scores(self, key: str) -> dict[str, int]:
        members = cast(
            list[tuple[bytes, float]], self.client.zrange(key, 0, -1, withscores=True)
        )
        return {member.decode(): int(score) for member, score in members}

    def listen_for_wakeups(self) -> redis.client.PubSub:
        """Subscribe to the wake-ups of tickers, for `count_wakeups`."""
        listener = self.client.pubsub()
        listener.subscribe(keys.wake(PREFIX))
        # Wait until the subscription is confirmed.
        while listener.get_message(timeout=1) is None:
            pass
        return listener

    def count_wakeups(self, listener: redis.client.PubSub) -> int:
        """Return the number of wake-ups since the subscription."""
        self.client.publish(keys.wake(PREFIX), "last")
        count = 0
        while True:
            message = listener.get_message(timeout=1)
            if message and message["data"] == b"last":
                return count
            count += message is not None

    def everything(self) -> dict[str, Any]:
        """Return the contents of the store, for a later comparison."""
        return everything(self.client)

    def repeating(
        self, between: Callable[[], object] = lambda: None, *, same_answer: bool = True
    ) -> AbstractContextManager[Repeats]:
        """Call `function_calls.repeating` for the clients of engine and workers."""
        workers = [
            cast(redis.asyncio.Redis, worker.store.client) for worker in self._workers
        ]
        return repeating(
            self.client, *workers, between=between, same_answer=same_answer
        )


def all_ids(claim: Claim) -> list[str]:
    return claim.ids + claim.isolated_ids


def ids(events: Iterable[Event | Begun]) -> list[str]:
    return [event.id for event in events]


def settlement(
    begun: Begun,
    outcome: Outcome = Outcome.DELIVERED,
    *,
    delay_ms: int = 0,
    reason: str = "",
    status: int = 200,
    follow_ups: tuple[FollowUp, ...] = (),
) -> Settlement:
    log_entry = codec.encode_attempt({"started_ms": START_MS, "status": status})
    return Settlement(
        event_id=begun.id,
        token=begun.token,
        attempt=begun.attempt,
        outcome=outcome,
        log_entry=log_entry,
        delay_ms=delay_ms,
        reason=reason,
        follow_ups=follow_ups,
    )


def codes(answers: Sequence[Settled]) -> list[str]:
    return [answer.code for answer in answers]
