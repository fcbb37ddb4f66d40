"""Tests that the clock enqueues chores once, and registers lost chores again."""

import json
import pytest
import redis
import zlib
from rq import Queue
from rq.serializers import JSONSerializer
from scheduler_api.core.store import keys
from workers import chores, clock


@pytest.fixture
def client(valkey: str):
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        yield client


SCHEDULED = "rq:scheduler:scheduled_jobs"
NAMES = {f"chore-{chore.__name__}" for chore in chores.CHORES}


def make_all_due(client: redis.Redis) -> None:
    for name in NAMES:
        client.zadd(SCHEDULED, {name: 1})


def test_every_chore_is_registered_under_its_own_id(client: redis.Redis):
    clock.Clock(client, "{s1}:").tick()

    assert {name.decode() for name in client.zrange(SCHEDULED, 0, -1)} == NAMES


def test_a_due_chore_is_enqueued_once(client: redis.Redis):
    running = clock.Clock(client, "{s1}:")
    running.tick()
    make_all_due(client)

    running.tick()
    running.tick()

    queue = Queue(chores.QUEUE, connection=client, serializer=JSONSerializer)
    assert sorted(queue.get_job_ids()) == sorted(NAMES)
    functions = {job.func_name for job in queue.get_jobs()}
    assert functions == {f"workers.chores.{chore.__name__}" for chore in chores.CHORES}


def test_the_chore_of_dead_letters_is_enqueued_while_a_job_waits(
    client: redis.Redis,
):
    running = clock.Clock(client, "{s1}:")
    queue = Queue(chores.QUEUE, connection=client, serializer=JSONSerializer)
    running.tick()
    before = queue.get_job_ids()
    client.zadd(keys.open_letter_jobs("{s1}:"), {"1:job": 1})
    running.tick()
    running.tick()

    assert before == []
    assert queue.get_job_ids() == ["chore-dead_letters"]


def test_r32_in_a_full_store_the_clock_itself_deletes_old_events(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
):
    runs: list[bool] = []
    monkeypatch.setattr(chores, "retention", lambda: runs.append(True))
    running = clock.Clock(client, "{s1}:")
    client.config_set("maxmemory", 1)
    try:
        for _ in range(2):
            running.tick_or_delete_old()
    finally:
        client.config_set("maxmemory", 0)

    assert runs == [True]


def test_the_jobs_of_chores_are_json(client: redis.Redis):
    clock.Clock(client, "{s1}:").tick()

    for name in NAMES:
        data = zlib.decompress(client.hget(f"rq:job:{name}", "data"))
        assert json.loads(data)[0].startswith("workers.chores.")


def test_a_lost_chore_is_registered_again_by_the_next_clock(client: redis.Redis):
    clock.Clock(client, "{s1}:").tick()
    client.delete(SCHEDULED, *(f"rq:job:{name}" for name in NAMES))

    clock.Clock(client, "{s1}:").tick()

    assert {name.decode() for name in client.zrange(SCHEDULED, 0, -1)} == NAMES


def test_two_clocks_enqueue_a_due_chore_once(client: redis.Redis):
    first, second = clock.Clock(client, "{s1}:"), clock.Clock(client, "{s1}:")
    first.tick()
    second.tick()
    make_all_due(client)

    first.tick()
    second.tick()

    assert client.llen(f"rq:queue:{chores.QUEUE}") == len(NAMES)


def test_an_overdue_chore_is_logged(
    client: redis.Redis, caplog: pytest.LogCaptureFixture
):
    client.set("{s1}:chore:retention", 1)

    clock.Clock(client, "{s1}:").tick()

    assert "chore.overdue chore=retention" in caplog.text
