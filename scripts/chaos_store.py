"""Scenarios of `scripts/chaos`: the store stops, freezes, refuses or is full."""

import time
from chaos_load import disturb, start_all, unready_s
from chaos_scenario import Scenario, in_cell
from collections.abc import Callable
from functools import partial, update_wrapper
from scheduler_api.core.timestamps import to_iso
from tests.system.cell import Cell
from tests.system.load import accepted_event
from tests.system.observer import Accepted
from tests.system.outages import REACTION_S, store_outage
from tests.system.processes import wait_until
from tests.system.report import Report

EVICTING = "maxmemory-policy"
BIG_BYTES, BIG_EVENTS, ROOM_BYTES = 20_000, 60, 800_000


def outage(how: str) -> Scenario:
    """Make a scenario with a store that is stopped, killed or frozen."""
    scenario = partial(store_outage, how=how)
    update_wrapper(scenario, store_outage)
    return in_cell(scenario, "R-06", lambda n: {"away_s": n["away_s"]})


def killed_connections(cell: Cell, *, for_s: int) -> Report:
    """All connections to the store are closed ten times a second."""

    def fault() -> None:
        for _ in range(for_s * 10):
            cell.client.client_kill_filter(_type="normal", skipme=True)
            cell.client.client_kill_filter(_type="pubsub")
            time.sleep(0.1)

    return disturb(cell, fault).report


def no_replicas(cell: Cell, *, for_s: int) -> Report:
    """The store refuses writes for a while, because it has too few replicas."""

    def fault() -> None:
        cell.client.config_set("min-replicas-to-write", 1)
        time.sleep(for_s)
        cell.client.config_set("min-replicas-to-write", 0)

    return _refused(cell, fault)


def read_only(cell: Cell, *, for_s: int) -> Report:
    """The store is a replica for a while, which refuses writes."""

    def fault() -> None:
        cell.client.replicaof("127.0.0.1", "1")
        time.sleep(for_s)
        cell.client.replicaof("NO", "ONE")

    return _refused(cell, fault)


def _refused(cell: Cell, fault: Callable[[], None]) -> Report:
    cell.start("chores")
    done = disturb(cell, fault)
    done.report.expect(done.load.retry_after, "the API answers 503 meanwhile")
    for name, process in cell.processes.items():
        done.report.expect(process.is_running(), f"{name} keeps running")
    return done.report


def evicting_policy(cell: Cell) -> Report:
    """The store gets a policy that evicts keys; a ticker starts meanwhile."""
    named_s: list[float] = []
    codes: list[int] = []

    def fault() -> None:
        cell.client.config_set(EVICTING, "allkeys-lru")
        named_s.append(unready_s(cell, EVICTING))
        cell.launch("ticker-late")
        codes.append(cell["ticker-late"].wait(within_s=20))
        cell.client.config_set(EVICTING, "noeviction")

    report = disturb(cell, fault).report
    report.figures["named within, s"] = round(named_s[0], 1)
    report.expect(
        named_s[0] <= REACTION_S,
        f"/readyz names the policy within {REACTION_S:.0f} s",
    )
    report.expect(codes == [1], "a process refuses to start", found=codes)
    return report


def full_store(cell: Cell) -> Report:
    """The store fills up while the ticker is away; the ticker then returns."""
    start_all(cell)
    cell["ticker"].terminate()
    used = int(cell.client.info("memory")["used_memory"])
    cell.client.config_set("maxmemory", used + ROOM_BYTES)
    accepted, refused = _fill(cell)
    # Nothing that works then may need memory.
    limit = int(cell.client.info("memory")["used_memory"])
    cell.client.config_set("maxmemory", limit)
    cell["ticker"].start()
    recovery_s = wait_until(lambda: cell.receiver.arrivals, within_s=30)
    cell.wait_drained(within_s=60)
    cell.client.config_set("maxmemory", 0)
    report = Report(
        cell.tally(accepted), {"refused": refused, "limit": limit}, recovery_s
    )
    report.expect(refused, "new events are refused before the store is full")
    report.expect(recovery_s <= 15, "deliveries go on by themselves within 15 s")
    return report


def _fill(cell: Cell) -> tuple[list[Accepted], int]:
    """Create large events; return those accepted, and the number of the others."""
    accepted, refused, due_ms = [], 0, cell.events.cell.now_ms() + 6_000
    for number in range(BIG_EVENTS):
        label = f"big-{number}-{'x' * BIG_BYTES}"
        answer = cell.request(
            "POST",
            "/api/events",
            {
                "payload": label,
                "destination": cell.receiver.url(),
                "scheduledTime": to_iso(due_ms),
            },
        )
        if answer.status == 200:
            accepted.append(accepted_event(answer, label))
        else:
            refused += 1
    return accepted, refused


SCENARIOS: dict[str, Scenario] = {
    "outage": outage("stopped"),
    "outage-killed": outage("killed"),
    "outage-frozen": outage("frozen"),
    "killed-connections": in_cell(
        killed_connections, "R-06", lambda n: {"for_s": n["away_s"]}
    ),
    "no-replicas": in_cell(no_replicas, "R-09", lambda n: {"for_s": n["away_s"]}),
    "read-only": in_cell(read_only, "R-09", lambda n: {"for_s": n["away_s"]}),
    "evicting-policy": in_cell(evicting_policy, "R-10"),
    "full-store": in_cell(full_store, "R-10 R-32"),
}
