"""`Idempotency-Key`: what creates something may be sent again without fear, for a day.

The key's mark is set together with what is stored, and holds a digest of the request.
So whoever repeats the request is told what was told at first, and whoever says
something else under the same key is refused. What is refused or fails before it is
stored leaves no mark.
"""

import hashlib
import logging
from collections.abc import Callable
from flask import Request, Response
from scheduler_api.core import logfmt
from scheduler_api.core.deduplication import Held, Mark, Repeated
from scheduler_api.core.errors import SchedulerError
from scheduler_api.core.model import Owner
from scheduler_api.core.store.events import EventStore

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
LONGEST = 255
HOLD_MS = 86_400_000
BAD_KEY = f"{HEADER} must have 1 to {LONGEST} characters"
REUSED = f"{HEADER} was used for another request"

log = logging.getLogger("scheduler.web")


class KeyRefused(SchedulerError):
    """The key cannot stand for this request."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def read_mark(request: Request, body: bytes) -> Mark | None:
    """The mark of a request that bears a key, None if it has none.

    A request is the same if it goes to the same endpoint with the same bytes.

    Raises: KeyRefused.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not 1 <= len(key) <= LONGEST:
        raise KeyRefused(400, BAD_KEY)
    to = f"{request.endpoint} {sorted((request.view_args or {}).items())}\n"
    return Mark(
        f"k{hashlib.sha256(key.encode()).hexdigest()}",
        HOLD_MS,
        hashlib.sha256(to.encode("utf-8", "surrogatepass") + body).hexdigest(),
    )


def once(
    store: EventStore,
    owner: Owner,
    mark: Mark | None,
    *,
    make: Callable[[], Response],
    again: Callable[[Held], Response],
) -> Response:
    """The answer to a request that is carried out once, however often it is sent.

    Redis: nothing without a mark, one read with it.

    Args:
        make: carries it out under the mark.
        again: answers as was answered when this was stored.

    Raises: KeyRefused, redis.RedisError, and what these two raise.
    """
    if mark is None:
        return make()
    held = store.holder(owner, mark)
    if held is None:
        try:
            return make()
        except Repeated as err:
            held = err.held
        except SchedulerError:
            # Perhaps the same request, at this instant, took the last that was left.
            held = store.holder(owner, mark)
            if held is None:
                raise
    if held.digest != mark.digest:
        raise KeyRefused(422, REUSED)
    log.info(logfmt.line("request.repeated", stored=held.id, owner=owner))
    response = again(held)
    response.headers[REPLAYED] = "true"
    return response
