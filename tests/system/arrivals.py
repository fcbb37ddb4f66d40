"""What arrives at a receiver of our own."""

import http.client
import json
import subprocess
import sys
import threading
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import accumulate
from scheduler_api.core.timestamps import from_iso, to_iso
from tests.system.processes import ROOT, wait_until


@dataclass(frozen=True)
class Arrival:
    """A request that reached the receiver; `warned`: it may be a duplicate."""

    at_ms: float
    scheduled_ms: int
    label: str
    warned: bool


class Receiver:
    """The process of `receiver.py`, and all that arrived there."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self._ended_ms: dict[int, float] = {}
        self._marks = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.system.receiver"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            at_ns, *said = line.split()
            at_ms = int(at_ns) / 1e6
            if len(said) == 1:
                self._ended_ms[int(said[0])] = at_ms
                continue
            scheduled, label, warned = said
            self.arrivals.append(
                Arrival(at_ms, from_iso(scheduled), label, bool(int(warned)))
            )

    def url(self, query: str = "") -> str:
        """A destination; the query says how it answers."""
        return f"http://127.0.0.1:{self._port}/?{query}"

    def catch_up(self) -> None:
        """Return when everything that has arrived so far is known here."""
        self._marks += 1
        mark = f"mark-{self._marks}"
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        body = {"payload": mark, "scheduledTime": to_iso(0)}
        connection.request("POST", "/", json.dumps(body))
        connection.getresponse().read()
        connection.close()
        wait_until(lambda: self.count(mark))

    def times_ms(self) -> dict[str, list[float]]:
        """When each label arrived, by label."""
        times = defaultdict(list)
        for arrival in list(self.arrivals):
            times[arrival.label].append(arrival.at_ms)
        return times

    def count(self, label: str) -> int:
        """How often a label arrived."""
        return sum(1 for arrival in list(self.arrivals) if arrival.label == label)

    def most_at_once(self) -> int:
        """The most requests that it had in hand at any moment, of those kept waiting.

        One whose sender was killed counts until it would have been answered.
        """
        arrivals, steps = list(self.arrivals), []
        for number, ended_ms in list(self._ended_ms.items()):
            steps += [(arrivals[number].at_ms, 1), (ended_ms, -1)]
        # Of the same moment, an end comes first.
        return max(accumulate(step for _, step in sorted(steps)), default=0)

    def unwarned(self) -> Counter[str]:
        """How often each label arrived without a warning of a duplicate."""
        return Counter(each.label for each in list(self.arrivals) if not each.warned)

    def clear_away(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
