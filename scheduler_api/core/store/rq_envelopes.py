"""Envelopes: how claimed ids travel through RQ."""

import json
import orjson
import redis
import zlib
from contextlib import suppress
from dataclasses import dataclass
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.utils import now, utcformat
from scheduler_api.core.ids import nonce

QUEUE = "deliveries"
FUNCTION = "workers.deliver.deliver"
NO_TIMEOUT = -1
FAILURE_TTL_S = 600
MOST_WAITING = 2
ARGUMENTS = "arguments"
WITH = "-with-"
BETWEEN = "_"
# The claim or RQ itself writes these for each job.
NOT_IN_COMMON = ("data", "description", "created_at", "enqueued_at")


class RqEnqueuer:
    """What a claim must know to leave envelopes in the RQ queue that workers take from.

    Deadlines are the engine's own, so a job has no time-out; jobs carry ids only. RQ
    itself says how a job is stored: all but its arguments is copied from one of its
    making.
    """

    def __init__(self, client: redis.Redis) -> None:
        queue = Queue(QUEUE, connection=client, serializer=JSONSerializer)
        job = queue.create_job(
            FUNCTION,
            args=(ARGUMENTS,),
            timeout=NO_TIMEOUT,
            result_ttl=0,
            failure_ttl=FAILURE_TTL_S,
        )
        job.origin = queue.name
        head, _, tail = job.data.decode().partition(f'"{ARGUMENTS}"')
        self.options = {"list": queue.key, "max_waiting": MOST_WAITING}
        self._jobs = {
            "lists": queue.redis_queues_keys,
            "job_prefix": Job.key_for(""),
            "job": nonce(),
            "head": head,
            "tail": tail,
        }
        self._fields = [
            text
            for name, value in job.to_dict().items()
            if name not in NOT_IN_COMMON and value != ""
            for text in (name, value)
        ]

    def jobs(self) -> bytes:
        """What all jobs of this moment have in common, as JSON."""
        at = utcformat(now())
        fields = ["created_at", at, "enqueued_at", at, *self._fields]
        return orjson.dumps({**self._jobs, "fields": fields})


@dataclass(frozen=True, slots=True)
class Envelope:
    """The contents of one RQ job.

    `isolated`: its event has interrupted workers; run no other such event beside it.
    """

    ids: list[str]
    schedule_ids: list[str]
    isolated: bool


def told_by(job_id: str) -> Envelope | None:
    """The envelope whose job's name tells all of it; None: the job must be read."""
    _, told, ids = job_id.rpartition(WITH)
    return Envelope(ids.split(BETWEEN), [], False) if told else None


def read(data: bytes) -> Envelope:
    """The envelope in the data of a job.

    Raises: ValueError, if it is none.
    """
    # RQ compresses what it stores, and takes uncompressed data too.
    with suppress(zlib.error):
        data = zlib.decompress(data)
    match json.loads(data):
        case [str(name), None, [[*ids], [*schedule_ids], bool(isolated)], {}] if (
            name == FUNCTION and all(isinstance(i, str) for i in ids + schedule_ids)
        ):
            return Envelope(ids, schedule_ids, isolated)
    raise ValueError("no envelope")
