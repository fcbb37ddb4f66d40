"""A test of a job of dead letters whose workers are killed."""

import pytest
from collections.abc import Callable
from scheduler_api.core.batches import batches
from scheduler_api.core.model import Content, Draft, State
from scheduler_api.core.queries.letters import LetterCount, LetterFilter
from scheduler_api.core.recovery.letter_jobs import (
    Action,
    JobState,
    LetterJob,
    LetterJobs,
)
from scheduler_api.core.store import keys
from tests.dialects.engine import Engine
from tests.system.cell import SHORT_LEASES, Cell
from tests.system.processes import wait_until

pytestmark = pytest.mark.slow
COUNT = 500
RATE = 150


def make_dead_letters(cell: Cell) -> list[str]:
    """Let events fail for good before any process runs; return their labels."""
    labels = [f"letter-{number}" for number in range(COUNT)]
    drafts = [
        Draft(Content(cell.receiver.url(""), label.encode()), 5_000) for label in labels
    ]
    created = cell.events.create_many(cell.owner, drafts)
    engine = Engine(cell.client, cell.prefix)
    engine.offer(room=COUNT)
    worker = engine.worker()
    for some in batches([each.id for each in created], 100):
        for begun in worker.begin(*some):
            worker.end(begun, "dead", started_ms=1, status=500)
    return labels


def test_a_job_of_500_whose_worker_is_killed_ends_with_500_none_twice(
    new_cell: Callable[..., Cell],
):
    cell = new_cell(**SHORT_LEASES)
    labels = make_dead_letters(cell)
    jobs = LetterJobs(cell.events.cell)
    cell.start("chores", "clock", "ticker", "worker")
    created = jobs.create(
        *(cell.owner.tenant, Action.RETRY, LetterFilter()),
        rate=RATE,
        expected=LetterCount(COUNT, COUNT),
        by="test",
    )

    def job() -> LetterJob:
        return jobs.get(created.tenant, created.id)

    done_at_kills = []
    for enough in (50, 250):
        wait_until(lambda enough=enough: job().done >= enough, within_s=60)
        cell["chores"].kill_tree()
        done_at_kills.append(job().done)
        cell.start("chores")
    wait_until(lambda: job().state is JobState.DONE, within_s=90)
    cell.wait_drained()
    cell.receiver.sync()
    index = keys.finished(cell.prefix, str(cell.owner), State.DEAD)

    assert all(0 < done < COUNT for done in done_at_kills)
    assert (job().done, job().skipped, cell.client.zcard(index)) == (COUNT, 0, 0)
    arrived = {label: cell.receiver.count(label) for label in labels}
    assert arrived == dict.fromkeys(labels, 1)
