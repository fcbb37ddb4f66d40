"""Envelopes: RQ jobs that carry the ids of claimed events to workers."""

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
MAX_WAITING = 2
ARGUMENTS = "arguments"
IDS_MARKER = "-with-"
ID_SEPARATOR = "_"
# Fields that differ from job to job; all other fields are copied from one job.
PER_JOB_FIELDS = ("data", "description", "created_at", "enqueued_at")


class RqEnqueuer:
    """Provides the options and the job template of a claim that enqueues envelopes.

    RQ creates one job as the template. The claim copies the fields of this job, and
    replaces its arguments by ids. Jobs have no RQ time-out, because each delivery has a
    deadline.
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
        self.options = {"list": queue.key, "max_waiting": MAX_WAITING}
        self._template = {
            "queues_key": queue.redis_queues_keys,
            "job_key_prefix": Job.key_for(""),
            "job_id_prefix": nonce(),
            "data_head": head,
            "data_tail": tail,
        }
        self._fields = [
            text
            for name, value in job.to_dict().items()
            if name not in PER_JOB_FIELDS and value != ""
            for text in (name, value)
        ]

    def job_template(self) -> bytes:
        """Return, as JSON, the template of the jobs that a claim enqueues now."""
        at = utcformat(now())
        fields = ["created_at", at, "enqueued_at", at, *self._fields]
        return orjson.dumps({**self._template, "fields": fields})


@dataclass(frozen=True, slots=True)
class Envelope:
    """The contents of one RQ job.

    `isolated` is true if the envelope contains a single event whose attempts were
    interrupted before. A worker runs only one such event at a time.
    """

    ids: list[str]
    schedule_ids: list[str]
    isolated: bool


def parse_job_id(job_id: str) -> Envelope | None:
    """Return the envelope that a job's id contains.

    None if the id contains no envelope. Then the job's data contains the envelope.
    """
    _, marker, ids = job_id.rpartition(IDS_MARKER)
    return Envelope(ids.split(ID_SEPARATOR), [], False) if marker else None


def parse_job_data(data: bytes) -> Envelope:
    """Parse the envelope in the data of a job.

    Raises: ValueError: the data is not an envelope.
    """
    # Data that a claim wrote is not compressed. Data that RQ wrote is compressed.
    with suppress(zlib.error):
        data = zlib.decompress(data)
    match json.loads(data):
        case [str(name), None, [[*ids], [*schedule_ids], bool(isolated)], {}] if (
            name == FUNCTION and all(isinstance(i, str) for i in ids + schedule_ids)
        ):
            return Envelope(ids, schedule_ids, isolated)
    raise ValueError("not an envelope")
