"""Measures a complete system on this machine: schedules, publishing, listing events.

Run `scripts/load` by hand. Clients, receiver, store and all other processes share the
machine's cores, so ratios are more reliable than rates.
"""

import click
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import repeat, takewhile
from load_client import Round, post, send
from load_events import measure
from load_pages import Sizes
from load_pages import measure as measure_pages
from pathlib import Path
from socket import create_connection
from statistics import median
from tests.procfile import PROCFILE
from tests.system.cell import Cell
from tests.system.observer import Accepted
from tests.system.processes import Process, free_port, wait_until
from tests.system.report import Report

MINUTE_S = 60
# How long the system stays busy after the schedules have been created.
SETTLED_AFTER_S = 5
# The figures of a minute are read this long before the next minute begins.
MEASURE_BEFORE_S = 2
MEASURED = ("ticker", "worker", "store")

# Enough connections to keep two web processes busy, but so few that no request waits
# long.
CONNECTIONS, CONNECTIONS_OF_BATCHES = 32, 4
BATCH = 1_000
WARM_UP_S = 1.0
BODY = {"order": 4711, "customer": "c-0815", "lines": [1, 2, 3], "paid": True}
JSON = {"Content-Type": "application/json"}
LATER = JSON | {"Upstash-Delay": "1h"}


@contextmanager
def new_cell() -> Iterator[Cell]:
    """Start a new system with a web process and a tenant that uses QStash's API."""
    scratch = tempfile.TemporaryDirectory(prefix="load-")
    with scratch as folder, Cell(Path(folder)) as cell:
        cell.owner = replace(cell.owner, dialect="qstash")
        cell.start("web")
        yield cell


def request_of(cell: Cell, path: str, body: bytes, *, headers: dict[str, str]) -> bytes:
    """Encode a request of the cell's tenant."""
    return post(path, body, {"Authorization": f"Bearer {cell.token}", **headers})


@click.group()
def main() -> None:
    """Measure a complete system on this machine."""
    click.echo(f"{os.cpu_count()} cores, {busy()}")


def busy() -> str:
    """Return the load average of the machine."""
    return "load average {:.1f} {:.1f} {:.1f}".format(*os.getloadavg())


@main.command()
@click.option("--count", default=10_000, show_default=True, help="Schedules.")
@click.option("--minutes", default=5, show_default=True, help="Duration.")
def schedules(count: int, minutes: int) -> None:
    """Run schedules every minute; exit with 1 unless each occurrence arrives once."""
    with new_cell() as cell:
        cell.start("ticker", "worker")
        ids = create_schedules(cell, count)
        first_s = (int(time.time() + SETTLED_AFTER_S) // MINUTE_S + 1) * MINUTE_S
        fire_times_s = range(first_s, first_s + minutes * MINUTE_S, MINUTE_S)
        sleep_until(first_s - MEASURE_BEFORE_S)
        start = before = cpu_s(cell)
        for fire_s in fire_times_s:
            sleep_until(fire_s + MINUTE_S - MEASURE_BEFORE_S)
            after = cpu_s(cell)
            click.echo(minute_summary(cell, fire_s, spent=difference(before, after)))
            before = after
        cell["ticker"].terminate()
        report = Report(cell.tally(occurrences(ids, fire_times_s)))
    spent = cpu_summary(difference(start, before))
    click.echo(f"{report}\n{spent}; {busy()}")
    sys.exit(1 if report.problems else 0)


def create_schedules(cell: Cell, count: int) -> list[str]:
    """Create schedules that run every minute, over HTTP; return their internal ids."""
    url = cell.receiver.url().rstrip("?")
    path, headers = f"/v2/schedules/{url}", {"Upstash-Cron": "* * * * *"}
    request = request_of(cell, path, b"tick", headers=headers)
    sent = send(
        repeat(request, count), port=cell.settings.port, connections=CONNECTIONS
    )
    check(sent, 200)
    click.echo(f"{count} schedules created over HTTP in {sent.took_s:.0f} s")
    public_ids = [
        json.loads(response.body)["scheduleId"] for response in sent.responses
    ]
    return [public_id.removeprefix("scd_") for public_id in public_ids]


def occurrences(ids: list[str], fire_times_s: range) -> list[Accepted]:
    """Return the occurrences that the receiver should get from the schedules."""
    return [
        Accepted(f"{id_}.{fire_s}", f"msg_{id_}.{fire_s}", fire_s * 1000)
        for fire_s in fire_times_s
        for id_ in ids
    ]


def sleep_until(at_s: float) -> None:
    """Sleep until a Unix time."""
    time.sleep(max(0.0, at_s - time.time()))


def cpu_s(cell: Cell) -> dict[str, float]:
    """Return the processor time that each measured process has used so far."""
    processes = {"store": cell.store} | cell.processes
    return {name: processes[name].cpu_s() for name in MEASURED}


def difference(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Return the processor time that was used between two measurements."""
    return {name: after[name] - before[name] for name in after}


def cpu_summary(spent: dict[str, float]) -> str:
    """Format the processor time of each process."""
    times = ", ".join(f"{name} {used_s:.2f}" for name, used_s in spent.items())
    return f"cpu seconds: {times}"


def minute_summary(cell: Cell, fire_s: int, *, spent: dict[str, float]) -> str:
    """Describe the deliveries of one fire time so far."""
    at = time.strftime("%H:%M", time.gmtime(fire_s))
    late_s = sorted(
        arrival.at_ms / 1000 - fire_s
        for arrival in list(cell.receiver.arrivals)
        if arrival.scheduled_ms == fire_s * 1000
    )
    if not late_s:
        return f"{at}: none delivered; {cpu_summary(spent)}"
    p50_s, p99_s = (late_s[int(len(late_s) * share)] for share in (0.5, 0.99))
    late = f"late p50 {p50_s:.2f} p99 {p99_s:.2f} max {late_s[-1]:.2f} s"
    return f"{at}: {len(late_s)} delivered, {late}; {cpu_summary(spent)}"


@main.command()
@click.option("--count", default=100_000, show_default=True, help="v1 events.")
def events(count: int) -> None:
    """Measure list queries and memory of v1 events, and claims with many due events."""
    with new_cell() as cell:
        measure(cell, count=count)
    click.echo(busy())


@main.command()
@click.option("--events", default=100_000, show_default=True, help="Events.")
@click.option("--dead", default=10_000, show_default=True, help="Dead letters of them.")
@click.option("--schedules", default=10_000, show_default=True, help="Schedules.")
def pages(events: int, dead: int, schedules: int) -> None:
    """Measure the pages of the dashboard with many events and schedules."""
    with new_cell() as cell:
        measure_pages(cell, Sizes(events, dead, schedules))
    click.echo(busy())


@dataclass(frozen=True)
class Rate:
    """Items per second, and the processor time per item, in µs."""

    per_s: float
    web_us: float
    store_us: float

    @property
    def cpu_us(self) -> float:
        """The processor time of web process and store together, per item.

        Unlike a rate, this time hardly depends on other work on the machine.
        """
        return self.web_us + self.store_us


@dataclass(frozen=True)
class Kind:
    """A kind of request to measure.

    `status` is the expected status of the responses. `counts` is the number of items
    in each request.
    """

    server: Process
    port: int
    request: bytes
    connections: int
    status: int
    counts: int = 1

    def measure(self, store: Process, *, seconds: float) -> Rate:
        """Send requests without a pause for some seconds; return the rate and times."""
        end_s, processes = time.monotonic() + seconds, (self.server, store)
        before = [process.cpu_s() for process in processes]
        requests = takewhile(lambda _: time.monotonic() < end_s, repeat(self.request))
        sent = send(requests, port=self.port, connections=self.connections)
        after = [process.cpu_s() for process in processes]
        check(sent, self.status)
        items = len(sent.responses) * self.counts
        web_us, store_us = (
            (now - then) * 1_000_000 / items
            for then, now in zip(before, after, strict=True)
        )
        return Rate(items / sent.took_s, web_us, store_us)


@main.command()
@click.option("--rounds", default=5, show_default=True, help="Rounds.")
@click.option("--seconds", default=4.0, show_default=True, help="Per round.")
def publish(rounds: int, seconds: float) -> None:
    """Measure publishing single messages and batches, compared with an empty view."""
    with new_cell() as cell:
        kinds = {
            "empty view": empty_view(cell),
            "publish": publishing(cell),
            "batch": batches(cell),
        }
        for kind in kinds.values():
            kind.measure(cell.store, seconds=WARM_UP_S)
        rates: dict[str, list[Rate]] = {name: [] for name in kinds}
        for number in range(rounds):
            for name, kind in kinds.items():
                rates[name].append(kind.measure(cell.store, seconds=seconds))
            latest = ", ".join(
                f"{name} {rates[name][-1].per_s:.0f}/s" for name in kinds
            )
            click.echo(f"round {number + 1}: {latest}; {busy()}")
    for name, measured in rates.items():
        per_s = median(rate.per_s for rate in measured)
        web_us = median(rate.web_us for rate in measured)
        store_us = median(rate.store_us for rate in measured)
        spent = f"cpu µs of each: web {web_us:.0f}, store {store_us:.0f}"
        click.echo(f"{name}: median {per_s:.0f}/s; {spent}")
    pairs = list(zip(rates["publish"], rates["empty view"], strict=True))
    ratios = {
        "rate": sorted(ours.per_s / empty.per_s for ours, empty in pairs),
        "cpu": sorted(empty.cpu_us / ours.cpu_us for ours, empty in pairs),
    }
    for name, values in ratios.items():
        span = f"{values[0]:.2f} to {values[-1]:.2f}"
        click.echo(f"publish to empty view, by {name}: {median(values):.2f} ({span})")


def empty_view(cell: Cell) -> Kind:
    """Start a view that only responds 200, on the same server as the web process."""
    port = free_port()
    line = PROCFILE["web"].replace("scheduler_api.app", "scripts.empty_view")
    process = cell.processes["empty"] = Process(
        ["sh", "-c", f"exec {line}"],
        environ=cell.environ | {"PORT": str(port)},
        log=Path(os.devnull),
    )
    process.start()
    wait_until(partial(listens, port))
    return replace(publishing(cell, path="/"), server=process, port=port, status=200)


def listens(port: int) -> bool:
    """Return whether a server accepts connections on the port."""
    with suppress(ConnectionRefusedError), create_connection(("127.0.0.1", port)):
        return True
    return False


def publishing(cell: Cell, *, path: str = "") -> Kind:
    """Return requests that publish a message for later: nothing is delivered now."""
    path = path or f"/v2/publish/{cell.receiver.url()}"
    request = request_of(cell, path, json.dumps(BODY).encode(), headers=LATER)
    return Kind(cell["web"], cell.settings.port, request, CONNECTIONS, 201)


def batches(cell: Cell) -> Kind:
    """Return requests that publish many messages with different bodies for later."""
    items = [
        {
            "destination": cell.receiver.url(),
            "headers": LATER,
            "body": json.dumps(BODY | {"order": number}),
        }
        for number in range(BATCH)
    ]
    body = json.dumps(items).encode()
    request = request_of(cell, "/v2/batch", body, headers=JSON)
    port, connections = cell.settings.port, CONNECTIONS_OF_BATCHES
    return Kind(cell["web"], port, request, connections, 200, BATCH)


def check(sent: Round, status: int) -> None:
    """Check that all responses have the expected status and contain no error.

    Raises: AssertionError.
    """
    for response in sent.responses:
        is_ok = response.status == status and b'"error"' not in response.body
        assert is_ok, response


if __name__ == "__main__":
    main()
