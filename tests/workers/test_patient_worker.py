"""Tests of RQ workers whose store fails for some time."""

import pytest
import redis
from collections.abc import Callable
from redis.client import PubSub
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import ReadOnlyError, RedisError, TimeoutError
from rq.worker import SimpleWorker
from typing import Any
from workers import patient_worker
from workers.patient_worker import PatientWorker


class Worker(PatientWorker, SimpleWorker):
    """A patient worker without work."""


@pytest.mark.parametrize("error", [NoConnection, TimeoutError, ReadOnlyError])
def test_r06_a_worker_listens_for_commands_again_after_an_error_of_the_store(
    monkeypatch: pytest.MonkeyPatch,
    wait_until: Callable[..., None],
    valkey: str,
    error: type[RedisError],
) -> None:
    reads = list[None]()

    def read(*_: Any, **__: Any) -> None:
        reads.append(None)
        if len(reads) == 1:
            raise error

    monkeypatch.setattr(patient_worker, "RETRY_INTERVAL_S", 0.001)
    monkeypatch.setattr(PubSub, "get_message", read)
    with redis.Redis.from_url(valkey) as client:
        worker = Worker(["empty"], connection=client)
        worker.subscribe()  # type: ignore[no-untyped-call]
        wait_until(lambda: len(reads) > 3)
        worker.unsubscribe()  # type: ignore[no-untyped-call]
