"""The claim: the call by which the ticker offers due events and ends leases."""

from dataclasses import dataclass
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.rq_envelopes import RqEnqueuer
from typing import NamedTuple


@dataclass(frozen=True)
class ClaimTimeouts:
    """Durations that a claim uses, in ms.

    Attributes:
        offer_ms: length of the lease of an offered event that no worker has begun.
        lease_ms: length of the lease of a begun event, from the begin or last renewal.
        grace_ms: after an outage, no lease of a begun event ends during this time.
        missed_grace_ms: a fire time that was due longer ago than this is missed.
    """

    offer_ms: int
    lease_ms: int
    grace_ms: int
    missed_grace_ms: int


@dataclass(frozen=True)
class Claim:
    """The result of one claim.

    Attributes:
        schedule_ids: schedules that need more fire times.
        next_us: microseconds until the next check; None if no check is needed.
        rq_full: whether due events wait because RQ is full. If so, the first `begin`
            that finds room in RQ wakes the ticker.
        closed: origins and routes whose breakers were closed because they are idle.
        now_ms: the time of the store's clock.
        is_unexpected: whether the claim did nothing, because this time differs from
            the expected one by more than a second.
        lost_ms: for how long before the outage the store has lost what was written; 0
            if it has lost nothing that the caller knows of.
        server: the run id of the store's server; '' if the user may not read it.
    """

    ids: list[str]
    isolated_ids: list[str]
    schedule_ids: list[str]
    next_us: int | None
    interrupted: list[str]
    quarantined: list[str]
    epoch: str
    rq_full: bool = False
    closed: tuple[str, ...] = ()
    now_ms: int = 0
    is_unexpected: bool = False
    lost_ms: int = 0
    server: str = ""


class LastContact(NamedTuple):
    """What a ticker knows of the store; times by the store's clock.

    Attributes:
        server: the run id of the server that it last called.
        claimed_ms: the time of its last claim.
        contact_ms: when it last called the store; no later call was successful.
    """

    server: str
    claimed_ms: int
    contact_ms: int


def claim(
    cell: Cell,
    *,
    room: int,
    timeouts: ClaimTimeouts,
    enqueuer: RqEnqueuer | None = None,
    expected_ms: int | None = None,
    jump: tuple[int, int] | None = None,
    contact: LastContact | None = None,
) -> Claim:
    """Offer up to `room` due events and end expired leases.

    With an enqueuer, the Lua function also enqueues the offered events in RQ.

    Redis: claim, atomic. If the client repeats the call, the second call offers other
    events. The events of the first call are offered again when their leases end.

    Args:
        expected_ms: the time of the store's clock, as far as the caller knows. The
            claim does nothing if the clock differs by more than a second.
        jump: the times before and after the last forward step of the store's clock. A
            schedule fires only once for all its fire times in between.
        contact: if another server has less, the deliveries that it may not know of are
            marked as possible duplicates.
    """
    options: dict[str, object] = {
        "room": room,
        "offer_ms": timeouts.offer_ms,
        "lease_ms": timeouts.lease_ms,
        "grace_ms": timeouts.grace_ms,
        "missed_grace_ms": timeouts.missed_grace_ms,
    }
    if expected_ms is not None:
        options["expected_ms"] = expected_ms
    if jump is not None:
        options["jumped_from_ms"], options["jumped_to_ms"] = jump
    if contact is not None:
        options |= contact._asdict()
    if enqueuer is not None:
        options["rq"] = enqueuer.options
    reply = cell.call("claim", options, [enqueuer.job_template()] if enqueuer else ())
    ids, isolated, short, next_us, interrupted, quarantined, epoch, *rest = reply
    rq_full, closed, now_ms, is_unexpected, lost_ms, server = rest
    return Claim(
        ids=[i.decode() for i in ids],
        isolated_ids=[i.decode() for i in isolated],
        schedule_ids=[i.decode() for i in short],
        next_us=int(next_us) if int(next_us) >= 0 else None,
        interrupted=[i.decode() for i in interrupted],
        quarantined=[i.decode() for i in quarantined],
        epoch=epoch.decode(),
        rq_full=rq_full == 1,
        closed=tuple(url.decode() for url in closed),
        now_ms=now_ms,
        is_unexpected=is_unexpected == 1,
        lost_ms=lost_ms,
        server=server.decode(),
    )
