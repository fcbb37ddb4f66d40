"""Scenarios of `scripts/chaos`: the store comes back empty, older or shorter."""

import shutil
import time
from chaos_load import (
    IN_MS,
    disturb,
    logged_critical,
    operate,
    start_all,
    unready_s,
    wait_delivering,
    wait_ready,
)
from chaos_preload import PreloadCell, sizes_on_disk
from chaos_scenario import Scenario, in_cell
from collections.abc import Callable
from pathlib import Path
from tests.system.cell import Cell
from tests.system.load import Load
from tests.system.observer import Accepted
from tests.system.outages import REACTION_S
from tests.system.processes import wait_until
from tests.system.replicas import ReplicatedCell
from tests.system.report import Report

EMPTIED = "the store was emptied or replaced"
# `everysec` may lose what was written in this time before a power cut.
EVERYSEC_S = 2.0
FAILOVER_S = 2.0


def emptied_store(cell: Cell) -> Report:
    """The store comes back empty; an operator accepts it."""
    start_all(cell)
    pids = {name: process.pid for name, process in cell.processes.items()}
    with Load(cell, per_s=20, in_ms=IN_MS, name="before") as before:
        wait_until(lambda: len(before.accepted) >= 40)
        cell.store.kill()
        shutil.rmtree(_append_only(cell))
        cell.start_store()
        named_s = unready_s(cell, EMPTIED)
    arrived = len(cell.receiver.arrivals)
    refused = {cell.request("GET", "/api/events").status for _ in range(3)}
    time.sleep(2)
    meanwhile = len(cell.receiver.arrivals) - arrived
    operate(cell, "accept-store")
    cell.owner, cell.token = cell.add_tenant("two")
    wait_ready(cell)
    with Load(cell, per_s=20, in_ms=IN_MS, name="after") as after:
        recovery_s = wait_delivering(cell, after)
    cell.wait_drained()
    labels = {event.label for event in before.accepted}
    tally = cell.tally([*before.accepted, *after.accepted], tail=labels)
    report = Report(tally, {"named within, s": round(named_s, 1)}, recovery_s)
    report.expect(named_s <= REACTION_S, "/readyz names it within 5 s")
    report.expect(logged_critical(cell), "a critical message is logged")
    ids = [event.id for event in (*before.accepted, *after.accepted)]
    report.expect(len({*ids}) == len(ids), "no id is given out twice")
    report.expect(refused == {503}, "valid tokens get 503 meanwhile", found=refused)
    report.expect(meanwhile == 0, "nothing is delivered until it is accepted")
    report.expect(
        all(cell[name].pid == pid for name, pid in pids.items()), "no process restarts"
    )
    return report


def power_cut(cell: Cell, *, policy: str, lost_s: float) -> Report:
    """The store's machine loses power: its file ends where the last fsync ended.

    Args:
        lost_s: how much the policy may lose, in seconds.
    """
    cell.client.config_set("appendfsync", policy)
    cut_ms: list[float] = []

    def fault() -> None:
        cell.store.kill()
        cut_ms.append(time.time() * 1000)
        for path, size in sizes_on_disk(cell.folder, _append_only(cell)).items():
            with path.open("r+b") as file:
                file.truncate(size)
        cell.start_store()

    def tail(accepted: list[Accepted]) -> set[str]:
        return written_since(cell, accepted, cut_ms[0] - lost_s * 1000)

    report = disturb(cell, fault, within_s=15, tail=tail).report
    report.expect(policy != "always" or not report.tally.lost, "`always` loses nothing")
    return report


def older_backup(cell: Cell) -> Report:
    """The store is replaced by its own backup of three seconds before."""
    backup = cell.folder / "backup"
    taken_ms: list[float] = []

    def fault() -> None:
        taken_ms.append(time.time() * 1000)
        shutil.copytree(_append_only(cell), backup)
        time.sleep(3)
        cell.store.kill()
        shutil.rmtree(_append_only(cell))
        shutil.copytree(backup, _append_only(cell))
        cell.start_store()

    return _lost_tail(cell, fault, since_ms=lambda: taken_ms[0] - 100)


def late_replica(cell: ReplicatedCell) -> Report:
    """A failover to a replica that lacks the last three seconds."""
    cut_ms: list[float] = []

    def fault() -> None:
        cell.wait_replicated()
        cut_ms.append(time.time() * 1000)
        cell.promote()
        time.sleep(3)
        cell.store.kill()
        cell.switch_to_replica()

    return _lost_tail(cell, fault, since_ms=lambda: cut_ms[0] - 100)


def _lost_tail(
    cell: Cell, fault: Callable[[], None], *, since_ms: Callable[[], float]
) -> Report:
    def and_accept() -> None:
        fault()
        wait_until(lambda: logged_critical(cell), within_s=15)
        if not cell.is_ready():
            operate(cell, "accept-store")

    done = disturb(
        cell,
        and_accept,
        within_s=15,
        tail=lambda accepted: written_since(cell, accepted, since_ms()),
    )
    ids = [event.id for event in done.load.accepted]
    done.report.expect(len({*ids}) == len(ids), "no id is given out twice")
    return done.report


def failover(cell: ReplicatedCell) -> Report:
    """The primary is killed; two seconds later its replica takes over."""
    cut_ms: list[float] = []

    def fault() -> None:
        cut_ms.append(time.time() * 1000)
        cell.store.kill()
        time.sleep(FAILOVER_S)
        cell.promote()
        cell.switch_to_replica()

    done = disturb(
        cell,
        fault,
        within_s=10,
        tail=lambda accepted: written_since(cell, accepted, cut_ms[0] - 500),
    )
    return done.report


def written_since(cell: Cell, accepted: list[Accepted], since_ms: float) -> set[str]:
    """Return the labels of events accepted or sent since this time, and before now.

    Slow requests may be settled much later than they arrived.
    """
    times_ms = cell.receiver.times_ms()
    return {
        event.label
        for event in accepted
        if event.at_ms - IN_MS >= since_ms
        or any(at_ms >= since_ms - 1_000 for at_ms in times_ms.get(event.label, ()))
    }


def _append_only(cell: Cell) -> Path:
    return cell.folder / "data" / "appendonlydir"


SCENARIOS: dict[str, Scenario] = {
    "emptied-store": in_cell(emptied_store, "R-07"),
    "power-cut-everysec": in_cell(
        power_cut,
        "R-08 R-30",
        lambda _: {"policy": "everysec", "lost_s": EVERYSEC_S},
        cell=PreloadCell,
        needs=("gcc",),
    ),
    "power-cut-always": in_cell(
        power_cut,
        "R-08",
        lambda _: {"policy": "always", "lost_s": 0},
        cell=PreloadCell,
        needs=("gcc",),
    ),
    "older-backup": in_cell(older_backup, "R-30"),
    "late-replica": in_cell(late_replica, "R-30 R-09", cell=ReplicatedCell),
    "failover": in_cell(failover, "R-09", cell=ReplicatedCell),
}
