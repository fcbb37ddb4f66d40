"""Measures the pages of the dashboard with much data."""

import click
import requests
import time
from bench_pending import qstash
from collections.abc import Iterable
from dataclasses import replace
from load_events import TIMEOUTS
from scheduler_api.core import public_ids
from scheduler_api.core.batches import batches
from scheduler_api.core.cron.expression import FULL
from scheduler_api.core.flow_control.flow_keys import FlowKeys
from scheduler_api.core.flow_control.queues import Queues
from scheduler_api.core.model import Content, Draft, Outcome
from scheduler_api.core.store import codec
from scheduler_api.core.store.claims import claim
from scheduler_api.core.store.leases import Settlement
from scheduler_api.core.store.statistics import Counts, DestinationCounts
from statistics import median
from tests.sync_worker import new_sync_worker
from tests.system.cell import Cell
from typing import NamedTuple

DESTINATIONS = 1_000
BATCH = 100
REPEATS = 30
NOWHERE = "https://nowhere.example/"
HOUR_MS = 3_600_000
DEADLINE_MS = 10_000
FAILED = {"status": 503, "total_ms": 12}
DELIVERED = {"status": 200, "total_ms": 12}
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}


class Sizes(NamedTuple):
    """How much data there is. A tenth of the events are delivered."""

    events: int
    dead_letters: int
    schedules: int


def measure(cell: Cell, sizes: Sizes) -> None:
    """Create the data; measure and print what each page takes."""
    event_id = _create_events(cell, sizes)
    _create_queues(cell)
    _count_attempts(cell)
    schedule_id = _create_schedules(cell, sizes.schedules)
    click.echo(
        f"{sizes.events:,} events, {sizes.dead_letters:,} of them dead letters,"
        f" {sizes.schedules:,} schedules, {DESTINATIONS:,} destinations"
    )
    with requests.Session() as session:
        base = f"http://127.0.0.1:{cell.settings.port}"
        answer = session.post(
            f"{base}/sign-in", data={"token": cell.token}, headers=OWN_PAGE, timeout=10
        )
        answer.raise_for_status()
        click.echo(
            f"{'page':<44} {'median ms':>9} {'web cpu':>8} {'store':>6} {'KiB':>5}"
        )
        for path in _paths(event_id, schedule_id):
            click.echo(_measure_page(cell, session, base, path))


def _paths(event_id: str, schedule_id: str) -> Iterable[str]:
    return (
        "/overview",
        "/events",
        "/events?status=scheduled",
        "/events?status=failed",
        f"/events?url={NOWHERE}",
        f"/events/{event_id}",
        "/schedules",
        f"/schedules?url={NOWHERE}",
        "/schedules?label=nowhere",
        f"/schedules/{schedule_id}",
        "/dead-letters",
        "/dead-letters?cause=refused",
        "/dead-letters?label=none",
        f"/dead-letters?url={NOWHERE}",
        "/dead-letters/matching?cause=refused",
        "/queues",
        "/queues/flow-control",
        "/destinations",
        "/create",
        "/settings/tokens",
        "/settings/keys",
    )


def _measure_page(cell: Cell, session: requests.Session, base: str, path: str) -> str:
    times_ms, size = [], 0
    before_us, before_s = _store_us(cell), cell["web"].cpu_s()
    for _ in range(REPEATS):
        started_s = time.perf_counter()
        answer = session.get(base + path, timeout=30)
        times_ms.append((time.perf_counter() - started_s) * 1_000)
        answer.raise_for_status()
        size = len(answer.content)
    store_ms = (_store_us(cell) - before_us) / REPEATS / 1_000
    cpu_ms = (cell["web"].cpu_s() - before_s) / REPEATS * 1_000
    return (
        f"{path:<44} {median(times_ms):>9.1f} {cpu_ms:>8.1f} {store_ms:>6.2f}"
        f" {size / 1024:>5.0f}"
    )


def _store_us(cell: Cell) -> int:
    """Return the time that the store has spent in commands so far, but for INFO."""
    stats = cell.client.info("commandstats")
    return sum(each["usec"] for name, each in stats.items() if name != "cmdstat_info")


def _create_events(cell: Cell, sizes: Sizes) -> str:
    """Create events that end, then pending ones; return the id of a dead letter."""
    owner = replace(cell.owner, dialect="qstash")
    delivered, dead = sizes.events // 10, sizes.dead_letters
    _end(cell, range(delivered), Outcome.DELIVERED)
    _end(cell, range(delivered, delivered + dead), Outcome.DEAD)
    tomorrow_ms = cell.events.cell.now_ms() + 24 * HOUR_MS
    for numbers in batches(range(delivered + dead, sizes.events), BATCH):
        drafts = [_draft(number, tomorrow_ms + number) for number in numbers]
        cell.events.create_many(owner, drafts)
    [newest] = cell.events.create_many(owner, [_draft(0, tomorrow_ms)])
    return public_ids.event_id(owner, newest.id)


def _draft(number: int, at_ms: int) -> Draft:
    return qstash(_url(number), at_ms)


def _url(number: int) -> str:
    return f"https://d{number % DESTINATIONS}.example.com/hooks/orders?n={number}"


def _end(cell: Cell, numbers: range, outcome: Outcome) -> None:
    """Create due events, and end them as a worker does; nothing is sent."""
    owner = replace(cell.owner, dialect="qstash")
    worker = new_sync_worker(cell.client, cell.prefix)
    attempt = DELIVERED if outcome is Outcome.DELIVERED else FAILED
    for batch in batches(numbers, BATCH):
        now_ms = cell.events.cell.now_ms()
        cell.events.create_many(owner, [_draft(each, now_ms) for each in batch])
        begun = worker.begin(
            *claim(cell.events.cell, room=BATCH, timeouts=TIMEOUTS).ids
        )
        log_entry = codec.encode_attempt({"started_ms": now_ms, **attempt})
        worker.settle(
            *(
                Settlement(each.id, each.token, each.attempt, outcome, log_entry)
                for each in begun
            )
        )


def _create_schedules(cell: Cell, count: int) -> str:
    """Create schedules; return the stored id of the last one."""
    owner = replace(cell.owner, dialect="qstash")
    for number in range(count):
        schedule = cell.schedules.create(
            *(owner, Content(_url(number), b"tick")),
            expression=f"{number % 60} 3 * * *",
            tz="Europe/Berlin",
            grammar=FULL,
            deadline_ms=DEADLINE_MS,
        )
    return schedule.id


def _create_queues(cell: Cell) -> None:
    owner = replace(cell.owner, dialect="qstash")
    queues, flow_keys = Queues(cell.events.cell), FlowKeys(cell.events.cell)
    for number in range(DESTINATIONS):
        queues.put(owner, f"queue-{number}", parallelism=1, paused=False)
        flow_keys.pin(owner, f"key-{number}", parallelism=1)


def _count_attempts(cell: Cell) -> None:
    """Count an attempt at each destination, as a worker does."""
    counted = Counts(delivered=DESTINATIONS)
    counted.destinations = {
        f"https://d{number}.example.com": DestinationCounts(delivered=1)
        for number in range(DESTINATIONS)
    }
    worker = new_sync_worker(cell.client, cell.prefix)
    worker.add_counts({cell.owner.tenant: counted})
