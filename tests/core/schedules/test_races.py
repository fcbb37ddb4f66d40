"""Tests of users who change a schedule while a worker begins an occurrence.

Each test checks that events behave as the answer to the user says. For example, no
occurrence may begin after a pause has returned.
"""

import asyncio
import pytest
import redis
import redis.asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from scheduler_api.core.cron.expression import FULL
from scheduler_api.core.model import Begun, Event, Schedule, ScheduleState, State
from scheduler_api.core.schedules.schedules import Schedules
from scheduler_api.core.store import claims
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.events import Cancelled, EventStore
from scheduler_api.core.store.leases import WorkerStore
from scheduler_api.core.store.reads import read_events
from tests.core.engine import (
    CONTENT,
    LEASE_MS,
    MISSED_GRACE_MS,
    OTHER,
    OWNER,
    PREFIX,
    TIMEOUTS,
    Engine,
    ids,
    settlement,
)
from threading import Barrier

TRIALS = 1_000
SECOND_MS = 1_000
# Schedule n fires every FIRST_S + n seconds. The schedules therefore first fire at
# different times, and no schedule fires twice before all have fired once.
FIRST_S = 2 * TRIALS


@pytest.fixture
def store_client(valkey: str) -> Iterator[redis.Redis]:
    """A client of Valkey; fakeredis cannot run commands of several clients at once."""
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        yield client


@dataclass(frozen=True)
class Trial:
    """The results of one race between a user and a worker."""

    schedule: Schedule
    event_id: str
    answer: object
    # The occurrence, read directly after the user got the answer.
    then: Event | None
    begun: list[Begun]


class User:
    """A client that changes schedules while they fire."""

    def __init__(self, url: str) -> None:
        self.client = redis.Redis.from_url(url)
        self.cell = Cell(self.client, PREFIX)
        self.store = EventStore(self.cell)
        self.schedules = Schedules(self.cell, grace_ms=MISSED_GRACE_MS)

    def act(self, schedule: Schedule, act: Callable[..., object]) -> object:
        self.cell.clock_ms = schedule.times_ms[0]
        return act(self, schedule, occurrence_of(schedule))


def occurrence_of(schedule: Schedule) -> str:
    return f"{schedule.id}.{schedule.times_ms[0] // 1_000}"


def cancel(user: User, _: Schedule, event_id: str) -> object:
    return user.store.cancel(OWNER, [event_id])[0]


def pause(user: User, schedule: Schedule, _: str) -> object:
    return user.schedules.edit(schedule, grammar=FULL, state=ScheduleState.PAUSED)


def delete(user: User, schedule: Schedule, _: str) -> object:
    return user.schedules.delete(schedule)


def edit(user: User, schedule: Schedule, _: str) -> object:
    return user.schedules.edit(schedule, grammar=FULL, content=OTHER)


class Worker:
    """A ticker and a worker in one thread."""

    def __init__(self, url: str, runner: asyncio.Runner) -> None:
        self.client = redis.Redis.from_url(url)
        self.cell = Cell(self.client, PREFIX)
        self.runner = runner
        connection = redis.asyncio.Redis.from_url(url)
        self.leases = WorkerStore(connection, self.cell, lease_ms=LEASE_MS)

    def claim(self, at_ms: int) -> list[str]:
        self.cell.clock_ms = at_ms
        return claims.claim(self.cell, room=10, timeouts=TIMEOUTS).ids

    def begin(self, event_ids: list[str]) -> list[Begun]:
        return self.runner.run(self.leases.begin(event_ids))[0]

    def settle(self, begun: list[Begun]) -> None:
        self.runner.run(self.leases.settle([settlement(each) for each in begun]))

    def close(self) -> None:
        self.runner.run(self.leases.client.aclose())
        self.client.close()


def race(
    engine: Engine, url: str, act: Callable[..., object], *, trials: int = TRIALS
) -> list[Trial]:
    """Race a user against a worker, once for each of many schedules.

    The user acts while the worker begins the occurrence. In odd trials, the worker
    claims the occurrence before the race. In even trials, it claims during the race.
    """
    schedules = [
        engine.schedule(f"@every {FIRST_S + n}s", strict=True) for n in range(trials)
    ]
    start = Barrier(2)

    def work() -> list[list[Begun]]:
        begun = []
        with asyncio.Runner() as runner:
            worker = Worker(url, runner)
            for n, schedule in enumerate(schedules):
                at_ms = schedule.times_ms[0]
                claimed = worker.claim(at_ms) if n % 2 else []
                start.wait()
                claimed = claimed or worker.claim(at_ms)
                begun.append(worker.begin(claimed) if claimed else [])
                start.wait()
                worker.settle(begun[-1])
            worker.close()
        return begun

    def interfere() -> list[tuple[object, Event | None]]:
        user, answers = User(url), []
        for schedule in schedules:
            start.wait()
            answer = user.act(schedule, act)
            [then] = read_events(user.cell, OWNER, [occurrence_of(schedule)])
            answers.append((answer, then))
            start.wait()
        user.cell.client.close()
        return answers

    with ThreadPoolExecutor(2) as pool:
        working, interfering = pool.submit(work), pool.submit(interfere)
        answers, begun = interfering.result(), working.result()
    engine.now_ms = schedules[-1].times_ms[0]
    return [
        Trial(schedule, occurrence_of(schedule), answer, then, taken)
        for schedule, (answer, then), taken in zip(
            schedules, answers, begun, strict=True
        )
    ]


def begun_later(engine: Engine) -> list[Begun]:
    """Advance the clock, and claim and begin everything that becomes due."""
    later = []
    for _ in range(3):
        engine.now_ms += LEASE_MS
        while claimed := engine.claim(200).ids:
            later += engine.worker.begin(*claimed)
    return later


def now(engine: Engine, trial: Trial) -> Event | None:
    return read_events(engine.cell, OWNER, [trial.event_id])[0]


def test_a_fire_time_is_cancelled_or_begun_but_never_both(engine: Engine, valkey: str):
    trials = race(engine, valkey, cancel)

    for trial in trials:
        event = now(engine, trial)
        assert event is not None
        if trial.answer is Cancelled.DONE:
            assert trial.begun == []
            assert (event.state, event.attempts) == (State.CANCELLED, 0)
        else:
            assert trial.answer in (Cancelled.REQUESTED, Cancelled.MISSING)
            assert ids(trial.begun) == [trial.event_id]
            assert (event.state, event.attempts) == (State.DELIVERED, 1)


@pytest.mark.parametrize(("act", "trials"), [(pause, TRIALS), (delete, TRIALS // 4)])
def test_r22_nothing_begins_after_a_pause_or_deletion_has_returned(
    engine: Engine, valkey: str, act: Callable[..., object], trials: int
):
    raced = race(engine, valkey, act, trials=trials)
    later = begun_later(engine)

    for trial in raced:
        event = now(engine, trial)
        assert bool(trial.begun) == (trial.then is not None and trial.then.attempts > 0)
        if trial.begun:
            assert event is not None
            assert (event.state, event.attempts) == (State.DELIVERED, 1)
        elif event is not None:
            assert (event.state, event.attempts) == (State.CANCELLED, 0)
            assert event.reason == ("paused" if act is pause else "deleted")
    assert later == []


def test_an_occurrence_raced_by_an_edit_is_sent_once_with_old_or_new_content(
    engine: Engine, valkey: str
):
    trials = race(engine, valkey, edit)
    later = begun_later(engine)

    begun = {each.id: each for trial in trials for each in trial.begun}
    begun |= {each.id: each for each in later}
    assert len(begun) == TRIALS == sum(len(each.begun) for each in trials) + len(later)
    for trial in trials:
        # An occurrence that was created before the edit may keep the old content.
        existed = trial.then is not None and trial.then.content == CONTENT
        assert begun[trial.event_id].content == (CONTENT if existed else OTHER)
