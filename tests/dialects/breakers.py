"""Helpers that trip the breaker of an origin or a route."""

from scheduler_api.core.store.gate_names import (
    destination_digest,
    destination_gate,
    route_digest,
)
from tests.sync_worker import SyncWorker


def open_origin(worker: SyncWorker, tenant: str, url: str) -> None:
    """Report that an origin cannot be reached."""
    gate = destination_gate(tenant, destination_digest(url))
    assert worker.report(gate, 20, 20) == "open"


def slow_route(worker: SyncWorker, tenant: str, url: str) -> None:
    """Report that a route fails."""
    gate = destination_gate(tenant, route_digest(url))
    assert worker.report(gate, 20, 20) == "slowed"
