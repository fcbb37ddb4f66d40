"""A delivery that `doctor` makes: how long each step takes, or where it stops."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from redis.exceptions import OutOfMemoryError
from scheduler_api.core import public_ids
from scheduler_api.core.delivery.causes import cause_of
from scheduler_api.core.errors import LimitReached, StoreFull, StoreLost
from scheduler_api.core.model import Attempt, Content, Draft, Event, Owner
from scheduler_api.core.queries.event_places import read_place
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.core.timestamps import duration
from scheduler_api.dialects import outbound
from scheduler_api.services import Services

# The tenant of these events; it is created when it is first needed.
TENANT = "scheduler doctor"
BODY = b"a delivery of scheduler doctor"
DEADLINE_MS = 10_000
# Longer than one attempt may take.
WAIT_S = 15.0
INTERVAL_S = 0.02

NOT_STORED = "its event was not stored: {}"
NOT_CLAIMED = "its event has been due for {}, and no ticker has claimed it"
HELD = "its event has been due for {}, and waits at a gate"
NOT_BEGUN = "a ticker has claimed its event, but no worker has begun it within {}"
NOT_ANSWERED = "a worker has begun it, but has stored no result within {}"
FAILED = "the attempt of the worker failed after {}: {}"


@dataclass(frozen=True)
class Step:
    """A step of a delivery, and how long it took."""

    name: str
    took_ms: float


@dataclass(frozen=True)
class OwnDelivery:
    """What became of the delivery.

    Attributes:
        event: the id of the event in its API; '' if it was not stored.
        steps: those that were done.
        stopped: the step at which it stopped, in words; '' if it was delivered.
        code: of the cause, if its attempt failed.
    """

    url: str
    event: str
    steps: Sequence[Step]
    stopped: str = ""
    code: str = ""


def deliver(services: Services, url: str) -> OwnDelivery:
    """Create an event that is due now, and wait until it is delivered.

    If it is not delivered, it is cancelled, and leaves no dead letter.

    Raises: redis.RedisError.
    """
    began_s = time.monotonic()
    try:
        owner = Owner(_tenant(services.tenants), outbound.PLAIN.name)
        event = services.store.create(owner, Draft(Content(url, BODY), DEADLINE_MS))
    except (StoreFull, OutOfMemoryError):
        return OwnDelivery(url, "", (), stopped=NOT_STORED.format("the store is full"))
    except (StoreLost, LimitReached) as err:
        reason = str(err) or str(err.__doc__).rstrip(".")
        return OwnDelivery(url, "", (), stopped=NOT_STORED.format(reason))
    stored = Step("stored", 1_000 * (time.monotonic() - began_s))
    attempt = _wait(services, event)
    name = public_ids.event_id(owner, event.id)
    if attempt is None:
        return OwnDelivery(url, name, [stored], stopped=_give_up(services, event))
    begun = Step("begun by a worker", max(0, attempt.started_ms - event.wanted_ms))
    cause = cause_of(attempt)
    if cause is not None:
        services.store.cancel(owner, [event.id])
        # After some failures, no retry follows.
        services.dead_letters.clear(owner, [event.id])
        took = duration(attempt.total_ms or 0)
        stopped = FAILED.format(took, cause.sentence)
        return OwnDelivery(url, name, [stored, begun], stopped, cause.code)
    answered = Step(f"answered with {attempt.status}", attempt.total_ms or 0)
    return OwnDelivery(url, name, [stored, begun, answered])


def _tenant(tenants: Tenants) -> str:
    for account in tenants.accounts():
        if account.name == TENANT and not account.is_being_removed:
            return account.id
    return tenants.create(TENANT, by=TENANT).id


def _wait(services: Services, event: Event) -> Attempt | None:
    """Return the first attempt; None if there is none in time."""
    ends_s = time.monotonic() + WAIT_S
    while not (found := services.queries.attempts(event.id)):
        if time.monotonic() > ends_s:
            return None
        time.sleep(INTERVAL_S)
    return found[0]


def _give_up(services: Services, event: Event) -> str:
    """Cancel an event without an attempt; return where it is."""
    place = read_place(services.cell, event.id)
    services.store.cancel(event.owner, [event.id])
    waited = duration(1_000 * WAIT_S)
    if place.is_sent:
        return NOT_ANSWERED.format(waited)
    if place.is_claimed:
        return NOT_BEGUN.format(waited)
    return (HELD if place.waits_at else NOT_CLAIMED).format(waited)
