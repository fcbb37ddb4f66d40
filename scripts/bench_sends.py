"""Burst and paced: events that are all due at once, or at random times, to the sink."""

import json
import subprocess
import sys
import time
from bench_arrivals import Went
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
# Until the first is due: a bare client starts within that, and events are stored.
LEAD_MS = 3_000
STORED_PER_S = 2_000
DRAINED_PER_S = 100
WARM_UP = 100
BARE = Path(__file__).with_name("bench_bare.py")
WORKERS = ("worker-1", "worker-2")
MEASURED = ("ticker", "worker-1", "store")
BARE_NAME = "bare client"

Contender = Callable[[Sequence[int]], Went]


@dataclass(frozen=True)
class Place:
    """A system that delivers, with one worker and a second one at times, and a sink."""

    cell: Cell
    sink: Sink

    def start(self) -> None:
        """Start what delivers, and send a little, which has costs of its own."""
        self.cell.start("ticker", WORKERS[0])
        self.ours([0] * WARM_UP)

    def stop(self) -> None:
        """Stop what delivers."""
        for name in ("ticker", WORKERS[0]):
            self.cell[name].terminate()

    def ours(self, offsets_ms: Sequence[int]) -> Went:
        """The system sends, at those times after a moment to come.

        Raises: ClickException.
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

    def bare(self, offsets_ms: Sequence[int]) -> Went:
        """The bare client does the same."""
        run, start_ms = self.sink.new_run(), time.time_ns() // 1_000_000 + LEAD_MS
        posts = [
            (start_ms + offset, self.sink.url(run, n, due_ms=start_ms + offset))
            for n, offset in enumerate(offsets_ms)
        ]
        subprocess.run(
            [sys.executable, str(BARE)], input=json.dumps(posts), text=True, check=True
        )
        return self._wait(run, offsets_ms, start_ms)

    def both_workers(self, offsets_ms: Sequence[int]) -> Went:
        """The system sends with two workers."""
        self.cell.start(WORKERS[1])
        went = self.ours(offsets_ms)
        self.cell[WORKERS[1]].terminate()
        return went

    def cpu_s(self) -> dict[str, float]:
        """Processor time that each measured process has used so far."""
        processes = {"store": self.cell.store} | self.cell.processes
        return {name: processes[name].cpu_s() for name in MEASURED}

    def _wait(self, run: str, offsets_ms: Sequence[int], start_ms: int) -> Went:
        ahead_s = (start_ms + max(offsets_ms)) / 1_000 - time.time()
        drain_s = 20 + len(offsets_ms) / DRAINED_PER_S
        return self.sink.wait_for(
            run, expected=len(offsets_ms), within_s=ahead_s + drain_s
        )


def burst(place: Place, *, events: int, rounds: int) -> tuple[list[Row], list[System]]:
    """Events that are all due at one instant: how many a second the sink sees."""
    spent: list[dict[str, float]] = []

    def one_worker(offsets_ms: Sequence[int]) -> Went:
        before = place.cpu_s()
        went = place.ours(offsets_ms)
        after = place.cpu_s()
        spent.append({name: after[name] - before[name] for name in after})
        return went

    contenders: dict[str, Contender] = {
        "1 worker": one_worker,
        "2 workers": place.both_workers,
        BARE_NAME: place.bare,
    }
    worker = place.cell[WORKERS[0]]
    start_mib = worker.memory_mib()
    went = in_turn(contenders, [0] * events, rounds=rounds, what=f"burst of {events:,}")
    end_mib = worker.memory_mib()
    rates = {name: [each.drain_per_s for each in all] for name, all in went.items()}
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
    """What each process spends on an event, the store also on taking it on."""
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
    """Events at random times: how late they are at the sink."""
    events = int(per_s * seconds)
    chance = Random(events)
    offsets_ms = [chance.randrange(int(seconds * 1_000)) for _ in range(events)]
    contenders: dict[str, Contender] = {NAME: place.ours, BARE_NAME: place.bare}
    what = f"{per_s}/s for {seconds:.0f} s"
    went = in_turn(contenders, offsets_ms, rounds=rounds, what=what)
    rows = [
        Row.of_rounds(
            f"paced, {per_s}/s",
            f"late p{share * 100:.0f}, ms",
            [each.late_at(share) for each in went[NAME]],
            beside=[each.late_at(share) for each in went[BARE_NAME]],
            of=BARE_NAME,
        )
        for share in (0.5, 0.99)
    ]
    early = [float(each.early) for each in went[NAME]]
    rows.append(Row(f"paced, {per_s}/s", "early", sum(early), early))
    versions = {NAME: our_version(), BARE_NAME: f"aiohttp {version('aiohttp')}"}
    systems = [
        System.paced(name, versions[name], per_s=per_s, went=pooled(went[name]))
        for name in contenders
    ]
    return rows, systems


def in_turn(
    contenders: dict[str, Contender],
    offsets_ms: Sequence[int],
    *,
    rounds: int,
    what: str,
) -> dict[str, list[Went]]:
    """Each contender once a round, so that all meet the same weather; with progress.

    Raises: ClickException, if anything was lost.
    """
    went: dict[str, list[Went]] = {name: [] for name in contenders}
    for number in range(rounds):
        told = []
        for name, send in contenders.items():
            each = send(offsets_ms)
            if each.lost:
                raise ClickException(f"{what}: {name}: {each.faults()}")
            went[name].append(each)
            told.append(f"{name} {tell(each)}")
        echo(f"{what}, round {number + 1} of {rounds}: {'; '.join(told)}", err=True)
    return went


def tell(went: Went) -> str:
    """A run in a few words."""
    p50, p99 = went.late_at(0.5), went.late_at(0.99)
    faults = f", {went.faults()}" if went.faults() else ""
    return f"{went.drain_per_s:,.0f}/s, late p50 {p50:.0f} p99 {p99:.0f} ms{faults}"


def pooled(went: Sequence[Went]) -> Went:
    """The lateness of several runs as if of one."""
    return replace(
        went[0],
        delivered=sum(each.delivered for each in went),
        late_ms=sorted(late for each in went for late in each.late_ms),
    )
