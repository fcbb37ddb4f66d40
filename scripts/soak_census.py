"""Counts what a system uses: memory, descriptors, connections, keys."""

import psutil
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations, pairwise
from statistics import mean, median
from tests.system.cell import Cell
from typing import cast

MIB = 1024**2
# A figure is flat if it rises, over the second half of the time, by at most this share
# of its mean, this many of its unit, and twice its usual change from one minute to the
# next. A steady leak rises by many such changes.
SHARE = 0.05
SLACK = {"MiB": 4.0, "descriptors": 10.0, "connections": 10.0, "keys": 100.0}

# Figures by name; the last word of a name is the unit, a key of `SLACK`.
Census = Mapping[str, float]


@dataclass(frozen=True)
class Trend:
    """How much a figure rose in the second half of the time, and how much it may."""

    name: str
    rise: float
    bound: float

    @property
    def is_flat(self) -> bool:
        """Whether the figure did not rise by more than it may."""
        return self.rise <= self.bound

    def __str__(self) -> str:
        verdict = "flat" if self.is_flat else "RISES"
        return f"{self.name}: {self.rise:+.1f}, at most {self.bound:.1f}: {verdict}"


def trends(minutes: Sequence[Census]) -> list[Trend]:
    """Return the trend of each figure over the second half of the minutes.

    There must be at least ten minutes. The trend is the median of the slopes between
    all pairs of minutes, so a figure may jump for a minute, for example while a chore
    runs.
    """
    half = minutes[len(minutes) // 2 :]
    names = sorted({name for census in half for name in census})
    found = []
    for name in names:
        values = [census.get(name, 0.0) for census in half]
        pairs = combinations(enumerate(values), 2)
        slope = median((later - first) / (n - m) for (m, first), (n, later) in pairs)
        change = median(abs(later - first) for first, later in pairwise(values))
        bound = SHARE * mean(values) + SLACK[name.rpartition(" ")[2]] + 2 * change
        found.append(Trend(name, slope * (len(values) - 1), bound))
    return found


def census(cell: Cell) -> dict[str, float]:
    """Count now what each process and the store use."""
    figures: dict[str, float] = {}
    for name, process in {"store": cell.store, **cell.processes}.items():
        # A child of the store only writes its files, for a moment.
        children = set() if name == "store" else process.children()
        used = _used({process.pid, *children})
        figures |= {f"{name} {unit}": value for unit, value in used.items()}
    used_bytes = cast(dict[str, int], cell.client.info("memory"))["used_memory"]
    figures["data MiB"] = used_bytes / MIB
    figures |= {f"{kind} keys": count for kind, count in keys_by_kind(cell).items()}
    return figures


def _used(pids: set[int]) -> dict[str, float]:
    """Return the memory, descriptors and connections of some processes together."""
    used = {"MiB": 0.0, "descriptors": 0.0, "connections": 0.0}
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            used["MiB"] += process.memory_info().rss / MIB
            used["descriptors"] += process.num_fds()
            used["connections"] += sum(
                each.status == psutil.CONN_ESTABLISHED
                for each in process.net_connections("tcp")
            )
    return used


def keys_by_kind(cell: Cell) -> Counter[str]:
    """Count the keys of the store by the first part of their names."""
    kinds = Counter[str]()
    for key in cell.client.scan_iter(count=10_000):
        name = key.decode()
        depth = 1 if name.startswith(cell.prefix) else 2
        kinds[":".join(name.removeprefix(cell.prefix).split(":")[:depth])] += 1
    return kinds
