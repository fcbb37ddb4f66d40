"""Claims: the ticker's call, which offers due events and ends leases that are over."""

from collections.abc import Sequence
from dataclasses import dataclass
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.scripts import Arg
from typing import cast


@dataclass(frozen=True)
class ClaimTimeouts:
    """Lengths of time that a claim works with, all in ms."""

    offer_ms: int
    lease_ms: int
    quiet_ms: int
    missed_grace_ms: int


@dataclass(frozen=True)
class Claim:
    """What one claim offers; `next_us` is None when nothing is due at any time.

    `is_stalled`: what is overdue waits for room in RQ; a begin that finds some wakes
    the ticker.
    """

    ids: list[str]
    solo_ids: list[str]
    schedule_ids: list[str]
    next_us: int | None
    interrupted: list[str]
    set_aside: list[str]
    epoch: str
    is_stalled: bool = False


def claim(
    cell: Cell, *, room: int, timeouts: ClaimTimeouts, carrier: Sequence[Arg] = ()
) -> Claim:
    """Offer up to `room` due events and end leases that are over.

    With the words of a carrier the script enqueues them in RQ as well.

    Redis: claim.lua, atomic; a repeat costs the first batch one offer lease.
    """
    reply = cast(
        list[list[bytes]],
        cell.run(
            "claim",
            *(room, timeouts.offer_ms, timeouts.lease_ms),
            *(timeouts.quiet_ms, timeouts.missed_grace_ms, *carrier),
        ),
    )
    ids, solo, short, next_us, interrupted, aside, epoch, stalled = reply
    micros = int(cast(int, next_us))
    return Claim(
        ids=[i.decode() for i in ids],
        solo_ids=[i.decode() for i in solo],
        schedule_ids=[i.decode() for i in short],
        next_us=micros if micros >= 0 else None,
        interrupted=[i.decode() for i in interrupted],
        set_aside=[i.decode() for i in aside],
        epoch=cast(bytes, epoch).decode(),
        is_stalled=cast(int, stalled) == 1,
    )
