"""Everything that may happen to a cell, in any order, against a model of it.

After every step records and sets agree, and the store says what the model says. Nothing
begins early, no event is in two hands, and in the end everything accepted has ended.
"""

import asyncio
import fakeredis
import pytest
import redis
import redis.asyncio
from collections.abc import Callable
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
from scheduler_api.core.cron import FULL
from scheduler_api.core.errors import NotPending
from scheduler_api.core.leases import Outcome
from scheduler_api.core.marks import Mark
from scheduler_api.core.model import (
    Begun,
    Content,
    Draft,
    FollowUp,
    Schedule,
    ScheduleState,
    State,
    Verdict,
)
from scheduler_api.core.store import Cancelled, Claim
from tests.core.engine import (
    CONTENT,
    DEADLINE_MS,
    LEASE_MS,
    OWNER,
    QUIET_MS,
    Engine,
    all_ids,
    settlement,
)

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
TICK_MS = 5_000
POISON, ALONE_FROM = 5, 2
MOST_ROUNDS = 200
LARGE = Content("https://receiver.example/", b"x" * 10_000)
OTHER = Content("https://other.example/", b"other")
CONTENTS = st.sampled_from([CONTENT, OTHER, LARGE])
DELAYS_MS = st.sampled_from([1, 1, 1, 999, 5_000, 30_000, HOUR_MS])
RULES = st.sampled_from(["*/5 * * * * *", "* * * * *", "@every 20s"])
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
    state: State = State.ACTIVE
    finished_ms: int = 0

    def end(self, state: State, now_ms: int) -> None:
        self.state, self.finished_ms, self.live, self.lost = state, now_ms, None, None

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
        self.envelopes: list[list[str]] = []
        self.hands: list[Begun] = []
        self.asked: list[str] = []
        self.marks: dict[str, str] = {}
        self.beat_ms = self.quiet_ms = 0
        # What a watch would show that nobody sets: it goes on when the clock steps.
        self.passed_ms = 0

    @property
    def now_ms(self) -> int:
        return self.engine.now_ms

    @initialize(content=CONTENTS)
    def a_ticker_starts(self, content: Content) -> None:
        self.look(room=100)
        self.create([1, 1, 1], content, "")
        self.time_passes(1_000)

    @rule(
        delays_ms=st.lists(DELAYS_MS, min_size=1, max_size=3),
        content=CONTENTS,
        mark=st.sampled_from(["", "", "a", "b"]),
    )
    def create(self, delays_ms: list[int], content: Content, mark: str) -> None:
        marked = Mark(mark, DAY_MS) if mark else None
        self.free_marks()
        drafts = [
            Draft(content, DEADLINE_MS, delay_ms=delay_ms, mark=marked)
            for delay_ms in delays_ms
        ]
        answers = self.engine.store.create_many(OWNER, drafts)
        for delay_ms, answer in zip(delays_ms, answers, strict=True):
            if mark in self.marks:
                assert answer.verdict is Verdict.DOUBLE
                assert answer.id == self.marks[mark]
                continue
            assert answer.verdict is Verdict.OK
            self.expect(answer.id, content, self.now_ms + delay_ms)
            if mark:
                self.marks[mark] = answer.id

    def free_marks(self) -> None:
        """Marks go with what failed or was withdrawn."""
        for mark, event_id in [*self.marks.items()]:
            expected = self.events.get(event_id)
            if expected and (expected.asked or expected.state in WITHDRAWN):
                del self.marks[mark]

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
            expected.end(State.CANCELLED, self.now_ms)

    @precondition(lambda self: self.events)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        event_id = data.draw(st.sampled_from([*self.events]))
        expected = self.events[event_id]
        [answer] = self.engine.store.cancel(OWNER, [event_id])
        if expected.state is not State.ACTIVE:
            assert answer is Cancelled.ENDED
        elif expected.asked:
            assert answer is Cancelled.AGAIN
        elif expected.live is not None:
            assert answer is Cancelled.ASKED
            expected.asked = True
        else:
            assert answer is Cancelled.DONE
            expected.end(State.CANCELLED, self.now_ms)

    @rule(room=st.sampled_from([1, 3, 100]))
    def claim(self, room: int) -> None:
        if envelope := self.look(room):
            self.envelopes.append(envelope)

    def look(self, room: int) -> list[str]:
        """Claims, and answers what was offered."""
        gap_ms, self.beat_ms = self.now_ms - self.beat_ms, self.now_ms
        if gap_ms < 0 or gap_ms > LEASE_MS / 2:
            self.quiet_ms = self.now_ms + QUIET_MS
        claim = self.engine.claim(room)
        self.learn(claim)
        assert len(all_ids(claim)) <= room
        return all_ids(claim)

    def learn(self, claim: Claim) -> None:
        """Checks what a claim tells against the model, and takes it over."""
        assert claim.set_aside == []
        assert not claim.interrupted or self.now_ms >= self.quiet_ms
        for event_id in claim.interrupted:
            expected = self.events[event_id]
            assert expected.live is not None
            over = self.passed_ms - expected.held_at_ms >= LEASE_MS
            assert over or self.now_ms >= expected.until_ms
            expected.lost, expected.live = expected.live, None
            expected.interruptions += 1
            if expected.asked:
                expected.end(State.CANCELLED, self.now_ms)
            elif expected.interruptions == POISON:
                expected.end(State.DEAD, self.now_ms)
        for event_id in all_ids(claim):
            if event_id not in self.events:
                self.learn_occurrence(event_id)
            expected = self.events[event_id]
            assert expected.at_ms <= self.now_ms
            assert expected.state is State.ACTIVE
            assert expected.live is None
            alone = expected.interruptions >= ALONE_FROM
            assert (event_id in claim.solo_ids) == alone
        assert len(claim.solo_ids) <= 1
        self.asked += claim.schedule_ids

    def learn_occurrence(self, event_id: str) -> None:
        schedule_id, _, nominal_s = event_id.partition(".")
        schedule, at_ms = self.rules[schedule_id], int(nominal_s) * 1_000
        assert schedule.state is ScheduleState.ACTIVE
        assert at_ms > self.latest_ms[schedule_id]
        self.latest_ms[schedule_id] = at_ms
        self.expect(event_id, schedule.content, at_ms)

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
        begun, fallen = worker.begin_or_not(*envelope)
        assert {each.id for each in begun} | fallen.keys() == set(envelope)
        assert set(fallen.values()) <= {"gone", "taken", "early"}
        for each in begun:
            expected = self.events[each.id]
            content = each.content or worker.fetch(each).content
            assert expected.live is None
            assert expected.at_ms <= self.now_ms
            assert expected.state is State.ACTIVE
            assert (content, each.wanted_ms) == (expected.content, expected.wanted_ms)
            assert each.attempt == expected.begun + 1
            assert each.failures == expected.failures
            assert each.interruptions == expected.interruptions
            expected.begun, expected.live = each.attempt, each
            expected.held_at_ms = self.passed_ms
            expected.until_ms = self.now_ms + each.deadline_ms + 10_000
        self.hands += begun
        return begun

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

    @precondition(lambda self: self.hands)
    @rule(what=st.sampled_from(["ends", "ends in quiet", "is renewed"]))
    def a_lease(self, what: str) -> None:
        if what == "is renewed":
            held = self.hands[-1]
            self.renew_one(held)
        elif what == "ends in quiet":
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
            code = "again" if begun.attempt in expected.settled else "late"
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
            expected.end(State.CANCELLED, self.now_ms)
            return
        if told is not None:
            self.expect(child_id, told, self.now_ms + delay_ms)
        if outcome is Outcome.RETRY:
            expected.failures += 1
            expected.at_ms = self.now_ms + delay_ms
        else:
            expected.end(State(outcome.value), self.now_ms)

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
    @rule(expression=RULES, content=CONTENTS)
    def create_schedule(self, expression: str, content: Content) -> None:
        schedule = self.engine.schedule(expression, content=content)
        self.follow(schedule)

    @precondition(lambda self: self.rules)
    @rule(
        data=st.data(),
        expression=st.none() | RULES,
        content=st.none() | CONTENTS,
        state=st.sampled_from([ScheduleState.ACTIVE, ScheduleState.PAUSED]),
    )
    def edit_schedule(
        self,
        data: st.DataObject,
        expression: str | None,
        content: Content | None,
        state: ScheduleState,
    ) -> None:
        was = self.draw_schedule(data)
        edited = self.engine.schedules.edit(
            self.engine.schedules.get(OWNER, was.id),
            grammar=FULL,
            expression=expression,
            content=content,
            state=state,
        )
        self.rules[was.id] = edited
        if (edited.expression, edited.state) != (was.expression, was.state):
            self.follow(edited)

    def follow(self, schedule: Schedule) -> None:
        """Fire times rise from the last change of the rule or the state on."""
        self.rules[schedule.id] = schedule
        self.latest_ms[schedule.id] = self.now_ms

    @precondition(lambda self: self.rules)
    @rule(data=st.data())
    def delete_schedule(self, data: st.DataObject) -> None:
        schedule = self.draw_schedule(data)
        self.engine.schedules.delete(schedule)
        del self.rules[schedule.id]

    def draw_schedule(self, data: st.DataObject) -> Schedule:
        return self.rules[data.draw(st.sampled_from(sorted(self.rules)))]

    @precondition(lambda self: self.asked)
    @rule()
    def plan(self) -> None:
        while self.asked:
            schedule_id = self.asked.pop()
            schedule = self.rules.get(schedule_id)
            active = schedule and schedule.state is ScheduleState.ACTIVE
            answer = self.engine.schedules.top_up(schedule_id)
            assert answer in (("done", "stale") if active else ("stale",))

    @rule(age_ms=st.sampled_from([0, 60_000]))
    def forget(self, age_ms: int) -> None:
        self.free_marks()
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
        found = self.engine.store.get_many(OWNER, [*self.events])
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
        for schedule in self.rules.values():
            self.engine.schedules.delete(schedule)
        for _ in range(MOST_ROUNDS):
            active = [e for e in self.events.values() if e.state is State.ACTIVE]
            if not active:
                break
            waiting = [e.at_ms for e in active if e.live is None]
            if len(waiting) == len(active) and min(waiting) > self.now_ms:
                self.pass_by(min(waiting) - self.now_ms)
            self.pass_by(TICK_MS)
            for begun in self.carry_out(self.look(room=100)):
                self.write_down(begun)
        assert not active
        assert self.engine.due() == self.engine.leased() == self.engine.stuck() == {}
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
