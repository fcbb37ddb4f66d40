"""Tests that run random operations on a cell, and compare the cell with a model.

After every step, the store must match the model, and fsck must find no faults. No event
may begin early, or have two attempts at once. At the end of a run, every accepted event
must have ended.
"""

import asyncio
import fakeredis
import pytest
import redis
import redis.asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hypothesis import Phase
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from scheduler_api.core.cron.expression import FULL
from scheduler_api.core.deduplication import DeduplicationKey
from scheduler_api.core.delivery.destinations import parse
from scheduler_api.core.errors import NotFound, NotPending, RunInProgress, ScheduleEnded
from scheduler_api.core.flow_control.flow_keys import FlowKeys
from scheduler_api.core.flow_control.held_destinations import HeldDestinations
from scheduler_api.core.flow_control.queues import Queues
from scheduler_api.core.model import (
    NO_GATES,
    Begun,
    Content,
    Draft,
    FlowLimits,
    FollowUp,
    Gates,
    Outcome,
    Overlap,
    Schedule,
    ScheduleState,
    State,
    Verdict,
)
from scheduler_api.core.recovery.dead_letters import DeadLetters
from scheduler_api.core.schedules import fire_times
from scheduler_api.core.store.claims import Claim
from scheduler_api.core.store.events import Cancelled
from scheduler_api.core.store.gate_names import (
    destination_digest,
    destination_gate,
    route_digest,
)
from scheduler_api.core.store.reads import read_events
from tests.core.engine import (
    CONTENT,
    DEADLINE_MS,
    LEASE_GRACE_MS,
    LEASE_MS,
    OWNER,
    Engine,
    SyncWorker,
    all_ids,
    settlement,
)
from tests.fuzzing import budget
from tests.sync_worker import outcomes
from typing import Any

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
TICK_MS = 5_000
DEAD_FROM, ISOLATED_FROM = 5, 2
WITHOUT_OUTCOME = (Outcome.INTERRUPTED, Outcome.UNSENT)
MAX_ROUNDS = 200
LARGE = Content("https://receiver.example/", b"x" * 10_000)
OTHER = Content("https://other.example/", b"other")
QUEUE, KEY, RATE_KEY = "queue", "key", "rate"
TWO_AT_ONCE = FlowLimits(KEY, parallelism=2)
GATES = st.sampled_from(
    [
        *(NO_GATES, NO_GATES, Gates(QUEUE), Gates(flow=TWO_AT_ONCE)),
        *(Gates(QUEUE, TWO_AT_ONCE), Gates(flow=FlowLimits(RATE_KEY, rate=2))),
    ]
)
CONTENTS = st.sampled_from([CONTENT, OTHER, LARGE])
DESTINATION = parse(OTHER.url)
# Outcomes of attempts that open, slow, delay and close breakers.
OUTCOMES = st.sampled_from(["o" * 20, "so", "r" * 20, "s" * 5, "nnn"])
DELAYS_MS = st.sampled_from([1, 1, 1, 999, 5_000, 30_000, HOUR_MS])
RULES = st.sampled_from(["*/5 * * * * *", "* * * * *", "@every 20s"])
NEVER_MS = 1 << 60
CHECK_AGAIN_MS, MIN_INTERVAL_MS = 10_000, 60_000
BY_USER = ("paused", "deleted")
ENDS_IN_MS = st.sampled_from([None, None, 7_000, 90_000, HOUR_MS])
OPTIONS = st.fixed_dictionaries(
    {
        "max_runs": st.sampled_from([None, None, 3]),
        "jitter_ms": st.sampled_from([0, 0, 4_000]),
        "overlap": st.sampled_from(Overlap),
        "strict": st.booleans(),
    }
)
UNDELIVERED = (State.DEAD, State.CLEARED, State.CANCELLED)
Connections = tuple[redis.Redis, Callable[[], redis.asyncio.Redis]]


@dataclass
class Expected:
    """The state in which the model expects an event."""

    content: Content
    at_ms: int
    wanted_ms: int
    begun: int = 0
    failures: int = 0
    interruptions: int = 0
    running: Begun | None = None
    lost: Begun | None = None
    lease_from_ms: int = 0
    renewable_until_ms: int = 0
    cancel_requested: bool = False
    settled: set[int] = field(default_factory=set)
    gates: Gates = NO_GATES
    is_callback: bool = False
    state: State = State.ACTIVE
    finished_ms: int = 0
    schedule: str = ""
    pauses: int = 0
    end_ms: int = NEVER_MS
    strict: bool = False
    previous: str = ""
    following: str = ""
    waits_for_previous: bool = False

    def accepts(self, begun: Begun) -> bool:
        """Return whether the store must accept a settlement of this attempt."""
        if self.state is not State.ACTIVE:
            return False
        return self.running == begun or (self.running is None and self.lost == begun)


class CellMachine(RuleBasedStateMachine):
    """Runs operations on a cell with two workers.

    The list `envelopes` replaces the RQ queue. Each envelope contains the ids of the
    events that one claim offered.
    """

    def __init__(self, connect: Callable[[], Connections]) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        client, connect_async = connect()
        self.engine = Engine(client, connect_async, self.runner)
        self.workers = [self.engine.worker, self.engine.new_worker()]
        self.events: dict[str, Expected] = {}
        self.schedules: dict[str, Schedule] = {}
        self.latest_ms: dict[str, int] = {}
        self.pauses: Counter[str] = Counter()
        self.runs: Counter[str] = Counter()
        self.newest: dict[str, str] = {}
        self.envelopes: list[list[str]] = []
        self.attempts: list[Begun] = []
        self.to_plan: list[str] = []
        self.deduplication: dict[str, str] = {}
        self.queues = Queues(self.engine.cell)
        self.flow_keys = FlowKeys(self.engine.cell)
        self.destinations = HeldDestinations(self.engine.cell)
        self.dead_letters = DeadLetters(self.engine.store)
        self.destination_paused = False
        # Ids of the events in the queue, in order. The callbacks of an event come
        # directly after the event.
        self.queue_order: list[str] = []
        self.claimed_ms = self.grace_until_ms = 0
        # The time that has passed; changes of the clock do not count.
        self.elapsed_ms = 0

    @property
    def now_ms(self) -> int:
        return self.engine.now_ms

    @initialize(content=CONTENTS, options=OPTIONS)
    def start(self, content: Content, options: dict[str, Any]) -> None:
        self.claim_ids(room=100)
        self.create([1, 1, 1], content, "")
        self.create_schedule("* * * * *", content, None, options)
        self.advance(1_000)

    @rule(
        delays_ms=st.lists(DELAYS_MS, min_size=1, max_size=3),
        content=CONTENTS,
        key=st.sampled_from(["", "", "a", "b"]),
        gates=GATES,
    )
    def create(
        self,
        delays_ms: list[int],
        content: Content,
        key: str,
        gates: Gates = NO_GATES,
    ) -> None:
        deduplication = DeduplicationKey(key, DAY_MS) if key else None
        self.release_deduplication_keys()
        drafts = [
            Draft(
                content,
                DEADLINE_MS,
                delay_ms=delay_ms,
                deduplication=deduplication,
                gates=gates,
            )
            for delay_ms in delays_ms
        ]
        answers = self.engine.store.create_many(OWNER, drafts)
        for delay_ms, answer in zip(delays_ms, answers, strict=True):
            if key in self.deduplication:
                assert answer.verdict is Verdict.DUPLICATE
                assert answer.id == self.deduplication[key]
                continue
            assert answer.verdict is Verdict.OK
            self.expect(answer.id, content, self.now_ms + delay_ms)
            self.events[answer.id].gates = gates
            if gates.queue:
                self.queue_order.append(answer.id)
            if key:
                self.deduplication[key] = answer.id

    @rule(paused=st.booleans(), kind=st.sampled_from(["queue", "key", "destination"]))
    def set_paused(self, paused: bool, kind: str) -> None:
        if kind == "destination":
            with suppress(NotFound):
                self.destinations.set_paused(OWNER.tenant, DESTINATION, paused=paused)
            self.destination_paused = paused
        elif kind == "key":
            with suppress(NotFound):
                self.flow_keys.set_paused(OWNER, KEY, paused=paused)
        elif self.queue_order:
            with suppress(NotFound):
                self.queues.set_paused(OWNER, QUEUE, paused=paused)

    @rule(url=st.sampled_from([CONTENT.url, OTHER.url]), latest=OUTCOMES)
    def report(self, url: str, latest: str) -> None:
        digest = destination_digest if "o" in latest else route_digest
        gate = destination_gate(OWNER.tenant, digest(url))
        report = outcomes(latest, delay_ms=7_000)
        self.engine.worker.report_all({gate: report})

    @precondition(lambda self: self.queue_order)
    @rule(really=st.sampled_from([False, False, True]))
    def delete_queue(self, really: bool) -> None:
        if not really:
            return
        self.queues.delete(OWNER, QUEUE)
        for event_id in self.queue_order:
            expected = self.events.get(event_id)
            if expected is None or expected.state is not State.ACTIVE:
                continue
            if expected.is_callback:
                continue
            if expected.running is not None:
                expected.cancel_requested = True
            else:
                self.end(event_id, State.CANCELLED)

    def check_queue_order(self, event_id: str) -> None:
        """Check that all earlier events and callbacks in the queue have ended."""
        expected = self.events[event_id]
        if event_id not in self.queue_order or expected.is_callback:
            return
        for earlier in self.queue_order[: self.queue_order.index(event_id)]:
            assert not self.is_active(earlier)

    def check_limits(self) -> None:
        """Check that at most two attempts with the flow-control key are running."""
        limited = (e for e in self.events.values() if e.gates.flow == TWO_AT_ONCE)
        assert sum(each.running is not None for each in limited) <= 2

    def release_deduplication_keys(self) -> None:
        """Forget the deduplication keys of failed and cancelled events."""
        for key, event_id in [*self.deduplication.items()]:
            expected = self.events.get(event_id)
            if expected and (
                expected.cancel_requested or expected.state in UNDELIVERED
            ):
                del self.deduplication[key]

    def end(self, event_id: str, state: State) -> None:
        """End an event in the model.

        If an occurrence has been waiting for this event, the occurrence becomes due.
        """
        expected = self.events[event_id]
        expected.state, expected.finished_ms = state, self.now_ms
        expected.running = expected.lost = None
        follower = self.events.get(expected.following)
        if (
            follower
            and follower.waits_for_previous
            and self.is_active(expected.following)
        ):
            follower.at_ms = self.now_ms if not follower.begun else follower.at_ms

    def expect(self, event_id: str, content: Content, at_ms: int) -> None:
        assert event_id not in self.events
        self.events[event_id] = Expected(content, at_ms=at_ms, wanted_ms=at_ms)

    def changeable(self) -> list[str]:
        return [event_id for event_id in self.events if "." not in event_id]

    @precondition(changeable)
    @rule(
        data=st.data(),
        in_ms=st.none() | DELAYS_MS,
        content=st.none() | CONTENTS,
        cancel=st.booleans(),
    )
    def change(
        self,
        data: st.DataObject,
        in_ms: int | None,
        content: Content | None,
        cancel: bool,
    ) -> None:
        event_id = data.draw(st.sampled_from(self.changeable()))
        expected = self.events[event_id]
        event = self.engine.get(event_id)
        at_ms = None if in_ms is None else self.now_ms + in_ms
        change = {"content": content, "at_ms": at_ms, "cancel": cancel}
        if expected.begun or expected.state is not State.ACTIVE:
            with pytest.raises(NotPending):
                self.engine.store.change(event, **change)
            return
        self.engine.store.change(event, **change)
        if content is not None:
            expected.content = content
        if at_ms is not None:
            expected.at_ms = expected.wanted_ms = at_ms
        if cancel:
            self.end(event_id, State.CANCELLED)

    @precondition(lambda self: self.events)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        event_id = data.draw(st.sampled_from([*self.events]))
        expected = self.events[event_id]
        [answer] = self.engine.store.cancel(OWNER, [event_id])
        if expected.state is not State.ACTIVE:
            assert answer is Cancelled.ENDED
        elif expected.cancel_requested:
            assert answer is Cancelled.ALREADY_REQUESTED
        elif expected.running is not None:
            assert answer is Cancelled.REQUESTED
            expected.cancel_requested = True
        else:
            assert answer is Cancelled.DONE
            self.end(event_id, State.CANCELLED)

    @rule(room=st.sampled_from([1, 3, 100]))
    def claim(self, room: int) -> None:
        if envelope := self.claim_ids(room):
            self.envelopes.append(envelope)

    def claim_ids(self, room: int) -> list[str]:
        """Claim, update the model, and return the offered ids."""
        gap_ms, self.claimed_ms = self.now_ms - self.claimed_ms, self.now_ms
        if gap_ms < 0 or gap_ms > LEASE_MS / 2:
            self.grace_until_ms = self.now_ms + LEASE_GRACE_MS
        claim = self.engine.claim(room)
        self.apply_claim(claim)
        assert len(all_ids(claim)) <= room
        return all_ids(claim)

    def apply_claim(self, claim: Claim) -> None:
        """Check the results of a claim, and update the model."""
        assert claim.quarantined == []
        assert not claim.interrupted or self.now_ms >= self.grace_until_ms
        for event_id in claim.interrupted:
            expected = self.events[event_id]
            assert expected.running is not None
            expired = self.elapsed_ms - expected.lease_from_ms >= LEASE_MS
            assert expired or self.now_ms >= expected.renewable_until_ms
            expected.lost, expected.running = expected.running, None
            expected.interruptions += 1
            if expected.cancel_requested:
                self.end(event_id, State.CANCELLED)
            elif expected.interruptions == DEAD_FROM:
                self.end(event_id, State.DEAD)
        for event_id in all_ids(claim):
            if event_id not in self.events:
                self.add_occurrence(event_id)
            expected = self.events[event_id]
            assert expected.at_ms <= self.now_ms
            assert expected.state is State.ACTIVE
            assert expected.running is None
            isolated = expected.interruptions >= ISOLATED_FROM
            assert (event_id in claim.isolated_ids) == isolated
        assert len(claim.isolated_ids) <= 1
        self.to_plan += claim.schedule_ids

    def add_occurrence(self, event_id: str) -> None:
        schedule_id, _, fire_s = event_id.partition(".")
        schedule, fire_ms = self.schedules[schedule_id], int(fire_s) * 1_000
        at_ms, options = self.engine.get(event_id).wanted_ms, schedule.options
        assert schedule.state is ScheduleState.ACTIVE
        assert fire_ms > self.latest_ms[schedule_id]
        assert 0 <= at_ms - fire_ms <= options.jitter_ms
        assert self.now_ms <= (options.end_ms or NEVER_MS)
        if options.overlap is Overlap.SKIP:
            assert not self.is_active(self.newest.get(schedule_id, ""))
        self.latest_ms[schedule_id] = fire_ms
        self.runs[schedule_id] += 1
        assert self.runs[schedule_id] <= (options.max_runs or NEVER_MS)
        self.expect_occurrence(event_id, schedule, at_ms)

    def expect_occurrence(self, event_id: str, schedule: Schedule, at_ms: int) -> None:
        self.expect(event_id, schedule.content, at_ms)
        expected, options = self.events[event_id], schedule.options
        expected.schedule, expected.strict = schedule.id, options.strict
        expected.pauses = self.pauses[schedule.id]
        expected.end_ms = options.end_ms or NEVER_MS
        previous = self.newest.get(schedule.id, "")
        if options.overlap is not Overlap.RUN:
            if self.is_active(previous):
                expected.previous, self.events[previous].following = previous, event_id
            self.newest[schedule.id] = event_id

    def is_active(self, event_id: str) -> bool:
        found = self.events.get(event_id)
        return found is not None and found.state is State.ACTIVE

    def withdrawn(self, event_id: str, at_ms: int, *, again: bool) -> str:
        """Return why an event may not begin at `at_ms`; '' if the event may begin."""
        expected = self.events[event_id]
        schedule = self.schedules.get(expected.schedule)
        if at_ms > expected.end_ms:
            return "end"
        if not expected.strict:
            return ""
        if schedule is None:
            return "deleted"
        if expected.pauses != self.pauses[schedule.id]:
            return "paused"
        current = self.engine.schedules.get(OWNER, schedule.id)
        if at_ms > (current.options.end_ms or NEVER_MS):
            return "end"
        return self.next_is_near(event_id, at_ms, current) if again else ""

    def next_is_near(self, event_id: str, at_ms: int, schedule: Schedule) -> str:
        next_ms = schedule.times_ms[0] if schedule.times_ms else NEVER_MS
        if at_ms >= next_ms:
            return "next"
        fire_s = event_id.partition(".")[2]
        if not fire_s.isdecimal():
            return ""
        fire_ms = int(fire_s) * 1_000
        fired_later = (schedule.last_fired_ms or 0) > fire_ms
        return "next" if fired_later or next_ms - fire_ms < MIN_INTERVAL_MS else ""

    @precondition(lambda self: self.envelopes)
    @rule(data=st.data())
    def lose_envelope(self, data: st.DataObject) -> None:
        self.draw_envelope(data)

    @precondition(lambda self: self.envelopes)
    @rule(data=st.data())
    def duplicate_envelope(self, data: st.DataObject) -> None:
        envelope = self.draw_envelope(data)
        self.envelopes += [envelope, envelope]

    @precondition(lambda self: self.envelopes)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        self.workers[0].release(*self.draw_envelope(data))

    @precondition(lambda self: self.envelopes)
    @rule(data=st.data(), which=st.integers(0, 1))
    def begin(self, data: st.DataObject, which: int) -> None:
        self.process(self.draw_envelope(data), which)

    def draw_envelope(self, data: st.DataObject) -> list[str]:
        at = data.draw(st.integers(0, len(self.envelopes) - 1))
        return self.envelopes.pop(at)

    def process(self, envelope: list[str], which: int = 0) -> list[Begun]:
        worker = self.workers[which]
        begun, refused = worker.try_begin(*envelope)
        assert {each.id for each in begun} | refused.keys() == set(envelope)
        assert set(refused.values()) <= {
            "held",
            "gone",
            "taken",
            "early",
            "withdrawn",
            "waits",
        }
        begun_by_id = {each.id: each for each in begun}
        for event_id in envelope:
            if event_id in begun_by_id:
                self.apply_begun(begun_by_id[event_id], worker)
            elif refused[event_id] in ("withdrawn", "waits"):
                self.apply_refused(event_id, refused[event_id])
        self.attempts += begun
        return begun

    def apply_begun(self, begun: Begun, worker: SyncWorker) -> None:
        expected = self.events[begun.id]
        content = begun.content or worker.fetch(begun).content
        assert expected.running is None
        assert not (
            self.destination_paused
            and parse(expected.content.url).origin == DESTINATION.origin
        )
        assert expected.at_ms <= self.now_ms
        assert expected.state is State.ACTIVE
        assert not self.withdrawn(begun.id, self.now_ms, again=expected.begun > 0)
        assert not self.is_active(expected.previous)
        assert (content, begun.wanted_ms) == (expected.content, expected.wanted_ms)
        assert begun.attempt == expected.begun + 1
        assert begun.failures == expected.failures
        assert begun.interruptions == expected.interruptions
        expected.begun, expected.running = begun.attempt, begun
        self.check_queue_order(begun.id)
        self.check_limits()
        expected.lease_from_ms = self.elapsed_ms
        expected.renewable_until_ms = self.now_ms + begun.deadline_ms + 10_000

    def apply_refused(self, event_id: str, code: str) -> None:
        expected = self.events[event_id]
        reason = self.withdrawn(event_id, self.now_ms, again=expected.begun > 0)
        assert expected.state is State.ACTIVE
        assert expected.running is None
        assert bool(reason) == (code == "withdrawn")
        if reason:
            self.end_withdrawn(event_id, reason)
        else:
            assert self.is_active(expected.previous)
            expected.waits_for_previous, expected.at_ms = (
                True,
                self.now_ms + CHECK_AGAIN_MS,
            )

    def end_withdrawn(self, event_id: str, reason: str) -> None:
        attempted = self.events[event_id].begun and reason not in BY_USER
        self.end(event_id, State.DEAD if attempted else State.CANCELLED)
        assert self.engine.get(event_id).reason == reason

    @rule(again=st.booleans())
    def offer_and_begin(self, again: bool) -> None:
        """Claim, and begin the offered events.

        If `again`, the other worker then tries to begin the same events.
        """
        envelope = self.claim_ids(room=100)
        self.process(envelope, 0)
        if again:
            self.process(envelope, 1)

    @precondition(lambda self: self.envelopes)
    @rule(data=st.data(), hours=st.sampled_from([-1, 1]))
    def change_clock_before_begin(self, data: st.DataObject, hours: int) -> None:
        self.change_clock(hours)
        self.process(self.draw_envelope(data))
        # A ticker claims often, and so notices a clock change before a lease ends.
        # Claim here, as a ticker would.
        self.claim_ids(room=0)

    @precondition(lambda self: self.attempts)
    @rule(change=st.sampled_from(["ends", "ends in grace", "is renewed"]))
    def change_lease(self, change: str) -> None:
        if change == "is renewed":
            self.renew_one(self.attempts[-1])
        elif change == "ends in grace":
            self.advance_without_ticker(LEASE_MS)
            self.claim_ids(room=0)
        else:
            self.advance(LEASE_MS)

    @precondition(lambda self: self.attempts)
    @rule(
        data=st.data(),
        outcome=st.sampled_from(Outcome),
        delay_ms=DELAYS_MS,
        callback=st.none() | CONTENTS,
    )
    def settle(
        self,
        data: st.DataObject,
        outcome: Outcome,
        delay_ms: int,
        callback: Content | None,
    ) -> None:
        begun = data.draw(st.sampled_from(self.attempts))
        self.settle_attempt(begun, outcome, delay_ms, callback)

    def settle_attempt(
        self,
        begun: Begun,
        outcome: Outcome = Outcome.DELIVERED,
        delay_ms: int = 0,
        callback: Content | None = None,
    ) -> None:
        if outcome in WITHOUT_OUTCOME:
            self.settle_without_outcome(begun, outcome)
            return
        expected = self.events.get(begun.id)
        code = "gone"
        if expected is not None:
            code = "repeated" if begun.attempt in expected.settled else "late"
            code = "settled" if expected.accepts(begun) else code

        attempt_end = settlement(begun, outcome, delay_ms=delay_ms)
        child_id = f"{begun.id}-{begun.attempt}"
        if callback is not None:
            child = FollowUp(child_id, callback, DEADLINE_MS, delay_ms)
            attempt_end = replace(attempt_end, follow_ups=(child,))
        [answer] = self.workers[0].settle(attempt_end)

        assert answer.code == code
        if expected is None or code != "settled":
            return
        expected.settled.add(begun.attempt)
        expected.running = expected.lost = None
        expected.interruptions = 0
        if expected.cancel_requested and outcome is not Outcome.DELIVERED:
            self.end(begun.id, State.CANCELLED)
            return
        if callback is not None:
            self.expect(child_id, callback, self.now_ms + delay_ms)
            if begun.id in self.queue_order:
                self.queue_order.insert(self.queue_order.index(begun.id) + 1, child_id)
                self.events[child_id].is_callback = True
        if outcome is not Outcome.RETRY:
            self.end(begun.id, State(outcome.value))
        elif reason := self.withdrawn(begun.id, self.now_ms + delay_ms, again=True):
            self.end_withdrawn(begun.id, reason)
        else:
            expected.failures += 1
            expected.at_ms = self.now_ms + delay_ms

    @precondition(lambda self: self.events)
    @rule(data=st.data(), content=CONTENTS, delay_ms=DELAYS_MS, gates=GATES)
    def replay(
        self, data: st.DataObject, content: Content, delay_ms: int, gates: Gates
    ) -> None:
        event_id = self.draw_letter(data)
        draft = Draft(content, DEADLINE_MS, delay_ms=delay_ms, gates=gates)
        is_dead = self.events[event_id].state is State.DEAD

        [answer] = self.dead_letters.replay(OWNER, [(event_id, draft)])

        assert (answer is not None) == is_dead
        if answer is not None:
            assert answer.verdict is Verdict.OK
            self.events[event_id].state = State.CLEARED
            self.expect(answer.id, content, self.now_ms + delay_ms)
            self.events[answer.id].gates = gates
            if gates.queue:
                self.queue_order.append(answer.id)

    @precondition(lambda self: self.events)
    @rule(data=st.data())
    def clear(self, data: st.DataObject) -> None:
        event_id = self.draw_letter(data)
        expected = self.events[event_id]

        [cleared] = self.dead_letters.clear(OWNER, [event_id])

        assert cleared == (expected.state is State.DEAD)
        if cleared:
            expected.state = State.CLEARED

    def draw_letter(self, data: st.DataObject) -> str:
        """Draw a dead letter, for which attempts fail first; else any event."""
        for each in self.events.values():
            if each.running is not None and not each.cancel_requested:
                self.settle_attempt(each.running, Outcome.DEAD)
        letters = [i for i, e in self.events.items() if e.state is State.DEAD]
        return data.draw(st.sampled_from(letters or [*self.events]))

    def settle_without_outcome(self, begun: Begun, outcome: Outcome) -> None:
        expected = self.events.get(begun.id)
        [answer] = self.workers[0].settle(settlement(begun, outcome))
        if expected is None:
            assert answer.code == "gone"
        elif expected.state is not State.ACTIVE:
            assert answer.code == "late"
        elif begun == expected.lost:
            assert answer.code == "settled"
            expected.lost = None
            expected.interruptions -= 1
        elif begun != expected.running:
            assert answer.code == "late"
        else:
            assert answer.code == "settled"
            expected.running = expected.lost = None
            if expected.cancel_requested:
                expected.settled.add(begun.attempt)
                expected.interruptions = 0
                self.end(begun.id, State.CANCELLED)
            else:
                expected.begun -= outcome is Outcome.UNSENT

    @precondition(lambda self: self.attempts)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        self.renew_one(data.draw(st.sampled_from(self.attempts)))

    def renew_one(self, begun: Begun) -> None:
        expected = self.events.get(begun.id)
        running = expected is not None and expected.running == begun
        kept = (
            running
            and expected is not None
            and self.now_ms < expected.renewable_until_ms
        )

        lost = self.workers[0].renew(begun)

        assert lost == (set() if kept else {begun.id})
        if kept and expected is not None:
            expected.lease_from_ms = self.elapsed_ms
        if self.now_ms < self.claimed_ms:
            # The clock was set back after the last claim. Claim now, to notice this. If
            # the clock were first set forward again, a claim would notice nothing.
            self.claim_ids(room=0)

    @precondition(lambda self: self.attempts)
    @rule()
    def crash_worker(self) -> None:
        """Forget all begun attempts, so that their leases are not renewed."""
        self.attempts.clear()

    @rule(ms=st.sampled_from([1, 1_000, 4_999, 15_000, 40_000]))
    def advance(self, ms: int) -> None:
        while ms > 0:
            self.advance_clock(min(ms, TICK_MS))
            ms -= TICK_MS
            self.claim_ids(room=0)

    @rule(ms=st.sampled_from([8_000, 60_000, HOUR_MS]))
    def advance_without_ticker(self, ms: int) -> None:
        self.advance_clock(ms)

    def advance_clock(self, ms: int) -> None:
        self.engine.now_ms += ms
        self.elapsed_ms += ms

    @rule(hours=st.sampled_from([-1, 1]))
    def change_clock(self, hours: int) -> None:
        self.engine.now_ms += hours * HOUR_MS

    @precondition(lambda self: len(self.schedules) < 2)
    @rule(expression=RULES, content=CONTENTS, ends_in_ms=ENDS_IN_MS, options=OPTIONS)
    def create_schedule(
        self,
        expression: str,
        content: Content,
        ends_in_ms: int | None,
        options: dict[str, Any],
    ) -> None:
        end_ms = None if ends_in_ms is None else self.now_ms + ends_in_ms
        schedule = self.engine.schedule(
            expression, content=content, end_ms=end_ms, **options
        )
        self.schedules[schedule.id] = schedule
        self.latest_ms[schedule.id] = self.now_ms

    @precondition(lambda self: self.schedules)
    @rule(
        data=st.data(),
        expression=st.none() | RULES,
        content=st.none() | CONTENTS,
        state=st.sampled_from([None, ScheduleState.ACTIVE, ScheduleState.PAUSED]),
        ends_in_ms=ENDS_IN_MS,
    )
    def edit_schedule(
        self,
        data: st.DataObject,
        expression: str | None,
        content: Content | None,
        state: ScheduleState | None,
        ends_in_ms: int | None,
    ) -> None:
        current = self.engine.schedules.get(OWNER, self.draw_schedule(data).id)
        options = current.options
        if ends_in_ms is not None:
            options = replace(options, end_ms=self.now_ms + ends_in_ms)
        changes = {"expression": expression, "content": content, "options": options}
        self.edit(current, state, **changes)

    def edit(self, old: Schedule, state: ScheduleState | None, **changes: Any) -> None:
        schedule_id = old.id
        edited = self.engine.schedules.edit(old, grammar=FULL, state=state, **changes)
        self.schedules[schedule_id] = edited
        assert state is None or edited.state in (state, ScheduleState.ENDED)
        paused = edited.state is ScheduleState.PAUSED
        if paused and old.state is not ScheduleState.PAUSED:
            self.pauses[schedule_id] += 1
        # If the edit changed the rule, or the schedule was over before the edit, the
        # schedule fires only at times after the edit.
        if fire_times.rule_of(edited) != fire_times.rule_of(old) or old.is_over(
            self.now_ms
        ):
            self.latest_ms[schedule_id] = self.now_ms

    @precondition(lambda self: self.schedules)
    @rule(
        data=st.data(),
        then=st.sampled_from(["begins", "begins", "is paused", "is deleted"]),
        settles=st.booleans(),
    )
    def fire(self, data: st.DataObject, then: str, settles: bool) -> None:
        """Claim at a fire time, and begin the occurrence.

        Between claim and begin, the schedule may be paused or deleted, as `then` says.
        """
        schedule_id = self.draw_schedule(data).id
        wanted_ms = self.engine.due().get(f"s:{schedule_id}", self.now_ms)
        self.advance_clock(min(max(0, wanted_ms - self.now_ms), HOUR_MS))
        envelope = self.claim_ids(room=100)
        current = self.engine.schedules.get(OWNER, schedule_id)
        if then == "is paused":
            self.edit(current, ScheduleState.PAUSED)
        elif then == "is deleted":
            self.engine.schedules.delete(current)
            del self.schedules[schedule_id]
        begun = self.process(envelope)
        for each in begun if settles else []:
            self.settle_attempt(each)

    @precondition(lambda self: self.schedules)
    @rule(data=st.data())
    def run_by_hand(self, data: st.DataObject) -> None:
        schedule = self.draw_schedule(data)
        skips = schedule.options.overlap is Overlap.SKIP
        newest = self.newest.get(schedule.id, "")
        current = self.engine.schedules.get(OWNER, schedule.id)
        if current.is_over(self.now_ms):
            with pytest.raises(ScheduleEnded):
                self.engine.schedules.run(schedule)
        elif skips and self.is_active(newest):
            with pytest.raises(RunInProgress):
                self.engine.schedules.run(schedule)
        else:
            event_id = self.engine.schedules.run(schedule)
            self.expect_occurrence(event_id, schedule, self.now_ms)

    @precondition(lambda self: self.schedules)
    @rule(data=st.data())
    def delete_schedule(self, data: st.DataObject) -> None:
        schedule = self.draw_schedule(data)
        self.engine.schedules.delete(self.engine.schedules.get(OWNER, schedule.id))
        del self.schedules[schedule.id]

    def draw_schedule(self, data: st.DataObject) -> Schedule:
        return self.schedules[data.draw(st.sampled_from(sorted(self.schedules)))]

    @precondition(lambda self: self.to_plan)
    @rule()
    def plan(self) -> None:
        while self.to_plan:
            schedule_id = self.to_plan.pop()
            active = schedule_id in self.schedules and (
                self.engine.schedules.get(OWNER, schedule_id).state
                is ScheduleState.ACTIVE
            )
            answer = self.engine.schedules.top_up(schedule_id)
            assert answer in (("done", "stale") if active else ("stale",))

    @rule(age_ms=st.sampled_from([0, 60_000]))
    def forget(self, age_ms: int) -> None:
        self.release_deduplication_keys()
        before_ms = self.now_ms - age_ms
        forgotten_ids = [
            event_id
            for event_id, expected in self.events.items()
            if expected.state is not State.ACTIVE and expected.finished_ms < before_ms
        ]
        forgotten = self.engine.store.forget([*self.events], before_ms=before_ms)
        assert forgotten == len(forgotten_ids)
        for event_id in forgotten_ids:
            del self.events[event_id]

    @invariant()
    def fsck_finds_no_faults(self) -> None:
        assert self.engine.faults() == []

    @invariant()
    def the_store_matches_the_model(self) -> None:
        found = read_events(self.engine.cell, OWNER, [*self.events])
        for event, expected in zip(found, self.events.values(), strict=True):
            assert event is not None
            assert (event.state, event.attempts) == (expected.state, expected.begun)
            assert event.wanted_ms == expected.wanted_ms
            assert event.next_ms == expected.at_ms
            assert event.content == expected.content

    def teardown(self) -> None:
        try:
            self.finish_all()
        finally:
            self.engine.close()
            self.runner.close()

    def close_breakers(self) -> None:
        """Report successes until no breaker holds events."""
        for url in (CONTENT.url, OTHER.url):
            for digest in (destination_digest(url), route_digest(url)):
                gate = destination_gate(OWNER.tenant, digest)
                # The first report starts a ramp, and the second one ends it.
                for _ in range(2):
                    self.engine.worker.report_all({gate: outcomes("s" * 10)})

    def finish_all(self) -> None:
        """Deliver all events, and check that every event ends.

        Before the deliveries, delete all schedules and end all pauses.
        """
        while self.schedules:
            self.engine.schedules.delete(self.schedules.popitem()[1])
        for kind in ("queue", "key", "destination"):
            self.set_paused(paused=False, kind=kind)
        idle = 0
        for _ in range(MAX_ROUNDS):
            active = [e for e in self.events.values() if e.state is State.ACTIVE]
            if not active:
                break
            later = [e.at_ms for e in active if e.at_ms > self.now_ms]
            # If no event begins for some rounds, advance to the next due time, because
            # the first event of a queue blocks the others until its due time. If that
            # is not enough after more rounds, advance to the last due time.
            if idle > 4 and later:
                self.advance_clock((min if idle < 10 else max)(later) - self.now_ms)
            self.advance_clock(TICK_MS)
            begun = self.process(self.claim_ids(room=100))
            idle = 0 if begun else idle + 1
            for each in begun:
                self.settle_attempt(each)
        assert not active
        self.close_breakers()
        # While events wait for a queue or a limit, `due` contains this queue or limit.
        # Afterwards, only a claim removes it from `due`, so claim once more.
        self.advance_clock(TICK_MS)
        self.claim_ids(room=100)
        assert (
            self.engine.due() == self.engine.leased() == self.engine.quarantine() == {}
        )
        assert self.engine.faults() == []


def connect_to_fakeredis() -> Connections:
    server = fakeredis.FakeServer()
    return fakeredis.FakeRedis(server=server), lambda: fakeredis.FakeAsyncRedis(
        server=server
    )


def run(connect: Callable[[], Connections], *, examples: int, steps: int) -> None:
    run_state_machine_as_test(
        lambda: CellMachine(connect),
        settings=budget(
            examples,
            stateful_step_count=steps,
            phases=(Phase.generate, Phase.shrink),
        ),
    )


def test_random_operations_match_the_model_on_fakeredis():
    run(connect_to_fakeredis, examples=10, steps=40)


def test_random_operations_match_the_model_on_valkey(valkey: str):
    client = redis.Redis.from_url(valkey)

    def connect() -> Connections:
        client.flushall()
        return client, lambda: redis.asyncio.Redis.from_url(valkey)

    run(connect, examples=20, steps=40)
    client.close()
