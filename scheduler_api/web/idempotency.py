"""`Idempotency-Key`: a client can safely repeat a request that creates something.

The event or schedule is stored atomically with a deduplication key, which contains a
digest of the request and is kept for a day. If the request is repeated, the client gets
the first response again. A different request with the same key is refused. A
request that stores no event or schedule stores no deduplication key either.
"""

import hashlib
import logging
from collections.abc import Callable
from flask import Request, Response
from scheduler_api.core import logfmt, public_ids
from scheduler_api.core.deduplication import (
    DeduplicationKey,
    Duplicate,
    Repeated,
    idempotency_name,
)
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
    """Return the deduplication key of a request, None without `Idempotency-Key`.

    The digest covers the endpoint, the path variables and the body: a request with the
    same header and another digest is not a repeat.

    Raises: Refusal.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_LENGTH:
        raise Refusal(400, BAD_KEY)
    target = f"{request.endpoint} {sorted((request.view_args or {}).items())}\n"
    return DeduplicationKey(
        idempotency_name(key),
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
    """Execute a request; if it is a repetition, return the first response again.

    Redis: one read if there is a deduplication key.

    Args:
        execute: executes the request, and stores the deduplication key.
        repeat: renders the first response again.

    Raises: Refusal, and the errors of `execute` and `repeat`.
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
            # If the client sent the request twice at the same time, the other copy may
            # have succeeded and caused this error: it may have used up a quota. Then
            # this copy is the repetition.
            duplicate = store.find_duplicate(owner, deduplication)
            if duplicate is None:
                raise
    if duplicate.digest != deduplication.digest:
        raise Refusal(422, REUSED)
    stored = public_ids.event_id(owner, duplicate.id)
    log.info(logfmt.line("request.repeated", stored=stored, owner=owner))
    response = repeat(duplicate)
    response.headers[REPLAYED] = "true"
    return response
