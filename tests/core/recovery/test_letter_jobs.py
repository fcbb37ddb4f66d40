"""Tests of stored jobs that retry or delete dead letters."""

import pytest
from collections.abc import Callable
from scheduler_api.core.model import Content, Draft, Outcome, State
from scheduler_api.core.queries.filters import Target
from scheduler_api.core.queries.journal import Journal
from scheduler_api.core.queries.letters import LetterCount, LetterFilter, Letters
from scheduler_api.core.recovery import letter_work
from scheduler_api.core.recovery.dead_letters import DeadLetters
from scheduler_api.core.recovery.letter_actions import LetterActions
from scheduler_api.core.recovery.letter_jobs import (
    Action,
    JobState,
    LetterJob,
    LetterJobs,
)
from scheduler_api.core.recovery.letter_work import LetterWork
from scheduler_api.core.store import audit, keys
from scheduler_api.core.store.cell import Cell
from tests.core.engine import OWNER, PREFIX, Engine, settlement
from typing import cast

EVERY = LetterFilter()
FOREVER_S = 60.0


class Killed(Exception):
    """Stands for the end of the process."""


def dead(engine: Engine, count: int, url: str = "https://h/x") -> list[str]:
    draft = Draft(Content(url, b"b"), 1_000)
    ids = [each.id for each in engine.store.create_many(OWNER, [draft] * count)]
    engine.claim(room=1_000)
    engine.worker.settle(
        *(settlement(begun, Outcome.DEAD) for begun in engine.worker.begin(*ids))
    )
    return ids


def work_of(
    engine: Engine, sleep: Callable[[float], object] = lambda _: None
) -> LetterWork:
    cell = engine.cell
    redrafts = {OWNER.dialect: lambda e: Draft(e.content, e.deadline_ms)}
    actions = LetterActions(DeadLetters(engine.store), Journal(cell), redrafts)
    return LetterWork(
        *(cell, Letters(cell, {}), actions, [OWNER.dialect]),
        sleep=lambda s: cast(None, sleep(s)),
        clock_s=lambda: 0.0,
    )


def new_job(
    engine: Engine,
    action: Action = Action.RETRY,
    wanted: LetterFilter = EVERY,
    rate: int = 1_000,
) -> LetterJob:
    return LetterJobs(engine.cell).create(
        *(OWNER.tenant, action, wanted),
        rate=rate,
        expected=LetterCount(0, 0),
        by="alice",
    )


def read(engine: Engine, job: LetterJob) -> LetterJob:
    return LetterJobs(engine.cell).get(job.tenant, job.id)


def left(engine: Engine) -> int:
    index = keys.finished(PREFIX, str(OWNER), State.DEAD)
    return engine.client.zcard(index)


def test_a_job_retries_all_that_match_and_ends(engine: Engine):
    ids = dead(engine, 60)
    dead(engine, 5, "https://other/")
    job = new_job(engine, wanted=LetterFilter(target=Target("https://h/")))
    done = work_of(engine).work_on_all(for_s=FOREVER_S)
    after = read(engine, job)

    assert (done, after.done, after.examined, after.skipped) == (60, 60, 65, 0)
    assert after.state is JobState.DONE
    assert {engine.get(each).state for each in ids} == {State.CLEARED}
    assert (len(engine.due()), left(engine)) == (60, 5)
    assert LetterJobs(engine.cell).open_jobs() == []


def test_the_id_of_a_job_is_no_option_of_a_command(engine: Engine):
    assert all(new_job(engine).id.isalnum() for _ in range(100))


def test_a_job_deletes_in_a_full_store(engine: Engine):
    dead(engine, 30)
    job = new_job(engine, Action.DELETE)
    engine.client.set(keys.full(PREFIX), "1", ex=5)
    work_of(engine).work_on_all(for_s=FOREVER_S)

    assert (read(engine, job).done, left(engine), engine.due()) == (30, 0, {})


def test_letters_that_fail_later_are_not_part_of_the_job(engine: Engine):
    dead(engine, 2)
    job = new_job(engine)
    engine.now_ms += 1
    dead(engine, 3)
    work_of(engine).work_on_all(for_s=FOREVER_S)

    assert (read(engine, job).done, left(engine)) == (2, 3)


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("fatal", [1, 2, 3])
def test_a_job_whose_process_was_killed_goes_on_and_does_nothing_twice(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, action: Action, fatal: int
):
    monkeypatch.setattr(letter_work, "CHUNK", 40)
    dead(engine, 100)
    job = new_job(engine, action)
    handled = 0

    def kill(*_: object) -> bool:
        nonlocal handled
        handled += 1
        if handled == fatal:
            raise Killed
        return True

    with monkeypatch.context() as patch:
        patch.setattr(LetterJobs, "is_running", kill)
        patch.setattr(LetterJobs, "release", lambda *_: None)
        with pytest.raises(Killed):
            work_of(engine).work_on_all(for_s=FOREVER_S)
    halfway = read(engine, job)
    engine.client.delete(keys.letter_job_lease(PREFIX, job.tenant, job.id))
    work_of(engine).work_on_all(for_s=FOREVER_S)
    after = read(engine, job)

    assert 0 < halfway.done < 100
    assert (after.state, after.done) == (JobState.DONE, 100)
    assert left(engine) == 0
    assert len(engine.due()) == (100 if action is Action.RETRY else 0)


def test_a_job_that_another_process_works_on_is_left_alone(engine: Engine):
    dead(engine, 3)
    job = new_job(engine)
    LetterJobs(engine.cell).lease(job, "another", ttl_ms=15_000)

    assert work_of(engine).work_on_all(for_s=FOREVER_S) == 0
    assert (left(engine), read(engine, job).state) == (3, JobState.RUNNING)


def test_a_stopped_job_goes_on_where_it_was(engine: Engine):
    dead(engine, 3)
    jobs, job = LetterJobs(engine.cell), new_job(engine)
    jobs.stop(job, by="bob")
    stopped = (work_of(engine).work(job.tenant, job.id, for_s=9), left(engine))
    jobs.resume(read(engine, job), by="bob")
    work_of(engine).work_on_all(for_s=FOREVER_S)
    records = audit.newest(engine.cell, job.tenant, count=10)

    assert stopped == (0, 3)
    assert (left(engine), read(engine, job).state) == (0, JobState.DONE)
    assert [(each.change.by, each.change.action) for each in records] == [
        ("bob", "dead_letters.resume"),
        ("bob", "dead_letters.stop"),
        ("alice", "dead_letters.retry"),
    ]


def test_a_job_stops_within_a_portion(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    dead(engine, 100)
    job = new_job(engine)
    monkeypatch.setattr(LetterJobs, "is_running", lambda *_: False)
    work_of(engine).work_on_all(for_s=FOREVER_S)
    after = read(engine, job)

    assert (after.done, after.examined, left(engine)) == (25, 25, 75)


def test_a_job_is_not_faster_than_its_rate(engine: Engine):
    dead(engine, 25)
    new_job(engine, rate=10)
    slept: list[float] = []
    work_of(engine, slept.append).work_on_all(for_s=FOREVER_S)

    assert slept == [1.0, 2.0, 2.5]


def test_a_job_waits_while_the_store_is_full_and_says_so(engine: Engine):
    dead(engine, 30)
    job = new_job(engine)
    engine.client.set(keys.full(PREFIX), "1", ex=60)
    work_of(engine).work_on_all(for_s=FOREVER_S)
    waiting = read(engine, job)
    engine.client.delete(keys.full(PREFIX))
    work_of(engine).work_on_all(for_s=FOREVER_S)
    after = read(engine, job)

    assert (waiting.state, waiting.refused) == (JobState.RUNNING, "full")
    assert (after.state, after.refused, after.done) == (JobState.DONE, "", 30)


def test_what_cannot_be_read_is_skipped_and_counted_once(engine: Engine):
    ids = dead(engine, 3)
    engine.checks_faults = False
    engine.client.delete(keys.body(PREFIX, ids[1]))
    job = new_job(engine)
    work_of(engine).work_on_all(for_s=FOREVER_S)

    after = read(engine, job)
    assert (after.done, after.skipped, after.state) == (2, 1, JobState.DONE)


def test_each_key_of_a_job_expires_and_a_lost_job_is_forgotten(engine: Engine):
    job = new_job(engine)
    jobs = LetterJobs(engine.cell)
    names = (
        keys.letter_job(PREFIX, job.tenant, job.id),
        keys.letter_jobs(PREFIX, job.tenant),
    )
    ttls = [engine.client.ttl(name) for name in names]
    engine.client.delete(names[0])
    work_of(engine).work_on_all(for_s=FOREVER_S)

    assert all(29 * 86_400 < ttl <= 30 * 86_400 for ttl in ttls)
    assert (jobs.all_of(job.tenant), jobs.open_jobs()) == ([], [])


def test_a_repeated_call_counts_its_letters_once(engine: Engine):
    ids = dead(engine, 4)
    job = new_job(engine)
    letters = DeadLetters(engine.store)
    draft = Draft(Content("https://h", b""), 1_000)
    with engine.repeating():
        letters.clear(OWNER, ids[:2], job=job.name)
        letters.replay(OWNER, [(each, draft) for each in ids[2:]], job=job.name)

    assert read(engine, job).done == 4
    assert Cell(engine.client, PREFIX).client.exists(f"{PREFIX}letter_job:none") == 0


@pytest.mark.parametrize("is_full", [False, True])
def test_a_job_that_is_removed_meanwhile_is_not_written_again(
    engine: Engine, is_full: bool
):
    dead(engine, 60)
    job = new_job(engine)
    if is_full:
        engine.client.set(keys.full(PREFIX), "1", ex=60)
    key = keys.letter_job(PREFIX, job.tenant, job.id)
    work = work_of(engine, lambda _: engine.client.delete(key))
    work.work_on_all(for_s=FOREVER_S)
    jobs = LetterJobs(engine.cell)
    jobs.resume(job, by="bob")
    work.work_on_all(for_s=FOREVER_S)

    assert (engine.client.exists(key), jobs.open_jobs()) == (0, [])


def test_a_lease_that_another_worker_has_got_is_not_ended(engine: Engine):
    dead(engine, 30)
    job = new_job(engine)
    key = keys.letter_job_lease(PREFIX, job.tenant, job.id)
    work_of(engine, lambda _: engine.client.set(key, "another", px=15_000)).work_on_all(
        for_s=FOREVER_S
    )

    assert engine.client.get(key) == b"another"
