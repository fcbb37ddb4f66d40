"""What ticker and worker do, by hand and at the time that is told."""

import orjson
import redis
from dataclasses import dataclass
from scheduler_api.core.model import Owner
from scheduler_api.core.store.events import Store, Terms
from scheduler_api.core.tenants.accounts import NewTenant, Tenants
from typing import Any

SECRET_KEY = "0123456789abcdef"
TERMS = Terms(offer_ms=3_000, lease_ms=15_000, quiet_ms=15_000, missed_grace_ms=60_000)


@dataclass
class Web:
    """An application, what stands behind it, and a new tenant of its own."""

    app: Any
    store: Store
    tenants: Tenants
    tenant: NewTenant

    def owner(self, dialect: str) -> Owner:
        return Owner(self.tenant.id, dialect)


class Hand:
    """Offers, begins and settles; at the store's own time where none is told.

    The journal goes by that: what is told of it agrees with what is told of attempts.
    """

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._begins = 0

    def at(self, now_ms: int | None) -> Store:
        return Store(self._client, self._prefix, clock_ms=now_ms)

    def begin(self, event_id: str, *, now_ms: int | None = None) -> tuple[str, int]:
        """Offers what is due and begins one; answers its token and attempt number."""
        self.at(now_ms).claim(room=10_000, terms=TERMS)
        self._begins += 1
        token = f"hand:{self._begins}"
        reply: Any = self.at(now_ms).run("begin", token, 15_000, 8192, event_id)
        assert reply[0][1] == b"begun", reply
        return token, int(reply[0][2])

    def settle(
        self,
        event_id: str,
        begun: tuple[str, int],
        outcome: str,
        *,
        now_ms: int | None = None,
        **log: Any,
    ) -> None:
        store = self.at(now_ms)
        line = orjson.dumps({"started_ms": store.now_ms() - 10, "total_ms": 10} | log)
        reply: Any = store.run(
            *("settle", event_id, *begun, outcome, 3_000, "", line, 0)
        )
        assert reply[0][1] == b"settled", reply

    def attempt(self, event_id: str, outcome: str, *, now_ms: int, **log: Any) -> None:
        begun = self.begin(event_id, now_ms=now_ms)
        self.settle(event_id, begun, outcome, now_ms=now_ms, **log)
