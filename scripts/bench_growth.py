"""Measures a system with more and more pending events; writes a table into a page."""

from bench_figures import replace_table, rounded
from bench_pending import fill, idle
from bench_picture import origin
from bench_sends import Place, paced
from click import echo
from collections.abc import Sequence
from load_events import claim_us, create_us
from pathlib import Path
from typing import Any

CLAIMS = CREATIONS = 20
BURST, PER_S, PACED_S, IDLE_S = 5_000, 200, 10, 20
COLUMNS = {
    "pending": "pending",
    "bytes_each": "memory, bytes each",
    "create_us": "create, store µs",
    "claim_us": "claim of 100, store µs",
    "drain_per_s": "burst, drained per s",
    "late_p50_ms": "paced 200/s, p50 ms",
    "late_p99_ms": "p99 ms",
    "idle_percent": "idle, % of a core",
}


def measure_growth(place: Place, counts: Sequence[int]) -> list[dict[str, float]]:
    """Measure a row of figures for each number of pending events, smallest first."""
    rows: list[dict[str, float]] = []
    existing, used_bytes = 0, 0.0
    for count in counts:
        used_bytes += fill(place.cell, count, existing=existing) * (count - existing)
        existing = count
        echo(f"{count:,} pending", err=True)
        rows.append(_measure(place, count, bytes_each=used_bytes / count))
    return rows


def _measure(place: Place, count: int, *, bytes_each: float) -> dict[str, float]:
    # Measure claims before the ticker starts: the ticker would claim the same events.
    create, claim = create_us(place.cell, CREATIONS), claim_us(place.cell, CLAIMS)
    idling = idle(place.cell, count=count, seconds=IDLE_S)
    place.start()
    drain_per_s = place.ours([0] * BURST).drain_per_s
    late, _ = paced(place, per_s=PER_S, seconds=PACED_S, rounds=1)
    place.stop()
    return {
        "pending": count,
        "bytes_each": bytes_each,
        "create_us": create,
        "claim_us": claim,
        "drain_per_s": drain_per_s,
        "late_p50_ms": late[0].ours,
        "late_p99_ms": late[1].ours,
        "idle_percent": idling.ours,
    }


def markdown(figures: dict[str, Any]) -> str:
    """Return a Markdown table, and below it a line on how it was measured."""
    lines = [list(COLUMNS.values()), ["---:"] * len(COLUMNS)]
    lines += [[rounded(row[name]) for name in COLUMNS] for row in figures["rows"]]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table}\n\n`{origin(figures['made_by'])}`"


def update_page(page: Path, figures: dict[str, Any]) -> None:
    """Write the table into a page, and say so."""
    replace_table(page, markdown(figures))
    echo(f"table written to {page}", err=True)
