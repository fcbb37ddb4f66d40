"""Envelopes: how claimed ids travel through RQ."""

import redis
from rq import Queue
from rq.queue import EnqueueData
from rq.serializers import JSONSerializer
from scheduler_api.core.store import Claim

QUEUE = "deliveries"
FUNCTION = "workers.deliver.deliver"
NO_TIMEOUT = -1
FAILURE_TTL_S = 600


class Carrier:
    """The RQ queue that workers take envelopes from.

    Deadlines are the engine's own, so a job has no time-out; jobs carry ids only.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._queue = Queue(QUEUE, connection=client, serializer=JSONSerializer)

    def depth(self) -> int:
        """How many envelopes wait. One LLEN: never RQ's counters.

        Raises: redis.RedisError.
        """
        return int(self._client.llen(self._queue.key))

    def carry(self, claim: Claim) -> int:
        """Hands a claim to the workers; answers how many envelopes that made.

        An event that travels alone gets an envelope of its own. What is lost on the way
        comes back when its offer lease is over.

        Raises: redis.RedisError.
        """
        envelopes: list[tuple[list[str], list[str], bool]]
        envelopes = [([event_id], [], True) for event_id in claim.solo_ids]
        if claim.ids or claim.schedule_ids:
            envelopes.insert(0, (claim.ids, claim.schedule_ids, False))
        if envelopes:
            self._queue.enqueue_many([_job(*envelope) for envelope in envelopes])
        return len(envelopes)


def _job(ids: list[str], schedule_ids: list[str], alone: bool) -> EnqueueData:
    return Queue.prepare_data(
        FUNCTION,
        args=(ids, schedule_ids, alone),
        timeout=NO_TIMEOUT,
        result_ttl=0,
        failure_ttl=FAILURE_TTL_S,
        description=f"{len(ids)} events, {len(schedule_ids)} schedules",
    )
