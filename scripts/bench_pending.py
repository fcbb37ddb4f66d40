"""Measures the cost of many pending events: memory, claims, idle processor time."""

import time
from bench_figures import Row
from click import echo
from collections.abc import Callable, Iterator
from dataclasses import replace
from load_events import claim_us, used_bytes
from scheduler_api.core.model import Content, Draft
from scheduler_api.dialects.qstash.parsing.message import Message, to_options
from tests.system.cell import Cell

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
BODY = b"x" * 100
DEADLINE_MS = 10_000
BATCH = 10_000
FEW = 1_000
CLAIMS = 100
# How long to wait after starting the processes, until they are ready.
SETTLED_AFTER_S = 3.0
IDLING = ("ticker", "worker-1")
# Like a message that a client publishes with a JSON body and no options.
MESSAGE = Message(content_type="application/json", caller_ip="127.0.0.1")


def jiter(url: str, at_ms: int) -> Draft:
    """Return a pending event like those that Jiter's API creates."""
    return Draft(Content(url, BODY), DEADLINE_MS, at_ms=at_ms, ascending=True)


def qstash(url: str, at_ms: int) -> Draft:
    """Return a pending message like those that QStash's API creates."""
    content = Content(url, BODY, to_options(MESSAGE))
    return Draft(content, DEADLINE_MS, at_ms=at_ms, journal=True)


DIALECTS: dict[str, Callable[[str, int], Draft]] = {"jiter": jiter, "qstash": qstash}


def _url(number: int) -> str:
    return f"https://customer.example.com/hooks/orders?n={number:08}"


def fill(cell: Cell, count: int, *, dialect: str = "jiter", existing: int = 0) -> float:
    """Create events for tomorrow until `count` exist.

    Returns the average memory of a created event in the store, in bytes.
    """
    owner = replace(cell.owner, dialect=dialect)
    tomorrow_ms, before = cell.events.cell.now_ms() + DAY_MS, used_bytes(cell)
    started_s = time.monotonic()
    for stop, numbers in _batches(existing, count):
        drafts = [
            DIALECTS[dialect](_url(n), tomorrow_ms + n * HOUR_MS // count)
            for n in numbers
        ]
        cell.events.create_many(owner, drafts)
        if stop % (10 * BATCH) == 0:
            took_s = time.monotonic() - started_s
            echo(f"{dialect}: {stop:,} of {count:,} stored, {took_s:.0f} s", err=True)
    return (used_bytes(cell) - before) / (count - existing)


def _batches(start: int, stop: int) -> Iterator[tuple[int, range]]:
    for first in range(start, stop, BATCH):
        last = min(first + BATCH, stop)
        yield last, range(first, last)


def memory_of_messages(cell: Cell, *, count: int) -> Row:
    """Measure the store's memory for each pending message of QStash."""
    bytes_each = fill(cell, count, dialect="qstash")
    name = f"memory, {count:,} pending, QStash"
    return Row(name, "bytes each", bytes_each, [bytes_each])


def million(cell: Cell, *, count: int, rounds: int) -> list[Row]:
    """Measure how much of the store's memory a pending event of Jiter needs.

    Also measures how long a claim takes with few and with many pending events.
    """
    fill(cell, FEW)
    few_us = [claim_us(cell, CLAIMS) for _ in range(rounds)]
    bytes_each = fill(cell, count, existing=FEW)
    many_us = [claim_us(cell, CLAIMS) for _ in range(rounds)]
    name = f"memory, {count:,} pending, Jiter"
    memory = Row(name, "bytes each", bytes_each, [bytes_each])
    claim = Row.of_rounds(
        f"claim of 100 beside {count:,}",
        "store µs",
        many_us,
        beside=few_us,
        of=f"beside {FEW:,}",
    )
    return [memory, claim]


def idle(cell: Cell, *, count: int, seconds: float) -> Row:
    """Measure the processor time of ticker and worker while nothing is due."""
    cell.start(*IDLING)
    time.sleep(SETTLED_AFTER_S)
    before_s, started_s = _cpu_s(cell), time.monotonic()
    echo(f"idle for {seconds:.0f} s", err=True)
    time.sleep(seconds)
    spent_s = _cpu_s(cell) - before_s
    percent = 100 * spent_s / (time.monotonic() - started_s)
    for name in IDLING:
        cell[name].terminate()
    return Row(f"idle, {count:,} pending", "% of a core", percent, [percent])


def _cpu_s(cell: Cell) -> float:
    return sum(cell[name].cpu_s() for name in IDLING)
