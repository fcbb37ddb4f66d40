"""The workers that are registered with RQ, also those of another class than ours."""

import redis
from collections.abc import Iterator
from dataclasses import dataclass
from rq import Queue, worker_registration
from scheduler_api.core.store.rq_envelopes import QUEUE
from typing import cast

# The field of a registration that only our workers write.
CLASS = "worker_class"


@dataclass(frozen=True)
class RqWorker:
    """A registered worker; RQ removes one that was killed after minutes."""

    host: str
    pid: int
    is_ours: bool


def read(client: redis.Redis) -> Iterator[RqWorker]:
    """Yield the workers on the queue of deliveries. Redis: SMEMBERS, HMGET of each."""
    queue = Queue(QUEUE, connection=client)
    for key in sorted(worker_registration.get_keys(queue=queue)):
        fields = client.hmget(key, ["hostname", "pid", CLASS])
        host, pid, kind = cast(list[bytes | None], fields)
        if host is not None and pid is not None:
            yield RqWorker(host.decode(), int(pid), kind is not None)
