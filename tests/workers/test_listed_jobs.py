"""Whoever can write to the store cannot run code in the processes that read jobs."""

import os
import pickle
import pytest
import redis
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from rq import Callback, Queue
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer
from scheduler_api.core.store import layout
from workers import chores, clock
from workers.delivery_worker import DeliveryWorker

CHORE = "workers.chores.libraries"
SCHEDULED = "rq:scheduler:scheduled_jobs"


class Trap:
    """A module that writes a file when it is imported, and pickles that import it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._sprung = folder / "sprung"
        text = f"open({str(self._sprung)!r}, 'w').close()\ndef run(*a, **k): pass\n"
        (folder / "trap_module.py").write_text(text)

    @property
    def is_sprung(self) -> bool:
        return self._sprung.exists()

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self._sprung),)


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    return Trap(tmp_path)


@pytest.fixture
def client(valkey: str):
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        layout.ensure(client, "{s1}:")
        yield client


def callbacks() -> dict[str, Callback]:
    names = ("on_success", "on_failure", "on_stopped")
    return {name: Callback("trap_module.run") for name in names}


def abandoned(queue: Queue) -> Job:
    """A listed job of a worker that died, with callbacks that are not listed."""
    job = queue.create_job(CHORE, **callbacks())
    job.save()
    job.set_status(JobStatus.STARTED)
    registry = StartedJobRegistry(queue.name, connection=queue.connection)
    registry.add_execution(Execution("1", job.id, queue.connection), queue.connection)
    queue.connection.zadd(registry.key, {f"{job.id}:1": 1})
    return job


def attack(queue: Queue, trap: Trap) -> None:
    """Enqueue jobs of every kind that would run code in a stock worker."""
    client, pickled = queue.connection, pickle.dumps(trap)
    queue.enqueue("trap_module.run")
    queue.enqueue(CHORE, **callbacks())
    queue.enqueue(CHORE, "an argument", **callbacks())
    for field, value in (("data", zlib.compress(pickled)), ("meta", pickled)):
        job = queue.enqueue(CHORE)
        client.hset(job.key, field, value)
    for data in (
        b'["format","text",[],{}]',
        b"[" * 100_000,
        b"[[],null,[],{}]",
        b"\xff",
    ):
        client.hset(queue.enqueue(CHORE).key, "data", data)
    client.hset(queue.enqueue(CHORE).key, "status", "unknown")
    abandoned(queue)


def test_s24_the_chores_worker_runs_the_chores_and_no_other_job(
    client: redis.Redis, valkey: str, trap: Trap
):
    queue = Queue(chores.QUEUE, connection=client, serializer=JSONSerializer)
    attack(queue, trap)
    last = queue.enqueue(CHORE)

    path = f"{os.environ.get('PYTHONPATH', '')}:{trap.folder}"
    store = {"REDIS_URL": valkey, "RQ_REDIS_URL": valkey, "SECRET_KEY": "a" * 32}
    store["SCHED_ALLOW_NO_PERSISTENCE"] = "true"
    result = subprocess.run(
        ["rq", "worker", "-w", "workers.ChoresWorker", "--burst", chores.QUEUE],
        env=os.environ | store | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    assert last.get_status() == JobStatus.FINISHED
    assert not trap.is_sprung
    assert "not a listed function" in result.stdout + result.stderr


def test_s24_maintenance_of_a_delivery_worker_runs_no_callback_of_a_job(
    client: redis.Redis, trap: Trap, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(trap.folder)
    queue = Queue("deliveries", connection=client, serializer=JSONSerializer)
    attack(queue, trap)

    DeliveryWorker([Queue("deliveries", connection=client)]).run_maintenance_tasks()

    assert not trap.is_sprung


def test_s24_the_clock_imports_nothing_that_a_job_names(
    client: redis.Redis, trap: Trap, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(trap.folder)
    running = clock.Clock(client, "{s1}:")
    running.tick()
    queue = Queue("deliveries", connection=client, serializer=JSONSerializer)
    attack(queue, trap)
    for name in queue.get_job_ids():
        client.hset(Job.key_for(name), "meta", '{"queue_class_name":"trap_module.run"}')
        client.zadd(SCHEDULED, {name: 1})

    running.tick()

    assert not trap.is_sprung
    registered = {name.decode() for name in client.zrange(SCHEDULED, 0, -1)}
    assert registered == {f"chore-{chore.__name__}" for chore in chores.CHORES}
