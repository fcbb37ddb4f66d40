"""Run `receiver.py` as a process, and read the requests that it reports."""

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
    """A request that reached the receiver."""

    at_ms: float
    scheduled_ms: int
    label: str
    possible_duplicate: bool


class Receiver:
    """A process that runs `receiver.py`, and the requests that it has reported."""

    def __init__(self, host: str = "127.0.0.1", *, everywhere: bool = False) -> None:
        """
        Args:
            host: the address in its URLs.
            everywhere: whether it listens on all addresses of the machine.
        """
        self._host = host
        self.arrivals: list[Arrival] = []
        self._ended_ms: dict[int, float] = {}
        self._syncs = 0
        bound = "0.0.0.0" if everywhere else host
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.system.receiver", bound],
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
            at_ns, *fields = line.split()
            at_ms = int(at_ns) / 1e6
            if len(fields) == 1:
                self._ended_ms[int(fields[0])] = at_ms
                continue
            scheduled, label, duplicate = fields
            self.arrivals.append(
                Arrival(at_ms, from_iso(scheduled), label, bool(int(duplicate)))
            )

    def url(self, query: str = "", *, path: str = "/", host: str = "") -> str:
        """A URL of the receiver; `query` selects the response (see `receiver.py`)."""
        return f"http://{host or self._host}:{self._port}{path}?{query}"

    def sync(self) -> None:
        """Wait until `arrivals` has all requests that the receiver has got so far."""
        self._syncs += 1
        label = f"sync-{self._syncs}"
        connection = http.client.HTTPConnection(self._host, self._port, timeout=10)
        body = {"payload": label, "scheduledTime": to_iso(0)}
        connection.request("POST", "/", json.dumps(body))
        connection.getresponse().read()
        connection.close()
        wait_until(lambda: self.count(label))

    def times_ms(self) -> dict[str, list[float]]:
        """The arrival times by label, in ms."""
        times = defaultdict(list)
        for arrival in list(self.arrivals):
            times[arrival.label].append(arrival.at_ms)
        return times

    def count(self, label: str) -> int:
        """The number of requests with this label."""
        return sum(1 for arrival in list(self.arrivals) if arrival.label == label)

    def max_in_flight(self) -> int:
        """The largest number of delayed requests that were open at the same time.

        A request whose sender was killed counts until its delay is over.
        """
        arrivals, steps = list(self.arrivals), []
        for number, ended_ms in list(self._ended_ms.items()):
            steps += [(arrivals[number].at_ms, 1), (ended_ms, -1)]
        # If a request ends when another starts, the end sorts first: no overlap.
        return max(accumulate(step for _, step in sorted(steps)), default=0)

    def count_unwarned(self) -> Counter[str]:
        """The number of requests without a duplicate warning, by label."""
        return Counter(
            arrival.label
            for arrival in list(self.arrivals)
            if not arrival.possible_duplicate
        )

    def close(self) -> None:
        """Kill the process of the receiver."""
        self._process.kill()
        self._process.wait()
