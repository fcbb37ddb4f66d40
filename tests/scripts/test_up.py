"""Tests that `scripts/up` starts a complete system, and stops all its processes."""

import base64
import http.client
import json
import os
import pytest
import re
import redis
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from scheduler_api.core.store import keys, layout
from scheduler_api.up.watchdog import descendants
from typing import Any
from urllib.request import Request, urlopen

ROOT = Path(__file__).parents[2]
ROLES = {
    "store": "valkey-server 127.0.0.1:",
    "web": "gunicorn -c python:scheduler_api.gunicorn_conf",
    "ticker": "-m workers.ticker",
    "worker": "rq worker -S json -w workers.DeliveryWorker deliveries",
    "clock": "-m workers.clock",
    "chores": "rq worker -S json -w workers.ChoresWorker housekeeping",
}
NAMES = {
    "JITER_URL",
    "JITER_API_KEY",
    "JITER_SIGNING_SECRET",
    "QSTASH_URL",
    "QSTASH_TOKEN",
    "QSTASH_CURRENT_SIGNING_KEY",
    "QSTASH_NEXT_SIGNING_KEY",
    "SCHEDULER_API",
    "SCHEDULER_API_SIGNING_SECRET",
    "SCHEDULER_API_TOKEN",
    "REDIS_URL",
}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads /proc"),
]


@dataclass
class System:
    """A process of `scripts/up`, and its data folder."""

    data: Path
    port: int
    process: subprocess.Popen[bytes]
    seen: set[int] = field(default_factory=set)

    @property
    def output(self) -> str:
        return self.data.with_suffix(".log").read_text()

    @property
    def credentials(self) -> dict[str, str]:
        lines = (self.data / "credentials.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def is_up(self) -> bool:
        assert self.process.poll() is None, self.output
        return "Ctrl-C stops everything" in self.output

    def pids(self) -> set[int]:
        """Return the ids of all descendants of `scripts/up`, and add them to `seen`."""
        found = descendants({self.process.pid})
        self.seen |= found
        return found

    def pids_of(self, role: str) -> set[int]:
        return {pid for pid in self.pids() if ROLES[role] in command_line(pid)}

    def survivors(self) -> list[str]:
        return [line for pid in self.seen if (line := command_line(pid))]

    def request(self, method: str, path: str, body: object = None) -> tuple[int, dict]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = {
            "content-type": "application/json",
            "x-api-key": self.credentials["JITER_API_KEY"],
        }
        connection.request(method, path, body and json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())

    def is_ready(self) -> bool:
        try:
            return self.request("GET", "/readyz")[0] == 200
        except OSError:
            return False


def command_line(pid: int) -> str:
    """The command line of a process; empty if it has exited."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        return ""


def launch(data: Path, port: int, *words: str, **environ: str) -> System:
    command = [ROOT / "scripts" / "up", "--data", data, "--port", str(port), *words]
    with data.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env=os.environ | environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return System(data, port, process)


def start(data: Path, port: int, *words: str, **environ: str) -> System:
    system = launch(data, port, *words, **environ)
    deadline_s = time.monotonic() + 60
    while not system.is_up():
        assert time.monotonic() < deadline_s, system.output
        time.sleep(0.05)
    system.pids()
    return system


def refusal(data: Path, port: int, **environ: str) -> str:
    system = launch(data, port, **environ)
    assert system.process.wait(timeout=30) == 1
    return system.output


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A running system. Tests may kill its processes, but not stop it."""
    system = start(tmp_path_factory.mktemp("up") / "Ada's data", spare_port())
    yield system
    system.process.terminate()
    system.process.wait(timeout=90)


def spare_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_credentials_file_is_complete_and_private(system: System):
    values = system.credentials

    base_url = f"http://127.0.0.1:{system.port}"
    assert set(values) >= NAMES
    assert values["JITER_URL"] == f"{base_url}/api"
    assert values["QSTASH_URL"] == values["SCHEDULER_API"] == base_url
    pair = json.loads(base64.b64decode(values["QSTASH_TOKEN"]))
    assert pair["Password"] == values["JITER_API_KEY"]
    assert (system.data / "credentials.env").stat().st_mode & 0o777 == 0o600
    assert (system.data / "secret.key").stat().st_mode & 0o777 == 0o600


def test_a_shell_can_source_the_credentials(system: System):
    script = f"set -a; . {shlex.quote(str(system.data))}/credentials.env; env"
    result = subprocess.run(
        ["sh", "-c", script], env={}, capture_output=True, text=True, check=True
    )

    sourced = dict(line.split("=", 1) for line in result.stdout.splitlines())
    assert sourced | system.credentials == sourced


def test_every_role_has_a_process_in_the_same_process_group(system: System):
    for role in ROLES:
        assert system.pids_of(role), role
    for pid in system.pids():
        assert os.getpgid(pid) == os.getpgid(system.process.pid)
        assert os.getsid(pid) == os.getsid(system.process.pid)


def test_no_secret_appears_in_a_command_line_or_in_the_output(system: System):
    password = re.search(r":([^:]*)@", system.credentials["REDIS_URL"])
    assert password
    secrets = {
        password[1],
        (system.data / "secret.key").read_text().strip(),
        system.credentials["JITER_API_KEY"],
        system.credentials["JITER_SIGNING_SECRET"],
    }

    texts = [command_line(pid) for pid in system.pids()] + [system.output]
    for text in texts:
        assert not any(secret in text for secret in secrets)


def test_logs_of_the_start_are_in_a_file_and_not_on_the_first_screen(system: System):
    screen, _, _ = system.output.partition("\nCtrl-C stops everything")
    lines = screen.splitlines()
    started = re.findall(r"^\[up\] \S+Z INFO up started (\S+)", screen, re.MULTILINE)

    roles = ["store", "chores", "clock", "worker-1", "ticker", "web"]
    assert started == [f"{role}:" for role in roles]
    assert len(lines) < 20
    assert f" INFO up listening on http://127.0.0.1:{system.port}\n" in screen
    assert f"credentials for its clients in {system.data}/credentials.env" in lines
    start_log = (system.data / "start.log").read_text()
    for text in ("web.started", "ticker.started", "worker.started"):
        assert text in start_log and text not in screen


def test_the_first_screen_lists_the_networks_that_deliveries_may_reach(
    system: System,
):
    assert (
        "deliveries may reach 127.0.0.0/8, ::1/128, 10.0.0.0/8, 172.16.0.0/12,"
        " 192.168.0.0/16, fc00::/7\n" in system.output
    )


def test_the_printed_curl_line_delivers_a_first_event_to_the_receiver(
    system: System, wait_until: Callable[..., None]
):
    [line] = [line for line in system.output.splitlines() if line.startswith("curl ")]
    curl = subprocess.run(
        ["sh", "-c", line], capture_output=True, text=True, check=True
    )
    created = json.loads(curl.stdout)
    assert created["payload"] == "hello"
    url = f"{system.credentials['JITER_URL']}/events/{created['id']}"
    key = {"x-api-key": system.credentials["JITER_API_KEY"]}

    def event() -> dict[str, Any]:
        with urlopen(Request(url, headers=key), timeout=10) as response:
            return dict(json.load(response))

    wait_until(lambda: event()["status"] == "Sent", within_s=15)

    assert re.search(r"valid\W+true", json.dumps(event()["history"]))


def test_a_port_in_use_is_reported_in_one_line(system: System, tmp_path: Path):
    text = refusal(tmp_path / "data", system.port)

    assert text == (
        f"Error: port {system.port} of 127.0.0.1 is taken; --port chooses another\n"
    )


def test_a_data_folder_in_use_is_reported_in_one_line(system: System, tmp_path: Path):
    link = tmp_path / "link"
    link.symlink_to(system.data)

    assert refusal(link, spare_port()) == (
        f"Error: the data folder {system.data} is in use\n"
    )


def test_an_unusable_data_folder_is_reported_in_one_line(tmp_path: Path):
    (tmp_path / "file").touch()

    text = refusal(tmp_path / "file", spare_port())

    assert text.startswith("Error: the data folder cannot be used: ")
    assert len(text.splitlines()) == 1


def test_an_invalid_setting_is_reported_in_one_line(tmp_path: Path):
    text = refusal(tmp_path / "data", spare_port(), SCHED_WINDOW="many")

    assert text == (
        "Error: SCHED_WINDOW: expected an integer from 1 to 10000, got 'many'\n"
    )


@pytest.mark.parametrize("role", list(ROLES))
def test_a_killed_process_is_restarted(
    role: str, system: System, wait_until: Callable[..., None]
):
    wait_until(system.is_ready, within_s=30)
    before = system.pids_of(role)
    restarts = system.output.count("exited (signal 9), restart")

    os.kill(min(before), signal.SIGKILL)

    wait_until(lambda: system.pids_of(role) - before, within_s=30)
    wait_until(system.is_ready, within_s=30)
    assert system.output.count("exited (signal 9), restart") == restarts + 1


def test_data_and_credentials_survive_a_restart(
    tmp_path: Path, wait_until: Callable[..., None]
):
    data = tmp_path / "my data, Ada's"
    first = start(data, spare_port(), "--workers", "2")
    workers = first.pids_of("worker")
    event = {
        "payload": "later",
        "destination": "http://127.0.0.1:9/",
        "scheduledTime": "2999-01-01T00:00:00.000Z",
    }
    status, created = first.request("POST", "/api/events", event)
    first.pids()
    first.process.terminate()
    assert first.process.wait(timeout=90) == 0
    assert first.survivors() == []

    second = start(data, spare_port())

    assert len(workers) == 2
    assert status == 200
    found = second.request("GET", f"/api/events/{created['id']}")[1]
    assert found["payload"] == "later"
    secrets = {name for name in NAMES if "URL" not in name and name != "SCHEDULER_API"}
    for name in secrets:
        assert second.credentials[name] == first.credentials[name]
    assert second.credentials["QSTASH_URL"] == f"http://127.0.0.1:{second.port}"
    stop_by_ctrl_c(second)
    delete_store_files(data)
    assert refusal(data, spare_port()) == (
        f"Error: the store does not know the keys in {data}/credentials.env;"
        " move that file away to get new ones\n"
    )


def test_a_store_of_another_version_is_reported_in_one_line(tmp_path: Path):
    system = start(tmp_path / "data", spare_port())
    with redis.Redis.from_url(system.credentials["REDIS_URL"]) as store:
        store.delete(keys.layout("{s1}:"))
        store.set("{s1}:next", 7)
    system.process.terminate()
    assert system.process.wait(timeout=90) == 0

    text = refusal(system.data, spare_port())

    assert text == (
        f"Error: the store in {system.data} is in layout none, this version reads"
        f" {layout.LAYOUT}: run the version that wrote it, or"
        f" `mv {system.data} {system.data}.old`\n"
    )


def stop_by_ctrl_c(system: System) -> None:
    """Send SIGINT to the process group, as a terminal does."""
    system.pids()
    os.killpg(system.process.pid, signal.SIGINT)
    assert system.process.wait(timeout=90) == 0
    assert system.survivors() == []
    assert "did not exit in time" not in system.output
    assert ", restart " not in system.output, system.output


def test_a_sigterm_to_the_process_group_stops_everything(tmp_path: Path):
    system = start(tmp_path / "data", spare_port())

    os.killpg(system.process.pid, signal.SIGTERM)

    assert system.process.wait(timeout=90) == 0
    assert system.survivors() == []
    assert "worker-1 exited" not in system.output


def delete_store_files(data: Path) -> None:
    for file in (data / "appendonlydir").iterdir():
        file.unlink()


def test_kill_9_leaves_no_process_and_unlocks_the_folder(
    tmp_path: Path, wait_until: Callable[..., None]
):
    system = start(tmp_path / "data", spare_port())

    system.process.kill()
    system.process.wait()

    wait_until(lambda: not system.survivors(), within_s=5)
    again = start(system.data, system.port)
    again.process.terminate()
    assert again.process.wait(timeout=90) == 0
    assert again.survivors() == []
