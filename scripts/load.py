"""Measures a whole system on this machine: schedules, publishing, and finding events.

Run by `scripts/load`, by hand. All share the machine's cores: clients, receiver, store
and whatever else runs there. So ratios mean more than rates.
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
from pathlib import Path
from socket import create_connection
from statistics import median
from tests.system.cell import PROCFILE, Cell
from tests.system.observer import Accepted
from tests.system.processes import Process, free_port, wait_until
from tests.system.report import Report

MINUTE_S = 60
# What creating schedules has left behind is done by then.
CALM_S = 5
# The minute's last seconds are for looking.
LOOK_S = 2
MEASURED = ("ticker", "worker", "store")

# Many enough for two web processes, few enough that no request waits long.
CONNECTIONS, CONNECTIONS_OF_BATCHES = 32, 4
BATCH = 1_000
WARM_UP_S = 1.0
BODY = {"order": 4711, "customer": "c-0815", "lines": [1, 2, 3], "paid": True}
JSON = {"Content-Type": "application/json"}
LATER = JSON | {"Upstash-Delay": "1h"}


@contextmanager
def new_cell() -> Iterator[Cell]:
    """A system with a web process and a tenant that speaks QStash."""
    scratch = tempfile.TemporaryDirectory(prefix="load-")
    with scratch as folder, Cell(Path(folder)) as cell:
        cell.owner = replace(cell.owner, dialect="qstash")
        cell.start("web")
        yield cell


def ask(cell: Cell, path: str, body: bytes, *, headers: dict[str, str]) -> bytes:
    """A request of the cell's tenant."""
    return post(path, body, {"Authorization": f"Bearer {cell.token}", **headers})


@click.group()
def main() -> None:
    """Measure a whole system on this machine."""
    click.echo(f"{os.cpu_count()} cores, {busy()}")


def busy() -> str:
    """How busy the machine is."""
    return "load average {:.1f} {:.1f} {:.1f}".format(*os.getloadavg())


@main.command()
@click.option("--count", default=10_000, show_default=True, help="Of schedules.")
@click.option("--minutes", default=5, show_default=True, help="Whole ones, in turn.")
def schedules(count: int, minutes: int) -> None:
    """Schedules of every minute; ends with 1 unless each occurrence came once."""
    with new_cell() as cell:
        cell.start("ticker", "worker")
        ids = create_schedules(cell, count)
        first_s = (int(time.time() + CALM_S) // MINUTE_S + 1) * MINUTE_S
        fire_times_s = range(first_s, first_s + minutes * MINUTE_S, MINUTE_S)
        sleep_until(first_s - LOOK_S)
        start = before = cpu_s(cell)
        for fire_s in fire_times_s:
            sleep_until(fire_s + MINUTE_S - LOOK_S)
            after = cpu_s(cell)
            click.echo(tell_minute(cell, fire_s, spent=difference(before, after)))
            before = after
        cell["ticker"].terminate()
        report = Report(cell.tally(occurrences(ids, fire_times_s)))
    click.echo(f"{report}\ncpu seconds: {told(difference(start, before))}; {busy()}")
    sys.exit(1 if report.problems else 0)


def create_schedules(cell: Cell, count: int) -> list[str]:
    """Make schedules of every minute, over HTTP; answers their ids within."""
    url = cell.receiver.url().rstrip("?")
    path, headers = f"/v2/schedules/{url}", {"Upstash-Cron": "* * * * *"}
    request = ask(cell, path, b"tick", headers=headers)
    made = send(
        repeat(request, count), port=cell.settings.port, connections=CONNECTIONS
    )
    check(made, 200)
    click.echo(f"{count} schedules created over HTTP in {made.took_s:.0f} s")
    public_ids = [json.loads(answer.body)["scheduleId"] for answer in made.answers]
    return [public_id.removeprefix("scd_") for public_id in public_ids]


def occurrences(ids: list[str], fire_times_s: range) -> list[Accepted]:
    """What schedules are to send, by the ids that receivers see."""
    wanted = ((f"{each}.{fire_s}", fire_s) for fire_s in fire_times_s for each in ids)
    return [Accepted(each, f"msg_{each}", fire_s * 1000) for each, fire_s in wanted]


def sleep_until(at_s: float) -> None:
    """Sleep until the wall clock says so."""
    time.sleep(max(0.0, at_s - time.time()))


def cpu_s(cell: Cell) -> dict[str, float]:
    """Processor time that each measured process has used."""
    processes = {"store": cell.store} | cell.processes
    return {name: processes[name].cpu_s() for name in MEASURED}


def difference(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """What was used in between."""
    return {name: after[name] - before[name] for name in after}


def told(spent: dict[str, float]) -> str:
    """Processor time as people read it."""
    return ", ".join(f"{name} {used_s:.2f}" for name, used_s in spent.items())


def tell_minute(cell: Cell, fire_s: int, *, spent: dict[str, float]) -> str:
    """How the occurrences of one fire time went so far."""
    at = time.strftime("%H:%M", time.gmtime(fire_s))
    late_s = sorted(
        arrival.at_ms / 1000 - fire_s
        for arrival in list(cell.receiver.arrivals)
        if arrival.scheduled_ms == fire_s * 1000
    )
    if not late_s:
        return f"{at}: none delivered; cpu seconds: {told(spent)}"
    p50_s, p99_s = (late_s[int(len(late_s) * share)] for share in (0.5, 0.99))
    late = f"late p50 {p50_s:.2f} p99 {p99_s:.2f} max {late_s[-1]:.2f} s"
    return f"{at}: {len(late_s)} delivered, {late}; cpu seconds: {told(spent)}"


@main.command()
@click.option("--count", default=100_000, show_default=True, help="Of v1 events.")
def events(count: int) -> None:
    """Finding v1 events, their memory, and claims beside many entries in `due`."""
    with new_cell() as cell:
        measure(cell, count=count)
    click.echo(busy())


@dataclass(frozen=True)
class Rate:
    """What was done per second, and for how much processor time (µs) of each one."""

    per_s: float
    web_us: float
    store_us: float

    @property
    def cpu_us(self) -> float:
        """All of it; unlike a rate, other work on the machine hardly changes it."""
        return self.web_us + self.store_us


@dataclass(frozen=True)
class Kind:
    """One kind of request: who answers it, and how; what each one counts."""

    server: Process
    port: int
    request: bytes
    connections: int
    status: int
    counts: int = 1

    def measure(self, store: Process, *, seconds: float) -> Rate:
        """Ask for so long, without a pause."""
        end_s, watched = time.monotonic() + seconds, (self.server, store)
        before = [process.cpu_s() for process in watched]
        requests = takewhile(lambda _: time.monotonic() < end_s, repeat(self.request))
        went = send(requests, port=self.port, connections=self.connections)
        after = [process.cpu_s() for process in watched]
        check(went, self.status)
        done = len(went.answers) * self.counts
        web_us, store_us = (
            (now - then) * 1_000_000 / done
            for then, now in zip(before, after, strict=True)
        )
        return Rate(done / went.took_s, web_us, store_us)


@main.command()
@click.option("--rounds", default=5, show_default=True, help="Of each kind, in turn.")
@click.option("--seconds", default=4.0, show_default=True, help="Of each round.")
def publish(rounds: int, seconds: float) -> None:
    """Publishing one by one and in batches, next to a view that does nothing."""
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
    pairs = zip(rates["publish"], rates["empty view"], strict=True)
    ratios = [(made.per_s / e.per_s, e.cpu_us / made.cpu_us) for made, e in pairs]
    by_rate, by_cpu = (sorted(each) for each in zip(*ratios, strict=True))
    for what, each in (("rate", by_rate), ("cpu", by_cpu)):
        span = f"{each[0]:.2f} to {each[-1]:.2f}"
        click.echo(f"publish to empty view, by {what}: {median(each):.2f} ({span})")


def empty_view(cell: Cell) -> Kind:
    """A view that only answers, beside the web process and run in the same way."""
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
    """Whether somebody takes connections there."""
    with suppress(ConnectionRefusedError), create_connection(("127.0.0.1", port)):
        return True
    return False


def publishing(cell: Cell, *, path: str = "") -> Kind:
    """One message for later, so that nothing is delivered meanwhile."""
    path = path or f"/v2/publish/{cell.receiver.url()}"
    request = ask(cell, path, json.dumps(BODY).encode(), headers=LATER)
    return Kind(cell["web"], cell.settings.port, request, CONNECTIONS, 201)


def batches(cell: Cell) -> Kind:
    """The same messages, many at once; their bodies differ."""
    items = [
        {
            "destination": cell.receiver.url(),
            "headers": LATER,
            "body": json.dumps(BODY | {"order": number}),
        }
        for number in range(BATCH)
    ]
    body = json.dumps(items).encode()
    request = ask(cell, "/v2/batch", body, headers=JSON)
    port, connections = cell.settings.port, CONNECTIONS_OF_BATCHES
    return Kind(cell["web"], port, request, connections, 200, BATCH)


def check(went: Round, status: int) -> None:
    """Hold all answers to a status, and batches to items without an error.

    Raises: AssertionError.
    """
    for answer in went.answers:
        assert answer.status == status and b'"error"' not in answer.body, answer


if __name__ == "__main__":
    main()
