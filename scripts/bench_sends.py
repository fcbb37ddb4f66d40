"""The burst and paced workloads: events due all at once, or at random times."""

import json
import subprocess
import sys
import time
from bench_arrivals import RunResult
from bench_bare import BODY
from bench_figures import NAME, Row, System, our_version
from bench_sink import Sink
from click import ClickException, echo
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from random import Random
from scheduler_api.core.model import Content, Draft
from statistics import median
from tests.system.cell import Cell

DEADLINE_MS = 10_000
# The first event of a run is due after this time, so that the bare client can start.
LEAD_MS = 3_000
STORED_PER_S = 2_000
DRAINED_PER_S = 100
WARM_UP = 100
BARE = Path(__file__).with_name("bench_bare.py")
WORKERS = ("worker-1", "worker-2")
MEASURED = ("ticker", "worker-1", "store")
BARE_NAME = "bare client"

Contender = Callable[[Sequence[int]], RunResult]


@dataclass(frozen=True)
class Place:
    """A system with one or two workers, and the sink that receives its deliveries."""

    cell: Cell
    sink: Sink

    def start(self) -> None:
        """Start ticker and worker, and deliver some events to warm up."""
        self.cell.start("ticker", WORKERS[0])
        self.ours([0] * WARM_UP)

    def stop(self) -> None:
        """Stop ticker and worker."""
        for name in ("ticker", WORKERS[0]):
            self.cell[name].terminate()

    def ours(self, offsets_ms: Sequence[int]) -> RunResult:
        """Deliver events that are due at these offsets from a start in the future.

        Raises: ClickException, if the start passes before all events are created.
        """
        run, store = self.sink.new_run(), self.cell.events
        lead_ms = LEAD_MS + len(offsets_ms) * 1_000 // STORED_PER_S
        start_ms = store.cell.now_ms() + lead_ms
        drafts = [
            Draft(
                Content(self.sink.url(run, n, due_ms=start_ms + offset), BODY),
                DEADLINE_MS,
                at_ms=start_ms + offset,
                ascending=True,
            )
            for n, offset in enumerate(offsets_ms)
        ]
        store.create_many(self.cell.owner, drafts)
        if store.cell.now_ms() >= start_ms:
            raise ClickException("the events were due before all of them were stored")
        return self._wait(run, offsets_ms, start_ms)

    def bare(self, offsets_ms: Sequence[int]) -> RunResult:
        """Send the same requests with the bare client."""
        run, start_ms = self.sink.new_run(), time.time_ns() // 1_000_000 + LEAD_MS
        posts = [
            (start_ms + offset, self.sink.url(run, n, due_ms=start_ms + offset))
            for n, offset in enumerate(offsets_ms)
        ]
        subprocess.run(
            [sys.executable, str(BARE)], input=json.dumps(posts), text=True, check=True
        )
        return self._wait(run, offsets_ms, start_ms)

    def both_workers(self, offsets_ms: Sequence[int]) -> RunResult:
        """Deliver the same events with two workers."""
        self.cell.start(WORKERS[1])
        result = self.ours(offsets_ms)
        self.cell[WORKERS[1]].terminate()
        return result

    def cpu_s(self) -> dict[str, float]:
        """Return the processor time that each measured process has used so far."""
        processes = {"store": self.cell.store} | self.cell.processes
        return {name: processes[name].cpu_s() for name in MEASURED}

    def _wait(self, run: str, offsets_ms: Sequence[int], start_ms: int) -> RunResult:
        ahead_s = (start_ms + max(offsets_ms)) / 1_000 - time.time()
        drain_s = 20 + len(offsets_ms) / DRAINED_PER_S
        return self.sink.wait_for(
            run, expected=len(offsets_ms), within_s=ahead_s + drain_s
        )


def burst(place: Place, *, events: int, rounds: int) -> tuple[list[Row], list[System]]:
    """Measure the drain rate of events that are all due at the same time."""
    spent: list[dict[str, float]] = []

    def one_worker(offsets_ms: Sequence[int]) -> RunResult:
        before = place.cpu_s()
        result = place.ours(offsets_ms)
        after = place.cpu_s()
        spent.append({name: after[name] - before[name] for name in after})
        return result

    contenders: dict[str, Contender] = {
        "1 worker": one_worker,
        "2 workers": place.both_workers,
        BARE_NAME: place.bare,
    }
    worker = place.cell[WORKERS[0]]
    start_mib = worker.memory_mib()
    title = f"burst of {events:,}"
    results = in_turn(contenders, [0] * events, rounds=rounds, title=title)
    end_mib = worker.memory_mib()
    rates = {
        name: [result.drain_per_s for result in rounds_of_one]
        for name, rounds_of_one in results.items()
    }
    rows = _drained(rates) + _costs(spent, events)
    for when, mib in (("start", start_mib), ("end", end_mib)):
        rows.append(Row("burst", f"MiB of a worker, {when}", mib, [mib]))
    ours, bare = our_version(), f"aiohttp {version('aiohttp')}"
    systems = [
        System(NAME, ours, drain_per_s=median(rates["1 worker"])),
        System(NAME, ours, workers=2, drain_per_s=median(rates["2 workers"])),
        System(BARE_NAME, bare, drain_per_s=median(rates[BARE_NAME])),
    ]
    return rows, systems


def _drained(rates: dict[str, list[float]]) -> list[Row]:
    return [
        Row.of_rounds(
            f"burst, {name}",
            "drained per s",
            rates[name],
            beside=rates[BARE_NAME],
            of=BARE_NAME,
        )
        for name in ("1 worker", "2 workers")
    ]


def _costs(spent: Sequence[dict[str, float]], events: int) -> list[Row]:
    """Return rows with the processor time of each process per event.

    The store's time includes the creation of the event.
    """
    return [
        Row.of_rounds(
            "burst, 1 worker",
            f"cpu µs of each: {name.partition('-')[0]}",
            [round_[name] * 1_000_000 / events for round_ in spent],
        )
        for name in MEASURED
    ]


def paced(
    place: Place, *, per_s: int, seconds: float, rounds: int
) -> tuple[list[Row], list[System]]:
    """Measure the lateness of events that are due at random times."""
    events = int(per_s * seconds)
    rng = Random(events)
    offsets_ms = [rng.randrange(int(seconds * 1_000)) for _ in range(events)]
    contenders: dict[str, Contender] = {NAME: place.ours, BARE_NAME: place.bare}
    title = f"{per_s}/s for {seconds:.0f} s"
    results = in_turn(contenders, offsets_ms, rounds=rounds, title=title)
    rows = [
        Row.of_rounds(
            f"paced, {per_s}/s",
            f"late p{share * 100:.0f}, ms",
            [result.late_at(share) for result in results[NAME]],
            beside=[result.late_at(share) for result in results[BARE_NAME]],
            of=BARE_NAME,
        )
        for share in (0.5, 0.99)
    ]
    early = [float(result.early) for result in results[NAME]]
    rows.append(Row(f"paced, {per_s}/s", "early", sum(early), early))
    versions = {NAME: our_version(), BARE_NAME: f"aiohttp {version('aiohttp')}"}
    systems = [
        System.paced(name, versions[name], per_s=per_s, run=pooled(results[name]))
        for name in contenders
    ]
    return rows, systems


def in_turn(
    contenders: dict[str, Contender],
    offsets_ms: Sequence[int],
    *,
    rounds: int,
    title: str,
) -> dict[str, list[RunResult]]:
    """Run each contender once per round, so that all meet similar conditions.

    Prints the progress.

    Raises: ClickException, if a delivery is lost.
    """
    results: dict[str, list[RunResult]] = {name: [] for name in contenders}
    for number in range(rounds):
        summaries = []
        for name, send in contenders.items():
            result = send(offsets_ms)
            if result.lost:
                raise ClickException(f"{title}: {name}: {result.faults()}")
            results[name].append(result)
            summaries.append(f"{name} {summary(result)}")
        progress = f"{title}, round {number + 1} of {rounds}"
        echo(f"{progress}: {'; '.join(summaries)}", err=True)
    return results


def summary(run: RunResult) -> str:
    """Describe a run in a few words."""
    p50, p99 = run.late_at(0.5), run.late_at(0.99)
    faults = f", {run.faults()}" if run.faults() else ""
    return f"{run.drain_per_s:,.0f}/s, late p50 {p50:.0f} p99 {p99:.0f} ms{faults}"


def pooled(runs: Sequence[RunResult]) -> RunResult:
    """Combine the lateness of several runs."""
    return replace(
        runs[0],
        delivered=sum(run.delivered for run in runs),
        late_ms=sorted(late_ms for run in runs for late_ms in run.late_ms),
    )
