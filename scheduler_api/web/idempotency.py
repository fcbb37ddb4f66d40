"""`Idempotency-Key`: a client can safely repeat a creating request for a day.

The deduplication key is set atomically with the stored event or schedule, and contains
a digest of the request. A repeated request gets the first response again; another
request with the same key is refused. A request that stores nothing sets no key.
"""

import hashlib
import logging
from collections.abc import Callable
from flask import Request, Response
from scheduler_api.core import logfmt
from scheduler_api.core.deduplication import DeduplicationKey, Duplicate, Repeated
from scheduler_api.core.errors import SchedulerError
from scheduler_api.core.model import Owner
from scheduler_api.core.store.events import EventStore
from scheduler_api.web.refusal import Refusal

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
MAX_LENGTH = 255
TTL_MS = 86_400_000
BAD_KEY = f"{HEADER} must have 1 to {MAX_LENGTH} characters"
REUSED = f"{HEADER} was used for another request"

log = logging.getLogger("scheduler.web")


def read_deduplication(request: Request, body: bytes) -> DeduplicationKey | None:
    """The deduplication key of a request, None without the header.

    Requests are the same if their endpoints, path variables and bodies are equal.

    Raises: Refusal.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_LENGTH:
        raise Refusal(400, BAD_KEY)
    target = f"{request.endpoint} {sorted((request.view_args or {}).items())}\n"
    return DeduplicationKey(
        f"k{hashlib.sha256(key.encode()).hexdigest()}",
        TTL_MS,
        hashlib.sha256(target.encode("utf-8", "surrogatepass") + body).hexdigest(),
    )


def once(
    store: EventStore,
    owner: Owner,
    deduplication: DeduplicationKey | None,
    *,
    execute: Callable[[], Response],
    repeat: Callable[[Duplicate], Response],
) -> Response:
    """Execute a request once; respond to its repetitions as to the first.

    Redis: one read if there is a deduplication key.

    Args:
        execute: executes the request; stores with the deduplication key.
        repeat: renders the first response again.

    Raises: Refusal, and the errors of the two functions.
    """
    if deduplication is None:
        return execute()
    duplicate = store.find_duplicate(owner, deduplication)
    if duplicate is None:
        try:
            return execute()
        except Repeated as err:
            duplicate = err.duplicate_of
        except SchedulerError:
            # The same request at the same instant may have used up a quota.
            duplicate = store.find_duplicate(owner, deduplication)
            if duplicate is None:
                raise
    if duplicate.digest != deduplication.digest:
        raise Refusal(422, REUSED)
    log.info(logfmt.line("request.repeated", stored=duplicate.id, owner=owner))
    response = repeat(duplicate)
    response.headers[REPLAYED] = "true"
    return response
