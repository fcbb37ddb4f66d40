"""Scenarios of `scripts/chaos`: the network between several machines fails."""

import time
from chaos_load import disturb, start_all
from chaos_machines import (
    FIRST,
    FRONT,
    OUTSIDE,
    RECEIVERS,
    RECEIVERS_NETWORK,
    SECOND,
    STORE,
    MachinesCell,
)
from chaos_scenario import Scenario, in_cell
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from tests.system.arrivals import Receiver
from tests.system.processes import wait_until
from tests.system.report import Report
from workers.delivery.suspicion import LONGEST_WAIT_S

# So many that a connection to each is closed before the next event needs one.
NAMES = [f"h{number}.example.test" for number in range(400)]
NO_SERVER = "nameserver 127.0.0.1\noptions attempts:1 timeout:1\n"
LOCAL = "127.0.0.1 localhost\n"
PER_S, MAX_CHARGED = 33, 20
SUSPECTED = "can reach no destination"


def partition(cell: MachinesCell, *, of: str, for_s: int) -> Report:
    """A machine loses its connection to the store in silence; another one stays.

    Args:
        of: the machine.
    """
    start_all(cell)
    cell.start(SECOND)

    def fault() -> None:
        cell.cut(of, STORE)
        cell.record_in_flight()
        time.sleep(for_s)
        cell.join(of, STORE)

    return disturb(cell, fault, within_s=10, refused="").report


def no_route(cell: MachinesCell, *, for_s: int) -> Report:
    """A worker has no route to any receiver; another worker has."""
    return _without_route(cell, for_s, (FIRST, SECOND))


def no_route_at_all(cell: MachinesCell, *, for_s: int) -> Report:
    """The only worker has no route to any receiver."""
    return _without_route(cell, for_s, (FIRST,))


def _without_route(cell: MachinesCell, for_s: int, workers: Sequence[str]) -> Report:
    machine = cell.machines[FIRST]

    @contextmanager
    def fault() -> Iterator[None]:
        machine.unroute(RECEIVERS_NETWORK)
        yield
        machine.route(RECEIVERS_NETWORK)

    return _sick_worker(cell, fault, for_s, RECEIVERS, workers)


def no_names(cell: MachinesCell, *, for_s: int) -> Report:
    """A worker cannot resolve names; another worker can."""
    hosts = LOCAL + "".join(f"{OUTSIDE} {name}\n" for name in NAMES)
    for name in (FIRST, SECOND):
        cell.machines[name].replace("/etc/hosts", hosts)
        cell.machines[name].replace("/etc/resolv.conf", NO_SERVER)
    machine = cell.machines[FIRST]

    @contextmanager
    def fault() -> Iterator[None]:
        machine.replace("/etc/hosts", LOCAL)
        yield
        machine.restore("/etc/hosts")

    return _sick_worker(cell, fault, for_s, NAMES, (FIRST, SECOND))


def _sick_worker(
    cell: MachinesCell,
    fault: Callable[[], AbstractContextManager[None]],
    for_s: int,
    hosts: Sequence[str],
    workers: Sequence[str],
) -> Report:
    """Create events for many hosts, and let the first worker fail to reach them."""
    cell.receiver.close()
    cell.receiver = Receiver(OUTSIDE, everywhere=True)
    start_all(cell)
    cell.start(*(name for name in workers if name not in cell.processes))
    over_s = for_s + 4.0
    events = int(PER_S * over_s)
    start_ms = cell.earliest_start_ms(events)
    accepted = [
        cell.create(
            f"event-{number}",
            at_ms=start_ms + number * 1_000 // PER_S,
            url=cell.receiver.url("delay_ms=50", host=hosts[number % len(hosts)]),
        )
        for number in range(events)
    ]
    wait_until(lambda: len(cell.receiver.arrivals) >= PER_S)
    with fault():
        ends_s = time.monotonic() + for_s
        named_s = wait_until(
            lambda: SUSPECTED in str(cell.request("GET", "/readyz").body)
        )
        time.sleep(max(0, ends_s - time.monotonic()))
    now_ms = cell.events.cell.now_ms()
    overdue = {event.label for event in accepted if event.at_ms <= now_ms}
    recovery_s = wait_until(
        lambda: overdue <= cell.receiver.times_ms().keys(), within_s=90
    )
    cell.wait_drained()
    charged = [
        event.label
        for event in accepted
        if any(attempt.error for attempt in cell.attempts(event))
    ]
    report = Report(
        cell.tally(accepted),
        {
            "events with a failed attempt": len(charged),
            "named within": f"{named_s:.1f} s",
        },
        recovery_s,
    )
    # The first failures are what the worker notices its fault by.
    report.expect(
        len(charged) <= MAX_CHARGED, f"at most {MAX_CHARGED} events are charged"
    )
    report.expect(
        recovery_s <= LONGEST_WAIT_S + 5,
        f"overdue events arrive within {LONGEST_WAIT_S + 5:.0f} s",
    )
    return report


def scenario(run: Callable[..., Report], rules: str, **arguments: str) -> Scenario:
    """Make a scenario on several machines, which lasts as long as an outage."""
    return in_cell(
        run,
        rules,
        lambda n: {"for_s": n["away_s"], **arguments},
        cell=MachinesCell,
        machines=True,
    )


SCENARIOS: dict[str, Scenario] = {
    "partition-worker": scenario(partition, "R-06 R-12", of=FIRST),
    "partition-web-ticker": scenario(partition, "R-06 R-04", of=FRONT),
    "no-route": scenario(no_route, "R-20"),
    "no-route-at-all": scenario(no_route_at_all, "R-20"),
    "no-names": scenario(no_names, "R-20"),
}
