"""Runs a complete system under load and checks that it does not grow over time.

`scripts/soak` runs this module. Two of five destinations fail: they respond 500, refuse
connections, or never respond. Finished events are deleted after a minute, so after a
few minutes each figure should stay where it is.
"""

import click
import itertools
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from load import JSON, check, request_of
from load_client import Response, send
from pathlib import Path
from scheduler_api.core.model import FINAL_STATES
from scheduler_api.core.store import keys
from scheduler_api.core.timestamps import to_iso
from soak_census import Census, census, trends
from tests.system.arrivals import Receiver
from tests.system.cell import Cell
from tests.system.key_audit import ownerless
from tests.system.processes import free_port, wait_until
from typing import cast
from workers.chores import delete_finished

MINUTE_S = 60
KEPT_MS = 60_000
# How often old events are deleted.
DELETE_INTERVAL_S = 5.0
BURST, BATCH = 10_000, 500
# How many destinations fail in each way. Each gets fewer attempts per second than the
# trickle that a slowed destination still gets; otherwise its events pile up.
DESTINATIONS, REFUSING = 2_000, 390
FAILING = {"status=500": 390, "hang=1": 20}
# A part of the destinations, in the same mixture, also get a recurring event.
RECURRING = 100
RETRIES, FAILING_SHARE = 2, 0.4
# Attempts of an event, on average.
ATTEMPTS = 1 + FAILING_SHARE * RETRIES
CONNECTIONS = 2
SETTINGS = {
    "SCHED_QSTASH_DEDUPLICATION_MS": str(KEPT_MS),
    "SCHED_QSTASH_LONGEST_HOLD_MS": "5000",
    "SCHED_JITER_LONGEST_HOLD_MS": "5000",
    "SCHED_V1_LONGEST_HOLD_MS": "5000",
    "SCHED_JITER_TIMEOUT_MS": "1000",
    "SCHED_V1_TIMEOUT_MS": "1000",
}


class Load:
    """Context manager that creates events at a rate, and deletes the finished ones.

    Attributes:
        accepted: how many messages were created.
        refused: the responses that are no success.
    """

    def __init__(self, cell: Cell, *, per_s: int) -> None:
        self.accepted = 0
        self.refused: list[Response] = []
        self._cell = cell
        self._per_s = per_s
        self._urls = itertools.cycle(destinations(cell.receiver))
        self._numbers = itertools.count()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=run, daemon=True)
            for run in (self._create, self._delete)
        ]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def is_running(self) -> bool:
        """Whether neither creating nor deleting has failed."""
        return all(thread.is_alive() for thread in self._threads)

    def _create(self) -> None:
        for second in itertools.count(int(time.monotonic()) + 1):
            if self._stopping.wait(max(0.0, second - time.monotonic())):
                return
            requests = self._requests()
            port = self._cell.settings.port
            sent = send(requests, port=port, connections=CONNECTIONS)
            self.refused += [r for r in sent.responses if is_refused(r)]
            self.accepted += self._per_s

    def _requests(self) -> Iterator[bytes]:
        """Return the requests of a second: a single event, a batch of the others."""
        urls = list(itertools.islice(self._urls, self._per_s - 1))
        later = to_iso(self._cell.events.cell.now_ms() + 1_000)
        url = self._cell.receiver.url()
        event = {"payload": "soak", "destination": url, "scheduledTime": later}
        yield json_request(self._cell, "/api/events", event)
        yield batch(self._cell, urls, self._numbers)

    def _delete(self) -> None:
        kept_ms = dict.fromkeys(FINAL_STATES, KEPT_MS)
        while not self._stopping.wait(DELETE_INTERVAL_S):
            now_ms = self._cell.events.cell.now_ms()
            delete_finished(self._cell.events.cell, kept_ms, now_ms=now_ms)


def is_refused(response: Response) -> bool:
    """Whether a request was refused, or an item of a batch."""
    return response.status >= 300 or b'"error"' in response.body


def hosts() -> list[str]:
    """Return the hosts of the destinations."""
    return [f"127.0.{n // 250 + 1}.{n % 250 + 1}" for n in range(DESTINATIONS)]


def destinations(receiver: Receiver) -> list[str]:
    """Return the URLs of the destinations, each of another origin, mixed."""
    queries = [query for query, count in FAILING.items() for _ in range(count)]
    healthy = DESTINATIONS - len(queries) - REFUSING
    queries += [""] * healthy
    urls = [
        receiver.url(query, host=host)
        for query, host in zip(queries, hosts(), strict=False)
    ]
    port = free_port()
    urls += [f"http://{host}:{port}/" for host in hosts()[len(queries) :]]
    random.Random(0).shuffle(urls)
    return urls


def batch(cell: Cell, urls: Sequence[str], numbers: Iterator[int]) -> bytes:
    """Encode a request that publishes a message to each URL.

    The messages have short timeouts and few retries.
    """
    items = []
    for url, number in zip(urls, numbers, strict=False):
        headers = {
            "Upstash-Deduplication-Id": f"soak-{number}",
            "Upstash-Retries": str(RETRIES),
            "Upstash-Retry-Delay": "1000",
            "Upstash-Timeout": "1s",
        }
        if number % 10 == 0:
            headers["Upstash-Flow-Control-Key"] = f"key-{number % 100}"
            headers["Upstash-Flow-Control-Value"] = "parallelism=20"
        if number % 25 == 0:
            headers["Upstash-Failure-Callback"] = cell.receiver.url()
        body = {"payload": f"soak-{number}", "scheduledTime": to_iso(0)}
        items.append({"destination": url, "headers": headers, "body": json.dumps(body)})
    return json_request(cell, "/v2/batch", items)


def json_request(cell: Cell, path: str, body: object) -> bytes:
    """Encode a request with the token in the places that the dialects read."""
    headers = JSON | {"x-api-key": cell.token}
    return request_of(cell, path, json.dumps(body).encode(), headers=headers)


def create_recurring(cell: Cell, *, end_ms: int) -> None:
    """Create events of Scheduler v1, which fire every minute until `end_ms`."""
    event = {
        "eventOwner": "soak@example.com",
        "endDate": to_iso(end_ms),
        "interval": "* * * * *",
    }
    requests = [
        json_request(cell, "/v1/events", event | {"callbackUrl": url})
        for url in destinations(cell.receiver)[:RECURRING]
    ]
    sent = send(iter(requests), port=cell.settings.port, connections=CONNECTIONS)
    check(sent, 201)


def attempts_per_s(cell: Cell) -> float:
    """Return how many messages per second are published and delivered at most.

    They go to as many destinations as the load, of which none fails.
    """
    cell.warm_up()
    numbers = itertools.count(-BURST)
    urls = itertools.cycle(cell.receiver.url(host=each) for each in hosts())
    requests = [
        batch(cell, list(itertools.islice(urls, BATCH)), numbers)
        for _ in range(BURST // BATCH)
    ]
    started_s = time.monotonic()
    port = cell.settings.port
    check(send(iter(requests), port=port, connections=CONNECTIONS), 200)
    cell.wait_drained(within_s=120)
    return BURST / (time.monotonic() - started_s)


def active(cell: Cell) -> int:
    """Return how many events have not ended."""
    owners = cast(set[bytes], cell.client.smembers(keys.owners(cell.prefix)))
    names = [keys.by_time(cell.prefix, each.decode(), "active") for each in owners]
    return sum(cell.client.zcard(name) for name in names)


def summary(counted: Census) -> str:
    """Format the figures of a minute; of the keys, only the most frequent kinds."""
    kinds = {name: n for name, n in counted.items() if name.endswith(" keys")}
    rest = [f"{name} {n:.0f}" for name, n in counted.items() if name not in kinds]
    most = sorted(kinds, key=lambda name: -kinds[name])[:8]
    frequent = [f"{name} {kinds[name]:.0f}" for name in most]
    return ", ".join([*rest, f"keys {sum(kinds.values()):.0f}", *frequent])


@click.command()
@click.option("--minutes", default=30, show_default=True, type=click.IntRange(10))
@click.option(
    "--per-s", type=click.IntRange(3), help="Events per second; else half of the most."
)
def main(minutes: int, per_s: int | None) -> None:
    """Print each minute what a system uses; exit with 1 if anything does not stay flat.

    The most is measured first: how many messages to as many destinations, of which none
    fails, the system accepts and delivers.
    """
    scratch = tempfile.TemporaryDirectory(prefix="soak-")
    with scratch as folder, Cell(Path(folder), **SETTINGS) as cell:
        cell.receiver.close()
        cell.receiver = Receiver(everywhere=True)
        cell.start("web", "ticker", "worker", "clock", "chores")
        if per_s is None:
            most = attempts_per_s(cell)
            per_s = int(most / 2 / ATTEMPTS)
            click.echo(f"at most {most:.0f} attempts per s")
        click.echo(f"{per_s} events per s, {ATTEMPTS} attempts each")
        problems = soak(cell, minutes=minutes, per_s=per_s)
    for problem in problems:
        click.echo(f"failed: {problem}")
    sys.exit(1 if problems else 0)


def soak(cell: Cell, *, minutes: int, per_s: int) -> list[str]:
    """Run the load; return what rises, which keys nothing removes, and what failed."""
    counted: list[Census] = []
    end_ms = cell.events.cell.now_ms() + minutes * MINUTE_S * 1_000
    create_recurring(cell, end_ms=end_ms)
    with Load(cell, per_s=per_s) as load:
        for minute in range(1, minutes + 1):
            cell.receiver.arrivals.clear()
            time.sleep(MINUTE_S)
            if not load.is_running():
                return ["the load has ended"]
            counted.append(census(cell))
            requests = f"{len(cell.receiver.arrivals) / MINUTE_S:.0f} requests per s"
            click.echo(f"minute {minute}: {requests}, {summary(counted[-1])}")
    found = trends(counted)
    for trend in found:
        click.echo(str(trend))
    click.echo(f"{load.accepted} events created")
    wait_until(lambda: active(cell) == 0, within_s=180)
    problems = [str(trend) for trend in found if not trend.is_flat]
    problems += [f"{each.status} {each.body[:200]!r}" for each in load.refused[:5]]
    return problems + ownerless(cell.events.cell)[:20]


if __name__ == "__main__":
    main()
