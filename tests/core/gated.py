"""Events with gates, on the way from a claim to their end."""

from scheduler_api.core.model import Begun, Draft, Gates
from tests.core.engine import CONTENT, DEADLINE_MS, OWNER, Engine, settlement
from typing import Any

LOOK_MS = 5_000


def create(engine: Engine, count: int, gates: Gates, *, delay_ms: int = 0) -> list[str]:
    """Ids of new events that go through gates."""
    draft = Draft(CONTENT, DEADLINE_MS, gates=gates, delay_ms=delay_ms)
    return [each.id for each in engine.store.create_many(OWNER, [draft] * count)]


def offer(engine: Engine) -> list[str]:
    """What the claims of this moment offer, until there is no more."""
    offered: list[str] = []
    while True:
        claim = engine.claim()
        offered += claim.ids
        if not claim.ids and claim.next_us != 0:
            return offered


def begin(engine: Engine) -> list[Begun]:
    """All that may begin at this moment."""
    return engine.worker.begin(*offer(engine))


def finish(engine: Engine, *begun: Begun, **how: Any) -> None:
    """Settles attempts, all in the same way."""
    engine.worker.settle(*(settlement(each, **how) for each in begun))
