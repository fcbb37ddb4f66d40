"""Measures workloads, and compares the system with two simpler systems.

Deliveries are compared with a bare client, which only sends requests. Creations are
compared with an empty view, a Flask view that only responds 200. Run `scripts/bench` by
hand. All processes share the machine's cores, so ratios are more reliable than rates.
The compared systems take turns, and figures are medians over rounds.
"""

import click
import json
import shlex
import sys
import tempfile
from bench_figures import Row, System, made_by, table, to_json
from bench_growth import measure_growth, update_page
from bench_pending import idle, memory_of_messages, million
from bench_picture import draw, origin
from bench_sends import Place, burst, paced
from bench_sink import Sink, nginx_version
from bench_sizes import measure_sizes
from bench_sizes import update_page as update_sizes
from bench_soak import soak
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from load import CONNECTIONS, JSON, WARM_UP_S, Kind, Rate, empty_view, request_of
from pathlib import Path
from rich.console import Console
from scheduler_api.core.timestamps import to_iso
from tests.system.cell import Cell
from typing import Any

RATES = (200, 1_000)
TOMORROW_MS = 86_400_000
COLUMNS = 100
GROWTH = (1_000, 10_000, 100_000, 1_000_000)


@dataclass(frozen=True)
class Sizes:
    """The sizes of the workloads."""

    rounds: int
    burst: int
    paced_s: float
    create_s: float
    pending: int
    idle_s: float


FULL = Sizes(5, burst=10_000, paced_s=20, create_s=4, pending=1_000_000, idle_s=60)
QUICK = Sizes(1, burst=2_000, paced_s=5, create_s=1, pending=20_000, idle_s=5)

Results = tuple[list[Row], list[System]]
File = click.Path(path_type=Path, dir_okay=False)


@contextmanager
def new_cell() -> Iterator[Cell]:
    """Create a system in which only the store is started."""
    scratch = tempfile.TemporaryDirectory(prefix="bench-")
    with scratch as folder, Cell(Path(folder)) as cell:
        yield cell


@contextmanager
def new_place() -> Iterator[Place]:
    """Create a system and a sink, an nginx that receives the deliveries."""
    scratch = tempfile.TemporaryDirectory(prefix="bench-")
    with scratch as folder, new_cell() as cell, Sink(Path(folder)) as sink:
        yield Place(cell, sink)


def sends(sizes: Sizes) -> Results:
    """Measure the burst and paced workloads."""
    with new_place() as place:
        place.start()
        rows, systems = burst(place, events=sizes.burst, rounds=sizes.rounds)
        for per_s in RATES:
            more_rows, more_systems = paced(
                place, per_s=per_s, seconds=sizes.paced_s, rounds=sizes.rounds
            )
            rows += more_rows
            systems += more_systems
    return rows, systems


def creating(sizes: Sizes) -> list[Row]:
    """Measure the creation of single events over HTTP, compared with an empty view."""
    with new_cell() as cell:
        cell.start("web")
        kinds = {"events": events(cell), "empty view": empty_view(cell)}
        for kind in kinds.values():
            kind.measure(cell.store, seconds=WARM_UP_S)
        rates: dict[str, list[Rate]] = {name: [] for name in kinds}
        for number in range(sizes.rounds):
            for name, kind in kinds.items():
                rates[name].append(kind.measure(cell.store, seconds=sizes.create_s))
            latest = "; ".join(
                f"{name} {r[-1].per_s:,.0f}/s" for name, r in rates.items()
            )
            click.echo(
                f"create, round {number + 1} of {sizes.rounds}: {latest}", err=True
            )
    ours, beside = rates["events"], rates["empty view"]
    return [
        Row.of_rounds(
            "create, /api/events",
            figure,
            [getattr(rate, name) for rate in ours],
            beside=[getattr(rate, name) for rate in beside],
            of="empty view",
        )
        for name, figure in (("per_s", "per s"), ("cpu_us", "cpu µs of each"))
    ]


def events(cell: Cell) -> Kind:
    """Return requests that create events for tomorrow, so that nothing is delivered."""
    body = {
        "destination": "https://customer.example.com/hooks/orders",
        "payload": "x" * 100,
        "scheduledTime": to_iso(cell.events.cell.now_ms() + TOMORROW_MS),
    }
    headers = JSON | {"x-api-key": cell.token}
    request = request_of(
        cell, "/api/events", json.dumps(body).encode(), headers=headers
    )
    return Kind(cell["web"], cell.settings.port, request, CONNECTIONS, 200)


def pending(sizes: Sizes) -> list[Row]:
    """Measure memory, claims and idling with many pending events."""
    with new_cell() as cell:
        messages = memory_of_messages(cell, count=sizes.pending)
    with new_cell() as cell:
        rows = million(cell, count=sizes.pending, rounds=sizes.rounds)
        rows.append(idle(cell, count=sizes.pending, seconds=sizes.idle_s))
    return [messages, *rows]


def versions() -> dict[str, str]:
    """Return the versions of the store and the sink."""
    sink = nginx_version()
    with new_cell() as cell:
        server = cell.client.info("server")
    return {"Valkey": str(server["valkey_version"]), "nginx": sink}


@click.group(invoke_without_command=True)
@click.pass_context
@click.option("--quick", is_flag=True, help="Small sizes, one round: two minutes.")
@click.option("--rounds", type=click.IntRange(1), help="Default: 5, or 1 if quick.")
@click.option("--pending", type=click.IntRange(2_000), help="Events pending.")
@click.option("--json", "to", type=File, default=Path("bench.json"), show_default=True)
@click.option("--peers", type=File, help="Figures of other systems, for the picture.")
def main(
    context: click.Context,
    /,
    quick: bool,
    to: Path,
    peers: Path | None,
    **options: int | None,
) -> None:
    """Measure all workloads; write a table, a JSON file and a picture (.svg)."""
    if context.invoked_subcommand:
        return
    changes = {name: value for name, value in options.items() if value is not None}
    sizes = replace(QUICK if quick else FULL, **changes)
    made = made_by(_command(), versions())
    rows, systems = sends(sizes)
    rows += creating(sizes) + pending(sizes)
    Console(width=COLUMNS).print(table(rows))
    _write(to, to_json(made, rows, systems))
    _draw(to, peers)


@main.command()
@click.argument("figures", type=File)
@click.option("--peers", type=File, help="Figures of other systems, for the picture.")
def picture(figures: Path, peers: Path | None) -> None:
    """Draw the figures of a JSON file as an .svg in the same folder."""
    _draw(figures, peers)


@main.command()
@click.option(
    "--most",
    "max_pending",
    default=GROWTH[-1],
    show_default=True,
    help="Most pending events.",
)
@click.option("--json", "to", type=File, default=Path("growth.json"), show_default=True)
@click.option("--page", type=File, help="A page whose table to replace.")
def growth(max_pending: int, to: Path, page: Path | None) -> None:
    """Measure with 1k, 10k, 100k and 1M pending events."""
    made = made_by(_command(), versions())
    with new_place() as place:
        counts = [count for count in GROWTH if count <= max_pending]
        figures = {"made_by": made, "rows": measure_growth(place, counts)}
    _write(to, figures)
    if page is not None:
        update_page(page, figures)


@main.command()
@click.option("--json", "to", type=File, default=Path("sizing.json"), show_default=True)
@click.option("--page", type=File, help="A page whose tables to replace.")
@click.option("--bench", type=File, default=Path("docs/bench.json"), show_default=True)
def sizes(to: Path, page: Path | None, bench: Path) -> None:
    """Measure what an event needs in the store: memory, append-only file."""
    made = made_by(_command(), versions())
    figures = {"made_by": made, "rows": measure_sizes(new_place)}
    _write(to, figures)
    if page is not None:
        update_sizes(page, json.loads(bench.read_text()), figures)


@main.command("soak")
@click.option("--minutes", default=10, show_default=True, type=click.IntRange(1))
def soaking(minutes: int) -> None:
    """Measure the memory of a busy worker, minute by minute."""
    with new_place() as place:
        place.start()
        soak(place, minutes=minutes)


def _command() -> str:
    return shlex.join(["scripts/bench", *sys.argv[1:]])


def _write(to: Path, figures: dict[str, Any]) -> None:
    to.write_text(json.dumps(figures, indent=1) + "\n")
    click.echo(f"written to {to}", err=True)


def _draw(figures: Path, peers: Path | None) -> None:
    to = figures.with_suffix(".svg")
    sources = [json.loads(path.read_text()) for path in (figures, peers) if path]
    to.write_text(from_json(sources))
    click.echo(f"drawn in {to}", err=True)


def from_json(sources: list[dict[str, Any]]) -> str:
    """Draw the figures of JSON files: first our figures, then figures of peers."""
    systems = [System(**system) for source in sources for system in source["systems"]]
    return draw(systems, [origin(source["made_by"]) for source in sources])


if __name__ == "__main__":
    main()
