"""Envelopes: how claimed ids travel through RQ."""

import redis
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.utils import now, utcformat
from scheduler_api.core.ids import nonce
from scheduler_api.core.scripts import Arg

QUEUE = "deliveries"
FUNCTION = "workers.deliver.deliver"
NO_TIMEOUT = -1
FAILURE_TTL_S = 600
MOST_WAITING = 2
ARGUMENTS = "arguments"
ONLY = "-only-"
# Of these the script writes its own, or RQ does later.
NOT_IN_COMMON = ("data", "description", "created_at", "enqueued_at")


class Carrier:
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
        self._terms: tuple[Arg, ...] = (
            *(queue.key, queue.redis_queues_keys, Job.key_for("")),
            *(MOST_WAITING, nonce(), head, tail),
        )
        self._fields = [
            text
            for name, value in job.to_dict().items()
            if name not in NOT_IN_COMMON and value != ""
            for text in (name, value)
        ]

    def words(self) -> tuple[Arg, ...]:
        """The last arguments of a claim, as the script has them."""
        at = utcformat(now())
        return *self._terms, "created_at", at, "enqueued_at", at, *self._fields


def only_event(job_id: str) -> str | None:
    """The one event of an envelope whose name tells it; None: the job must be read."""
    _, told, event_id = job_id.rpartition(ONLY)
    return event_id if told else None
