"""Helpers for tests of busy workers: limits, destinations, and the line of a tenant."""

from scheduler_api.core.model import Owner
from scheduler_api.core.store import keys
from scheduler_api.core.store.gate_names import destination_digest, destination_gate
from scheduler_api.core.store.leases import Share
from tests.core.engine import OWNER, PREFIX, Engine, ids
from tests.core.gated import offer

OTHER = Owner("2", "jiter")
SLOW_GATE = f"t:{OWNER.tenant}:slow"
FAST, SLOW, NEW = (f"https://{name}.example/" for name in ("fast", "slow", "new"))
NEW_ONES = [f"https://new{n}.example/" for n in range(20)]


def gate(url: str, owner: Owner = OWNER) -> str:
    return destination_gate(owner.tenant, destination_digest(url))


def busy(**fields: object) -> Share:
    """The limits of a busy worker with a window of 100, of which 20 are the reserve."""
    share = {
        "limit": 40,
        "in_flight": {},
        "fast": [gate(FAST), gate(FAST, OTHER)],
        "slow": [gate(SLOW), gate(SLOW, OTHER)],
        "tenants": {},
        "size": 100,
        "reserve": 20,
        "room": 20,
        "general_room": 0,
        "trial_room": 5,
    }
    return share | fields  # type: ignore[return-value]


def try_begin(engine: Engine, **fields: object) -> tuple[list[str], dict[str, str]]:
    begun, refused = engine.worker.try_begin(*offer(engine), share=busy(**fields))
    return ids(begun), refused


def waiters(engine: Engine, name: str = SLOW_GATE) -> list[str]:
    return list(engine.scores(keys.waiters(PREFIX, name)))
