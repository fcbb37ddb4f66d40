"""A client of the API whose messages a worker delivers to real receivers."""

from dataclasses import dataclass
from tests.dialects.conformance.adaptor import Client
from tests.dialects.conformance.world import World
from typing import Any

RUN_MS = 120_000


@dataclass(frozen=True)
class Publisher:
    """A tenant's client of the API, and the worker that delivers its messages."""

    world: World
    client: Client

    @classmethod
    def of(cls, world: World) -> "Publisher":
        """Return a publisher of a new tenant."""
        tenant = world.new_tenant()
        headers = {"Authorization": f"Bearer {tenant.token}"}
        return cls(world, Client(world.app, tenant, headers))

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Send a request that must be accepted; return the parsed body."""
        status, answer = self.client.call(method, path, **options)
        assert status in (200, 201), answer
        return answer

    def post(self, path: str, **options: Any) -> Any:
        return self.call("POST", path, **options)

    def deliver(self) -> None:
        """Deliver everything that is due within two minutes."""
        self.world.run_for(RUN_MS)
