"""Scenarios: tenants and destinations that hang or are slow, beside others."""

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from scheduler_api.core.model import Content, Draft, Owner
from tests.system.arrivals import Receiver
from tests.system.cell import Cell
from tests.system.failing import late_at, late_at_99
from tests.system.observer import Accepted
from tests.system.processes import wait_until
from tests.system.report import Report

HANGING_MS = 900_000
# An attempt that is open for so long counts as slow.
SLOW_S = 2.0
# Other addresses of the receiver: destinations that nobody has used before.
NEW, NEWER = "127.0.0.2", "127.0.0.3"


def three_tenants(
    cell: Cell,
    *,
    hanging: int,
    flood: int,
    slow: int,
    events: int,
    over_s: float,
    slack_ms: float,
) -> Report:
    """Tenants that fill a new worker with slow requests do not delay a third tenant.

    The destination of the third tenant is new. The 99th percentile of the lateness of
    its events may be at most twice as high as without the others, plus `slack_ms`. Then
    the third tenant gets slow destinations, too. Nine of ten events to its other
    destination, and to one that is new, must still arrive within two seconds.

    Args:
        hanging: number of destinations of the first tenant. None ever answers.
        flood: number of events of the second tenant, all to a host that takes three
            seconds for each.
        slow: number of destinations of the third tenant that never answer; each gets
            two events.
        events: number of other events of the third tenant, each time.
        over_s: the time over which these are due.
    """
    cell.receiver.close()
    cell.receiver = Receiver(everywhere=True)
    cell.start("ticker", "worker")
    alone_ms = late_at_99(cell, spread(cell, "alone", events, over_s))
    cell.kill_worker()
    flooded = Receiver()
    with hanging_urls(hanging + slow) as urls:
        create(cell, cell.add_tenant("hanging")[0], urls[:hanging])
        flood_urls = [flooded.url("delay_ms=3000")] * flood
        create(cell, cell.add_tenant("flood")[0], flood_urls)
        cell.start("worker")
        wait_until(lambda: len(cell.begun()) >= cell.settings.max_in_flight // 2)
        beside = spread(cell, "beside", events, over_s, hosts=[NEW])
        create(cell, cell.owner, urls[hanging:] * 2)
        time.sleep(SLOW_S)
        own = spread(cell, "own", events, over_s, hosts=[NEW, NEWER])
        report = Report(cell.tally([*beside, *own]), kills=1)
        report.figures["in flight"] = len(cell.begun())
    flooded.close()
    beside_ms = late_at_99(cell, beside)
    report.figures |= {
        "p99 alone": f"{alone_ms:.1f} ms",
        "p50 beside others": f"{late_at(cell, beside, 0.5):.1f} ms",
        "p99 beside others": f"{beside_ms:.1f} ms",
    }
    report.expect(beside_ms <= 2 * alone_ms + slack_ms, "the third tenant is on time")
    for name, accepted in (("fast", own[:events]), ("new", own[events:])):
        own_ms = late_at(cell, accepted, 0.9)
        report.figures[f"p90 of its {name} one beside slow ones"] = f"{own_ms:.1f} ms"
        report.expect(
            own_ms <= 2_000, f"its {name} destination is on time beside slow ones"
        )
    return report


def spread(
    cell: Cell,
    name: str,
    count: int,
    over_s: float,
    *,
    hosts: Sequence[str] = ("127.0.0.1",),
) -> list[Accepted]:
    """Create events that are due over some time, and wait until all have arrived.

    Args:
        count: number of events to each host.
        hosts: addresses of the receiver.
    """
    start_ms = cell.events.cell.now_ms() + 100 + count * len(hosts)
    accepted = []
    for host in hosts:
        times_ms = {
            f"{name}-{host}-{number}": start_ms + int(over_s * 1000) * number // count
            for number in range(count)
        }
        accepted += cell.create_at(times_ms, url=cell.receiver.url(host=host))
    labels = {event.label for event in accepted}
    wait_until(lambda: labels <= cell.receiver.times_ms().keys(), within_s=over_s + 60)
    wait_until(lambda: not cell.undelivered(accepted))
    return accepted


def create(cell: Cell, owner: Owner, urls: Sequence[str]) -> None:
    """Create an event for each URL, all due now."""
    drafts = [Draft(Content(url, b"other"), HANGING_MS) for url in urls]
    cell.events.create_many(owner, drafts, batch_size=500)


@contextmanager
def hanging_urls(count: int) -> Iterator[list[str]]:
    """URLs of different origins that take requests and never answer."""
    with socket.socket() as listener:
        listener.bind(("", 0))
        listener.listen(4096)
        port = listener.getsockname()[1]
        yield [f"http://127.1.{n // 250}.{1 + n % 250}:{port}/" for n in range(count)]
