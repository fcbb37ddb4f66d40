"""Measures what an event needs in the store: memory, and bytes of its append-only file.

Writes the model of docs/sizing.md, whose other figures are those of the other benches.
"""

import time
from bench_figures import replace_table, rounded
from bench_pending import DIALECTS
from bench_picture import origin
from bench_sends import WORKERS, Place
from click import echo
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from load_events import used_bytes
from pathlib import Path
from random import Random
from typing import Any

EVENTS, OVER_S, LEAD_S, WARM_UP, IDLE_S = 10_000, 40, 15, 500, 10
DAY_S, RETENTION_DAYS = 86_400, 7
# What the store of the example uses; a rewrite of the file may need as much again.
USED_BYTES = 8 * 10**9
# The rate of the example.
PER_S = 100
# The role, and the workload and figure of scripts/bench with its processor time.
ROLES = {
    "store": ("burst, 1 worker", "cpu µs of each: store"),
    "worker": ("burst, 1 worker", "cpu µs of each: worker"),
    "ticker": ("burst, 1 worker", "cpu µs of each: ticker"),
    "web, a request for each event": ("create, /api/events", "cpu µs of each"),
}
NAMES = {"jiter": "Jiter", "qstash": "QStash"}

Figures = Mapping[str, Any]


def measure_sizes(
    new_place: Callable[[], AbstractContextManager[Place]],
) -> list[dict[str, Any]]:
    """Measure a row of figures for each dialect."""
    rows = []
    for dialect in DIALECTS:
        with new_place() as place:
            rows.append(_measure(place, dialect))
            echo(f"{dialect}: {rows[-1]}", err=True)
    return rows


def _measure(place: Place, dialect: str) -> dict[str, Any]:
    """Deliver events at random times; return what each needs.

    What the processes write while nothing is due is not counted.
    """
    cell = place.cell
    # A rewrite of the file makes it shorter.
    cell.client.config_set("auto-aof-rewrite-percentage", 0)
    cell.start("ticker", WORKERS[0])
    _deliver(place, dialect, events=WARM_UP, over_s=1)
    before, began_s = _file_bytes(place), time.monotonic()
    time.sleep(IDLE_S)
    idle_per_s = (_file_bytes(place) - before) / (time.monotonic() - began_s)
    empty = used_bytes(cell)
    before, began_s = _file_bytes(place), time.monotonic()
    pending = _deliver(place, dialect, events=EVENTS, over_s=OVER_S)
    took_s = time.monotonic() - began_s
    written = _file_bytes(place) - before - idle_per_s * took_s
    return {
        "dialect": dialect,
        "pending_bytes": (pending - empty) / EVENTS,
        "finished_bytes": (used_bytes(cell) - empty) / EVENTS,
        "file_bytes": written / EVENTS,
        "idle_file_bytes_per_s": idle_per_s,
    }


def _deliver(place: Place, dialect: str, *, events: int, over_s: float) -> int:
    """Deliver events; return the memory that the store used before they were due."""
    cell, run = place.cell, place.sink.new_run()
    start_ms, random = cell.events.cell.now_ms() + 1_000 * LEAD_S, Random(events)
    times_ms = [start_ms + random.randrange(int(1_000 * over_s)) for _ in range(events)]
    drafts = [
        DIALECTS[dialect](place.sink.url(run, number, due_ms=at_ms), at_ms)
        for number, at_ms in enumerate(times_ms)
    ]
    cell.events.create_many(replace(cell.owner, dialect=dialect), drafts)
    used = used_bytes(cell)
    assert cell.events.cell.now_ms() < start_ms, (
        "events were due before all were stored"
    )
    cell.wait_drained(within_s=2 * LEAD_S + 5 * over_s)
    return used


def _file_bytes(place: Place) -> int:
    return int(place.cell.client.info("persistence")["aof_current_size"])


def markdown(bench: Figures, sizes: Figures) -> str:
    """Return the tables of the page, and below them how they were measured.

    Args:
        bench: the figures of `scripts/bench`.
        sizes: those of `measure_sizes`.
    """
    made = [f"`{origin(each['made_by'])}`" for each in (bench, sizes)]
    parts = (_rates(bench), _bytes(bench, sizes), _limits(bench, sizes), *made)
    return "\n\n".join(parts)


def _rates(bench: Figures) -> str:
    rows = [("process", "its processor time for an event, µs", "events per s and core")]
    for role, (workload, figure) in ROLES.items():
        took_us = _figure(bench, workload, figure)
        rows.append((role, rounded(took_us), _round(1_000_000 / took_us)))
    mib = _figure(bench, "burst", "MiB of a worker, end")
    return (
        f"{_table(rows)}\n\nA worker takes {_round(mib)} MiB of memory after a burst."
    )


def _bytes(bench: Figures, sizes: Figures) -> str:
    """Return what an event needs in the store, in bytes."""
    rows = [("in the store, bytes for each event", *NAMES.values())]
    pending = [_pending_bytes(bench, name) for name in NAMES.values()]
    rows.append(("memory, while it is pending", *map(_round, pending)))
    for figure, text in (
        ("finished_bytes", "memory, after it was delivered"),
        ("file_bytes", "append-only file, in all"),
    ):
        found = (_of_dialect(sizes, name)[figure] for name in NAMES)
        rows.append((text, *map(_round, found)))
    return _table(rows)


def _limits(bench: Figures, sizes: Figures) -> str:
    """Return where one store ends."""
    kept_bytes = [_of_dialect(sizes, name)["finished_bytes"] for name in NAMES]
    kept = [USED_BYTES / each for each in kept_bytes]
    pending = [USED_BYTES / _pending_bytes(bench, name) for name in NAMES.values()]
    per_s = 1_000_000 / _figure(bench, *ROLES["store"])
    rows = [
        ("where one store ends", *NAMES.values()),
        ("events per s, with its thread fully used", _round(per_s), _round(per_s)),
        ("pending events in 8 GB of memory", *map(_round, pending)),
        ("or finished events", *map(_round, kept)),
        (
            f"events per s, if they are kept for {RETENTION_DAYS} days in 8 GB",
            *(_round(each / RETENTION_DAYS / DAY_S) for each in kept),
        ),
        (
            f"append-only file at {PER_S} events per s, MB per s",
            *(
                rounded(_of_dialect(sizes, name)["file_bytes"] * PER_S / 1e6)
                for name in NAMES
            ),
        ),
    ]
    return _table(rows)


def _figure(bench: Figures, workload: str, figure: str) -> float:
    [found] = [
        row["ours"]
        for row in bench["rows"]
        if (row["workload"], row["figure"]) == (workload, figure)
    ]
    return float(found)


def _pending_bytes(bench: Figures, name: str) -> float:
    [found] = [
        row["ours"]
        for row in bench["rows"]
        if row["workload"].startswith("memory") and row["workload"].endswith(name)
    ]
    return float(found)


def _of_dialect(sizes: Figures, dialect: str) -> Figures:
    found: Figures
    [found] = [row for row in sizes["rows"] if row["dialect"] == dialect]
    return found


def _round(figure: float) -> str:
    """Format a figure with two significant digits: the model is not exact."""
    return f"{float(f'{figure:.2g}'):,.0f}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    aligned = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, aligned, *body))


def update_page(page: Path, bench: Figures, sizes: Figures) -> None:
    """Write the tables into a page, and say so."""
    replace_table(page, markdown(bench, sizes))
    echo(f"tables written to {page}", err=True)
