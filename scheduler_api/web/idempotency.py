"""`Idempotency-Key`: what creates something may be sent again without fear, for a day.

The deduplication key is set together with what is stored, with a digest of the request.
So whoever repeats the request is told what was told at first, and whoever says
something else under the same key is refused. What is refused or fails before it is
stored leaves no deduplication key.
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
LONGEST = 255
HOLD_MS = 86_400_000
BAD_KEY = f"{HEADER} must have 1 to {LONGEST} characters"
REUSED = f"{HEADER} was used for another request"

log = logging.getLogger("scheduler.web")


def read_deduplication(request: Request, body: bytes) -> DeduplicationKey | None:
    """The deduplication key of a request, None if it has no such header.

    A request is the same if it goes to the same endpoint with the same bytes.

    Raises: Refusal.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not 1 <= len(key) <= LONGEST:
        raise Refusal(400, BAD_KEY)
    to = f"{request.endpoint} {sorted((request.view_args or {}).items())}\n"
    return DeduplicationKey(
        f"k{hashlib.sha256(key.encode()).hexdigest()}",
        HOLD_MS,
        hashlib.sha256(to.encode("utf-8", "surrogatepass") + body).hexdigest(),
    )


def once(
    store: EventStore,
    owner: Owner,
    deduplication: DeduplicationKey | None,
    *,
    make: Callable[[], Response],
    again: Callable[[Duplicate], Response],
) -> Response:
    """The answer to a request that is carried out once, however often it is sent.

    Redis: nothing without a deduplication key, one read with it.

    Args:
        make: carries it out under the deduplication key.
        again: answers as was answered when this was stored.

    Raises: Refusal, redis.RedisError, and what these two raise.
    """
    if deduplication is None:
        return make()
    duplicate = store.find_duplicate(owner, deduplication)
    if duplicate is None:
        try:
            return make()
        except Repeated as err:
            duplicate = err.duplicate_of
        except SchedulerError:
            # Perhaps the same request, at this instant, took the last that was left.
            duplicate = store.find_duplicate(owner, deduplication)
            if duplicate is None:
                raise
    if duplicate.digest != deduplication.digest:
        raise Refusal(422, REUSED)
    log.info(logfmt.line("request.repeated", stored=duplicate.id, owner=owner))
    response = again(duplicate)
    response.headers[REPLAYED] = "true"
    return response
