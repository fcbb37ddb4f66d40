"""Measures the memory of a worker under constant full load, minute by minute."""

import time
from bench_sends import WORKERS, Place
from click import echo
from collections import deque
from scheduler_api.core.model import Content, Draft
from scheduler_api.core.store import keys
from statistics import median

BODY = b'{"user":12345,"payload":"hello"}'
DEADLINE_MS = 10_000
# At each interval, if fewer than `BACKLOG` events are overdue, `BACKLOG` more events
# are created.
BACKLOG, REFILL_INTERVAL_S = 5_000, 0.5
# The store keeps the events of the last four batches. Older events have been
# delivered; they are deleted to save memory.
KEPT_BATCHES = 4
MINUTE_S = 60


def soak(place: Place, *, minutes: int) -> list[float]:
    """Return the median of the worker's resident memory, in MiB, for each minute.

    Prints a line per minute, with the delivery rate.
    """
    worker, run = place.cell[WORKERS[0]], place.sink.new_run()
    batches: deque[list[str]] = deque()
    medians: list[float] = []
    delivered = place.sink.arrived()
    for minute in range(minutes):
        end_s, samples = time.monotonic() + MINUTE_S, list[float]()
        while time.monotonic() < end_s:
            _refill(place, run, batches)
            samples.append(worker.memory_mib())
            time.sleep(REFILL_INTERVAL_S)
        medians.append(median(samples))
        before, delivered = delivered, place.sink.arrived()
        echo(
            f"minute {minute + 1}: {medians[-1]:.1f} MiB, max {max(samples):.1f}; "
            f"{(delivered - before) / MINUTE_S:,.0f} delivered per s"
        )
    return medians


def _refill(place: Place, run: str, batches: deque[list[str]]) -> None:
    cell = place.cell
    overdue = cell.client.zcard(keys.due(cell.prefix))
    if int(str(overdue)) >= BACKLOG:
        return
    now_ms = cell.events.cell.now_ms()
    drafts = [
        Draft(Content(place.sink.url(run, n, due_ms=now_ms), BODY), DEADLINE_MS)
        for n in range(BACKLOG)
    ]
    accepted = cell.events.create_many(cell.owner, drafts)
    batches.append([event.id for event in accepted])
    if len(batches) > KEPT_BATCHES:
        cell.events.forget(batches.popleft(), before_ms=now_ms)
