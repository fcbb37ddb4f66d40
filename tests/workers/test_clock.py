"""The clock: chores reach their queue as JSON, once each, and are never lost."""

import json
import pytest
import redis
import zlib
from rq import Queue
from rq.serializers import JSONSerializer
from workers import chores, clock


@pytest.fixture
def client(valkey: str):
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        yield client


SCHEDULED = "rq:scheduler:scheduled_jobs"
NAMES = {f"chore-{chore.__name__}" for chore in clock.CHORES}


def make_all_due(client: redis.Redis) -> None:
    for name in NAMES:
        client.zadd(SCHEDULED, {name: 1})


def test_every_chore_is_registered_under_its_own_id(client: redis.Redis):
    clock.Clock(client, "{s1}:").tick()

    assert {name.decode() for name in client.zrange(SCHEDULED, 0, -1)} == NAMES


def test_a_due_chore_is_put_on_the_housekeeping_queue_once(client: redis.Redis):
    runs = clock.Clock(client, "{s1}:")
    runs.tick()
    make_all_due(client)

    runs.tick()
    runs.tick()

    queue = Queue(chores.QUEUE, connection=client, serializer=JSONSerializer)
    assert sorted(queue.get_job_ids()) == sorted(NAMES)
    functions = {job.func_name for job in queue.get_jobs()}
    assert functions == {f"workers.chores.{chore.__name__}" for chore in clock.CHORES}


def test_what_the_clock_writes_is_json(client: redis.Redis):
    clock.Clock(client, "{s1}:").tick()

    for name in NAMES:
        data = zlib.decompress(client.hget(f"rq:job:{name}", "data"))
        assert json.loads(data)[0].startswith("workers.chores.")


def test_a_lost_chore_is_registered_again_by_the_next_clock(client: redis.Redis):
    clock.Clock(client, "{s1}:").tick()
    client.delete(SCHEDULED, *(f"rq:job:{name}" for name in NAMES))

    clock.Clock(client, "{s1}:").tick()

    assert {name.decode() for name in client.zrange(SCHEDULED, 0, -1)} == NAMES


def test_two_clocks_put_a_chore_on_the_queue_once(client: redis.Redis):
    first, second = clock.Clock(client, "{s1}:"), clock.Clock(client, "{s1}:")
    first.tick()
    second.tick()
    make_all_due(client)

    first.tick()
    second.tick()

    assert client.llen(f"rq:queue:{chores.QUEUE}") == len(NAMES)


def test_an_overdue_chore_is_an_alarm(
    client: redis.Redis, caplog: pytest.LogCaptureFixture
):
    client.set("{s1}:chore:retention", 1)

    clock.Clock(client, "{s1}:").tick()

    assert "chore.overdue chore=retention" in caplog.text
