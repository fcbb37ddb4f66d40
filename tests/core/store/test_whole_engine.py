"""Everything that may happen to a cell, in any order, against a model of it.

After every step records and sets agree, and the store says what the model says. Nothing
begins early, no event is in two hands, and in the end everything accepted has ended.
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
from hypothesis import HealthCheck, Phase, settings
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
from scheduler_api.core.schedules import fire_times
from scheduler_api.core.store.claims import Claim
from scheduler_api.core.store.events import Cancelled
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
from typing import Any

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
TICK_MS = 5_000
POISON, ISOLATED_FROM = 5, 2
MOST_ROUNDS = 200
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
PLACE = parse(OTHER.url)
DELAYS_MS = st.sampled_from([1, 1, 1, 999, 5_000, 30_000, HOUR_MS])
RULES = st.sampled_from(["*/5 * * * * *", "* * * * *", "@every 20s"])
NEVER_MS = 1 << 60
LOOK_AGAIN_MS, SHORTEST_MS = 10_000, 60_000
TAKEN_BACK = ("paused", "deleted")
ENDS_IN_MS = st.sampled_from([None, None, 7_000, 90_000, HOUR_MS])
OPTIONS = st.fixed_dictionaries(
    {
        "max_runs": st.sampled_from([None, None, 3]),
        "jitter_ms": st.sampled_from([0, 0, 4_000]),
        "overlap": st.sampled_from(Overlap),
        "strict": st.booleans(),
    }
)
WITHDRAWN = (State.DEAD, State.CANCELLED)
Connections = tuple[redis.Redis, Callable[[], redis.asyncio.Redis]]


@dataclass
class Expected:
    """What the model knows of an event."""

    content: Content
    at_ms: int
    wanted_ms: int
    begun: int = 0
    failures: int = 0
    interruptions: int = 0
    live: Begun | None = None
    lost: Begun | None = None
    held_at_ms: int = 0
    until_ms: int = 0
    asked: bool = False
    settled: set[int] = field(default_factory=set)
    gates: Gates = NO_GATES
    child: bool = False
    state: State = State.ACTIVE
    finished_ms: int = 0
    schedule: str = ""
    pauses: int = 0
    end_ms: int = NEVER_MS
    strict: bool = False
    before: str = ""
    after: str = ""
    held: bool = False

    def takes(self, begun: Begun) -> bool:
        """Whether a settle of that begin counts."""
        if self.state is not State.ACTIVE:
            return False
        return self.live == begun or (self.live is None and self.lost == begun)


class Cell(RuleBasedStateMachine):
    """One cell with two workers; RQ is a list of envelopes."""

    def __init__(self, connect: Callable[[], Connections]) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        client, connect_async = connect()
        self.engine = Engine(client, connect_async, self.runner)
        self.workers = [self.engine.worker, self.engine.new_worker()]
        self.events: dict[str, Expected] = {}
        self.rules: dict[str, Schedule] = {}
        self.latest_ms: dict[str, int] = {}
        self.pauses: Counter[str] = Counter()
        self.runs: Counter[str] = Counter()
        self.newest: dict[str, str] = {}
        self.envelopes: list[list[str]] = []
        self.hands: list[Begun] = []
        self.asked: list[str] = []
        self.deduplication: dict[str, str] = {}
        self.queues = Queues(self.engine.cell)
        self.flow_keys = FlowKeys(self.engine.cell)
        self.held = HeldDestinations(self.engine.cell)
        # Whether all that goes to PLACE is.
        self.paused = False
        # A queue in the order of acceptance; callbacks stand behind their parents.
        self.turns: list[str] = []
        self.claimed_ms = self.grace_until_ms = 0
        # What a watch would show that nobody sets: it goes on when the clock steps.
        self.passed_ms = 0

    @property
    def now_ms(self) -> int:
        return self.engine.now_ms

    @initialize(content=CONTENTS, options=OPTIONS)
    def a_ticker_starts(self, content: Content, options: dict[str, Any]) -> None:
        self.look(room=100)
        self.create([1, 1, 1], content, "")
        self.create_schedule("* * * * *", content, None, options)
        self.time_passes(1_000)

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
                self.turns.append(answer.id)
            if key:
                self.deduplication[key] = answer.id

    @rule(paused=st.booleans(), what=st.sampled_from(["queue", "key", "destination"]))
    def turn(self, paused: bool, what: str) -> None:
        if what == "destination":
            with suppress(NotFound):
                self.held.set_paused(OWNER.tenant, PLACE, paused=paused)
            self.paused = paused
        elif what == "key":
            self.flow_keys.set_paused(OWNER, KEY, paused=paused)
        elif self.turns:
            with suppress(NotFound):
                self.queues.set_paused(OWNER, QUEUE, paused=paused)

    @precondition(lambda self: self.turns)
    @rule(really=st.sampled_from([False, False, True]))
    def delete_queue(self, really: bool) -> None:
        if not really:
            return
        self.queues.delete(OWNER, QUEUE)
        for event_id in self.turns:
            expected = self.events.get(event_id)
            if expected is None or expected.state is not State.ACTIVE:
                continue
            if expected.child:
                continue
            if expected.live is not None:
                expected.asked = True
            else:
                self.end(event_id, State.CANCELLED)

    def check_turn(self, event_id: str) -> None:
        """Whoever was accepted before has ended, and so have its callbacks."""
        expected = self.events[event_id]
        if event_id not in self.turns or expected.child:
            return
        for earlier in self.turns[: self.turns.index(event_id)]:
            known = self.events.get(earlier)
            assert known is None or known.state is not State.ACTIVE

    def check_limits(self) -> None:
        """Never more are in hand than the key allows."""
        limited = (e for e in self.events.values() if e.gates.flow == TWO_AT_ONCE)
        assert sum(each.live is not None for each in limited) <= 2

    def release_deduplication_keys(self) -> None:
        """A failed or cancelled event releases its deduplication key."""
        for key, event_id in [*self.deduplication.items()]:
            expected = self.events.get(event_id)
            if expected and (expected.asked or expected.state in WITHDRAWN):
                del self.deduplication[key]

    def end(self, event_id: str, state: State) -> None:
        """Ends an event; who waits for it goes on."""
        expected = self.events[event_id]
        expected.state, expected.finished_ms = state, self.now_ms
        expected.live = expected.lost = None
        follower = self.events.get(expected.after)
        if follower and follower.held and self.under_way(expected.after):
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
        elif expected.asked:
            assert answer is Cancelled.ALREADY_REQUESTED
        elif expected.live is not None:
            assert answer is Cancelled.REQUESTED
            expected.asked = True
        else:
            assert answer is Cancelled.DONE
            self.end(event_id, State.CANCELLED)

    @rule(room=st.sampled_from([1, 3, 100]))
    def claim(self, room: int) -> None:
        if envelope := self.look(room):
            self.envelopes.append(envelope)

    def look(self, room: int) -> list[str]:
        """Claims, and answers what was offered."""
        gap_ms, self.claimed_ms = self.now_ms - self.claimed_ms, self.now_ms
        if gap_ms < 0 or gap_ms > LEASE_MS / 2:
            self.grace_until_ms = self.now_ms + LEASE_GRACE_MS
        claim = self.engine.claim(room)
        self.learn(claim)
        assert len(all_ids(claim)) <= room
        return all_ids(claim)

    def learn(self, claim: Claim) -> None:
        """Checks what a claim tells against the model, and takes it over."""
        assert claim.quarantined == []
        assert not claim.interrupted or self.now_ms >= self.grace_until_ms
        for event_id in claim.interrupted:
            expected = self.events[event_id]
            assert expected.live is not None
            over = self.passed_ms - expected.held_at_ms >= LEASE_MS
            assert over or self.now_ms >= expected.until_ms
            expected.lost, expected.live = expected.live, None
            expected.interruptions += 1
            if expected.asked:
                self.end(event_id, State.CANCELLED)
            elif expected.interruptions == POISON:
                self.end(event_id, State.DEAD)
        for event_id in all_ids(claim):
            if event_id not in self.events:
                self.learn_occurrence(event_id)
            expected = self.events[event_id]
            assert expected.at_ms <= self.now_ms
            assert expected.state is State.ACTIVE
            assert expected.live is None
            isolated = expected.interruptions >= ISOLATED_FROM
            assert (event_id in claim.isolated_ids) == isolated
        assert len(claim.isolated_ids) <= 1
        self.asked += claim.schedule_ids

    def learn_occurrence(self, event_id: str) -> None:
        schedule_id, _, nominal_s = event_id.partition(".")
        schedule, nominal_ms = self.rules[schedule_id], int(nominal_s) * 1_000
        at_ms, options = self.engine.get(event_id).wanted_ms, schedule.options
        assert schedule.state is ScheduleState.ACTIVE
        assert nominal_ms > self.latest_ms[schedule_id]
        assert 0 <= at_ms - nominal_ms <= options.jitter_ms
        assert self.now_ms <= (options.end_ms or NEVER_MS)
        if options.overlap is Overlap.SKIP:
            assert not self.under_way(self.newest.get(schedule_id, ""))
        self.latest_ms[schedule_id] = nominal_ms
        self.runs[schedule_id] += 1
        assert self.runs[schedule_id] <= (options.max_runs or NEVER_MS)
        self.expect_occurrence(event_id, schedule, at_ms)

    def expect_occurrence(self, event_id: str, schedule: Schedule, at_ms: int) -> None:
        self.expect(event_id, schedule.content, at_ms)
        expected, options = self.events[event_id], schedule.options
        expected.schedule, expected.strict = schedule.id, options.strict
        expected.pauses = self.pauses[schedule.id]
        expected.end_ms = options.end_ms or NEVER_MS
        before = self.newest.get(schedule.id, "")
        if options.overlap is not Overlap.RUN:
            if self.under_way(before):
                expected.before, self.events[before].after = before, event_id
            self.newest[schedule.id] = event_id

    def under_way(self, event_id: str) -> bool:
        found = self.events.get(event_id)
        return found is not None and found.state is State.ACTIVE

    def withdrawn(self, event_id: str, at_ms: int, *, again: bool) -> str:
        """Why no attempt may begin at that time; '' if it may."""
        expected = self.events[event_id]
        schedule = self.rules.get(expected.schedule)
        if at_ms > expected.end_ms:
            return "end"
        if not expected.strict:
            return ""
        if schedule is None:
            return "deleted"
        if expected.pauses != self.pauses[schedule.id]:
            return "paused"
        now = self.engine.schedules.get(OWNER, schedule.id)
        if at_ms > (now.options.end_ms or NEVER_MS):
            return "end"
        return self.next_is_near(event_id, at_ms, now) if again else ""

    def next_is_near(self, event_id: str, at_ms: int, schedule: Schedule) -> str:
        next_ms = schedule.times_ms[0] if schedule.times_ms else NEVER_MS
        if at_ms >= next_ms:
            return "next"
        nominal_s = event_id.partition(".")[2]
        if not nominal_s.isdecimal():
            return ""
        nominal_ms = int(nominal_s) * 1_000
        passed = (schedule.last_fired_ms or 0) > nominal_ms
        return "next" if passed or next_ms - nominal_ms < SHORTEST_MS else ""

    @precondition(lambda self: self.envelopes)
    @rule(data=st.data())
    def lose_envelope(self, data: st.DataObject) -> None:
        self.draw_envelope(data)

    @precondition(lambda self: self.envelopes)
    @rule(data=st.data())
    def double_envelope(self, data: st.DataObject) -> None:
        envelope = self.draw_envelope(data)
        self.envelopes += [envelope, envelope]

    @precondition(lambda self: self.envelopes)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        self.workers[0].release(*self.draw_envelope(data))

    @precondition(lambda self: self.envelopes)
    @rule(data=st.data(), which=st.integers(0, 1))
    def begin(self, data: st.DataObject, which: int) -> None:
        self.carry_out(self.draw_envelope(data), which)

    def draw_envelope(self, data: st.DataObject) -> list[str]:
        at = data.draw(st.integers(0, len(self.envelopes) - 1))
        return self.envelopes.pop(at)

    def carry_out(self, envelope: list[str], which: int = 0) -> list[Begun]:
        worker = self.workers[which]
        begun, fallen = worker.try_begin(*envelope)
        assert {each.id for each in begun} | fallen.keys() == set(envelope)
        assert set(fallen.values()) <= {
            "held",
            "gone",
            "taken",
            "early",
            "withdrawn",
            "waits",
        }
        taken = {each.id: each for each in begun}
        for event_id in envelope:
            if event_id in taken:
                self.learn_begun(taken[event_id], worker)
            elif fallen[event_id] in ("withdrawn", "waits"):
                self.learn_fallen(event_id, fallen[event_id])
        self.hands += begun
        return begun

    def learn_begun(self, begun: Begun, worker: SyncWorker) -> None:
        expected = self.events[begun.id]
        content = begun.content or worker.fetch(begun).content
        assert expected.live is None
        assert not (self.paused and parse(expected.content.url).origin == PLACE.origin)
        assert expected.at_ms <= self.now_ms
        assert expected.state is State.ACTIVE
        assert not self.withdrawn(begun.id, self.now_ms, again=expected.begun > 0)
        assert not self.under_way(expected.before)
        assert (content, begun.wanted_ms) == (expected.content, expected.wanted_ms)
        assert begun.attempt == expected.begun + 1
        assert begun.failures == expected.failures
        assert begun.interruptions == expected.interruptions
        expected.begun, expected.live = begun.attempt, begun
        self.check_turn(begun.id)
        self.check_limits()
        expected.held_at_ms = self.passed_ms
        expected.until_ms = self.now_ms + begun.deadline_ms + 10_000

    def learn_fallen(self, event_id: str, code: str) -> None:
        expected = self.events[event_id]
        why = self.withdrawn(event_id, self.now_ms, again=expected.begun > 0)
        assert expected.state is State.ACTIVE
        assert expected.live is None
        assert bool(why) == (code == "withdrawn")
        if why:
            self.end_withdrawn(event_id, why)
        else:
            assert self.under_way(expected.before)
            expected.held, expected.at_ms = True, self.now_ms + LOOK_AGAIN_MS

    def end_withdrawn(self, event_id: str, why: str) -> None:
        tried = self.events[event_id].begun and why not in TAKEN_BACK
        self.end(event_id, State.DEAD if tried else State.CANCELLED)
        assert self.engine.get(event_id).reason == why

    @rule(again=st.booleans())
    def offer_and_begin(self, again: bool) -> None:
        """The usual way; now and then the envelope is doubled, and met by another."""
        envelope = self.look(room=100)
        self.carry_out(envelope, 0)
        if again:
            self.carry_out(envelope, 1)

    @precondition(lambda self: self.envelopes)
    @rule(data=st.data(), hours=st.sampled_from([-1, 1]))
    def the_clock_steps_before_begin(self, data: st.DataObject, hours: int) -> None:
        self.the_clock_steps(hours)
        self.carry_out(self.draw_envelope(data))
        # Tickers look several times in a lease: no step goes unnoticed for long.
        self.look(room=0)

    @precondition(lambda self: self.hands)
    @rule(what=st.sampled_from(["ends", "ends in grace", "is renewed"]))
    def a_lease(self, what: str) -> None:
        if what == "is renewed":
            held = self.hands[-1]
            self.renew_one(held)
        elif what == "ends in grace":
            self.all_tickers_are_away(LEASE_MS)
            self.look(room=0)
        else:
            self.time_passes(LEASE_MS)

    @precondition(lambda self: self.hands)
    @rule(
        data=st.data(),
        outcome=st.sampled_from(Outcome),
        delay_ms=DELAYS_MS,
        told=st.none() | CONTENTS,
    )
    def settle(
        self,
        data: st.DataObject,
        outcome: Outcome,
        delay_ms: int,
        told: Content | None,
    ) -> None:
        begun = data.draw(st.sampled_from(self.hands))
        self.write_down(begun, outcome, delay_ms, told)

    def write_down(
        self,
        begun: Begun,
        outcome: Outcome = Outcome.DELIVERED,
        delay_ms: int = 0,
        told: Content | None = None,
    ) -> None:
        expected = self.events.get(begun.id)
        code = "gone"
        if expected is not None:
            code = "repeated" if begun.attempt in expected.settled else "late"
            code = "settled" if expected.takes(begun) else code

        mine = settlement(begun, outcome, delay_ms=delay_ms)
        child_id = f"{begun.id}-{begun.attempt}"
        if told is not None:
            child = FollowUp(child_id, told, DEADLINE_MS, delay_ms)
            mine = replace(mine, follow_ups=(child,))
        [answer] = self.workers[0].settle(mine)

        assert answer.code == code
        if expected is None or code != "settled":
            return
        expected.settled.add(begun.attempt)
        expected.live = expected.lost = None
        expected.interruptions = 0
        if expected.asked and outcome is not Outcome.DELIVERED:
            self.end(begun.id, State.CANCELLED)
            return
        if told is not None:
            self.expect(child_id, told, self.now_ms + delay_ms)
            if begun.id in self.turns:
                self.turns.insert(self.turns.index(begun.id) + 1, child_id)
                self.events[child_id].child = True
        if outcome is not Outcome.RETRY:
            self.end(begun.id, State(outcome.value))
        elif why := self.withdrawn(begun.id, self.now_ms + delay_ms, again=True):
            self.end_withdrawn(begun.id, why)
        else:
            expected.failures += 1
            expected.at_ms = self.now_ms + delay_ms

    @precondition(lambda self: self.hands)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        self.renew_one(data.draw(st.sampled_from(self.hands)))

    def renew_one(self, begun: Begun) -> None:
        expected = self.events.get(begun.id)
        held = expected is not None and expected.live == begun
        kept = held and expected is not None and self.now_ms < expected.until_ms

        lost = self.workers[0].renew(begun)

        assert lost == (set() if kept else {begun.id})
        if kept and expected is not None:
            expected.held_at_ms = self.passed_ms
        if self.now_ms < self.claimed_ms:
            # As after a begin: the clock does not go back and forth between two looks.
            self.look(room=0)

    @precondition(lambda self: self.hands)
    @rule()
    def a_worker_dies(self) -> None:
        """Nobody settles or renews what it held; its leases end."""
        self.hands.clear()

    @rule(ms=st.sampled_from([1, 1_000, 4_999, 15_000, 40_000]))
    def time_passes(self, ms: int) -> None:
        while ms > 0:
            self.pass_by(min(ms, TICK_MS))
            ms -= TICK_MS
            self.look(room=0)

    @rule(ms=st.sampled_from([8_000, 60_000, HOUR_MS]))
    def all_tickers_are_away(self, ms: int) -> None:
        self.pass_by(ms)

    def pass_by(self, ms: int) -> None:
        self.engine.now_ms += ms
        self.passed_ms += ms

    @rule(hours=st.sampled_from([-1, 1]))
    def the_clock_steps(self, hours: int) -> None:
        self.engine.now_ms += hours * HOUR_MS

    @precondition(lambda self: len(self.rules) < 2)
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
        self.rules[schedule.id] = schedule
        self.latest_ms[schedule.id] = self.now_ms

    @precondition(lambda self: self.rules)
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
        was = self.engine.schedules.get(OWNER, self.draw_schedule(data).id)
        options = was.options
        if ends_in_ms is not None:
            options = replace(options, end_ms=self.now_ms + ends_in_ms)
        changes = {"expression": expression, "content": content, "options": options}
        self.edit(was, state, **changes)

    def edit(self, was: Schedule, state: ScheduleState | None, **changes: Any) -> None:
        schedule_id = was.id
        edited = self.engine.schedules.edit(was, grammar=FULL, state=state, **changes)
        self.rules[schedule_id] = edited
        assert state is None or edited.state in (state, ScheduleState.ENDED)
        paused = edited.state is ScheduleState.PAUSED
        if paused and was.state is not ScheduleState.PAUSED:
            self.pauses[schedule_id] += 1
        # Fire times rise from the last change of what they follow from.
        if fire_times.rule_of(edited) != fire_times.rule_of(was) or was.is_over(
            self.now_ms
        ):
            self.latest_ms[schedule_id] = self.now_ms

    @precondition(lambda self: self.rules)
    @rule(
        data=st.data(),
        then=st.sampled_from(["begins", "begins", "is paused", "is deleted"]),
        ends=st.booleans(),
    )
    def it_fires(self, data: st.DataObject, then: str, ends: bool) -> None:
        """The usual way of a schedule, and of whoever comes between offer and begin."""
        schedule_id = self.draw_schedule(data).id
        wanted_ms = self.engine.due().get(f"s:{schedule_id}", self.now_ms)
        self.pass_by(min(max(0, wanted_ms - self.now_ms), HOUR_MS))
        envelope = self.look(room=100)
        now = self.engine.schedules.get(OWNER, schedule_id)
        if then == "is paused":
            self.edit(now, ScheduleState.PAUSED)
        elif then == "is deleted":
            self.engine.schedules.delete(now)
            del self.rules[schedule_id]
        begun = self.carry_out(envelope)
        for each in begun if ends else []:
            self.write_down(each)

    @precondition(lambda self: self.rules)
    @rule(data=st.data())
    def run_by_hand(self, data: st.DataObject) -> None:
        schedule = self.draw_schedule(data)
        skips = schedule.options.overlap is Overlap.SKIP
        newest = self.newest.get(schedule.id, "")
        now = self.engine.schedules.get(OWNER, schedule.id)
        if now.is_over(self.now_ms):
            with pytest.raises(ScheduleEnded):
                self.engine.schedules.run(schedule)
        elif skips and self.under_way(newest):
            with pytest.raises(RunInProgress):
                self.engine.schedules.run(schedule)
        else:
            event_id = self.engine.schedules.run(schedule)
            self.expect_occurrence(event_id, schedule, self.now_ms)

    @precondition(lambda self: self.rules)
    @rule(data=st.data())
    def delete_schedule(self, data: st.DataObject) -> None:
        schedule = self.draw_schedule(data)
        self.engine.schedules.delete(self.engine.schedules.get(OWNER, schedule.id))
        del self.rules[schedule.id]

    def draw_schedule(self, data: st.DataObject) -> Schedule:
        return self.rules[data.draw(st.sampled_from(sorted(self.rules)))]

    @precondition(lambda self: self.asked)
    @rule()
    def plan(self) -> None:
        while self.asked:
            schedule_id = self.asked.pop()
            active = schedule_id in self.rules and (
                self.engine.schedules.get(OWNER, schedule_id).state
                is ScheduleState.ACTIVE
            )
            answer = self.engine.schedules.top_up(schedule_id)
            assert answer in (("done", "stale") if active else ("stale",))

    @rule(age_ms=st.sampled_from([0, 60_000]))
    def forget(self, age_ms: int) -> None:
        self.release_deduplication_keys()
        before_ms = self.now_ms - age_ms
        gone = [
            event_id
            for event_id, expected in self.events.items()
            if expected.state is not State.ACTIVE and expected.finished_ms < before_ms
        ]
        forgotten = self.engine.store.forget([*self.events], before_ms=before_ms)
        assert forgotten == len(gone)
        for event_id in gone:
            del self.events[event_id]

    @invariant()
    def records_and_sets_agree(self) -> None:
        assert self.engine.faults() == []

    @invariant()
    def the_store_says_what_the_model_says(self) -> None:
        found = read_events(self.engine.cell, OWNER, [*self.events])
        for event, expected in zip(found, self.events.values(), strict=True):
            assert event is not None
            assert (event.state, event.attempts) == (expected.state, expected.begun)
            assert event.wanted_ms == expected.wanted_ms
            assert event.next_ms == expected.at_ms
            assert event.content == expected.content

    def teardown(self) -> None:
        try:
            self.bring_to_an_end()
        finally:
            self.engine.close()
            self.runner.close()

    def bring_to_an_end(self) -> None:
        """With everybody at work again, everything accepted ends."""
        while self.rules:
            self.engine.schedules.delete(self.rules.popitem()[1])
        for what in ("queue", "key", "destination"):
            self.turn(paused=False, what=what)
        idle = 0
        for _ in range(MOST_ROUNDS):
            active = [e for e in self.events.values() if e.state is State.ACTIVE]
            if not active:
                break
            later = [e.at_ms for e in active if e.at_ms > self.now_ms]
            # What is due may wait, in a queue, for what is not; what waits for the
            # occurrence before it becomes due later each time.
            if idle > 4 and later:
                self.pass_by((min if idle < 10 else max)(later) - self.now_ms)
            self.pass_by(TICK_MS)
            begun = self.carry_out(self.look(room=100))
            idle = 0 if begun else idle + 1
            for each in begun:
                self.write_down(each)
        assert not active
        # Gates stand in `due` until a look finds nobody there.
        self.pass_by(TICK_MS)
        self.look(room=100)
        assert (
            self.engine.due() == self.engine.leased() == self.engine.quarantine() == {}
        )
        assert self.engine.faults() == []


def on_fakeredis() -> Connections:
    server = fakeredis.FakeServer()
    return fakeredis.FakeRedis(server=server), lambda: fakeredis.FakeAsyncRedis(
        server=server
    )


def run(connect: Callable[[], Connections], *, examples: int, steps: int) -> None:
    run_state_machine_as_test(
        lambda: Cell(connect),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            phases=(Phase.reuse, Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_any_order_of_steps_keeps_the_invariant_on_fakeredis():
    run(on_fakeredis, examples=10, steps=40)


def test_any_order_of_steps_keeps_the_invariant_on_a_real_server(valkey: str):
    client = redis.Redis.from_url(valkey)

    def connect() -> Connections:
        client.flushall()
        return client, lambda: redis.asyncio.Redis.from_url(valkey)

    run(connect, examples=20, steps=40)
    client.close()
