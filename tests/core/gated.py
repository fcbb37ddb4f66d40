"""Helpers that create, claim, begin and settle events with gates, such as queues."""

from collections.abc import Sequence
from scheduler_api.core.model import NO_GATES, Begun, Content, Draft, Gates, Owner
from tests.core.engine import CONTENT, DEADLINE_MS, OWNER, Engine, settlement
from typing import Any

CHECK_EVERY_MS = 5_000


def create(engine: Engine, count: int, gates: Gates, *, delay_ms: int = 0) -> list[str]:
    """Create events with gates; return their ids."""
    draft = Draft(CONTENT, DEADLINE_MS, gates=gates, delay_ms=delay_ms)
    return [each.id for each in engine.store.create_many(OWNER, [draft] * count)]


def send(
    engine: Engine,
    urls: Sequence[str],
    *,
    owner: Owner = OWNER,
    gates: Gates = NO_GATES,
) -> list[str]:
    """Create an event for each URL; return their ids."""
    drafts = [Draft(Content(url, b""), DEADLINE_MS, gates=gates) for url in urls]
    return [each.id for each in engine.store.create_many(owner, drafts)]


def offer(engine: Engine) -> list[str]:
    """Claim until no more events may be offered now; return the offered ids."""
    offered: list[str] = []
    while True:
        claim = engine.claim()
        offered += claim.ids
        if not claim.ids and claim.next_us != 0:
            return offered


def begin(engine: Engine) -> list[Begun]:
    """Claim and begin all events that may begin now."""
    return engine.worker.begin(*offer(engine))


def finish(engine: Engine, *begun: Begun, **how: Any) -> None:
    """Settle attempts, all with the same outcome."""
    engine.worker.settle(*(settlement(each, **how) for each in begun))
