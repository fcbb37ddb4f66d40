"""Tests that `doctor` names each fault of an installation, and what mends it."""

import json
import pytest
import re
import redis
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from redis.connection import parse_url
from rq import Queue, SimpleWorker
from rq.serializers import DefaultSerializer, JSONSerializer
from scheduler_api.commands import checks, own_delivery
from scheduler_api.core.delivery.destinations import parse
from scheduler_api.core.flow_control.held_destinations import HeldDestinations
from scheduler_api.core.model import Begun, State
from scheduler_api.core.store import keys
from scheduler_api.core.store.processes import SignOfLife
from scheduler_api.dialects import outbound
from scheduler_api.settings import from_env
from tests.commands.cells import SECRET_KEY, OperatedCell, new_cell
from tests.dialects.engine import Engine
from tests.procfile import PROCFILE
from tests.system.tls_proxy import tls_proxy
from tests.workers.http_client import hostile
from types import SimpleNamespace
from typing import Any
from workers.delivery_worker import DeliveryWorker

ROLES = ("ticker", "worker", "web", "clock", "chores")


HOOK = "http://127.0.0.1:9000/hook"

Step = Callable[[Engine], object]
Work = Callable[[Step], None]


@pytest.fixture
def cell(valkey: str) -> OperatedCell:
    made = new_cell(valkey)
    made.live(*ROLES)
    return made


@pytest.fixture
def own_cell(own_valkey: tuple[str, int]) -> OperatedCell:
    """A cell on a store whose configuration a test may change."""
    made = new_cell(own_valkey[0])
    made.live(*ROLES)
    return made


@pytest.fixture
def work(cell: OperatedCell, monkeypatch: pytest.MonkeyPatch) -> Work:
    """A function that sets what the ticker and a worker do while `doctor` waits."""

    def set_step(step: Step) -> None:
        waiting = iter([step])

        def sleep(_seconds: float) -> None:
            for each in waiting:
                each(cell.engine)

        clock = SimpleNamespace(monotonic=time.monotonic, sleep=sleep)
        monkeypatch.setattr(own_delivery, "time", clock)

    monkeypatch.setattr(own_delivery, "WAIT_S", 0.1)
    return set_step


@pytest.fixture
def tls_url(cell: OperatedCell, tmp_path: Path) -> Iterator[str]:
    """The URL of the store with a certificate of an unknown authority."""
    address = parse_url(cell.url)  # type: ignore[no-untyped-call]
    target = address["host"], address["port"]
    context = hostile.make_authority(tmp_path).serve_as("localhost")
    with tls_proxy(target, context) as port:
        yield f"rediss://localhost:{port}/0"


def document(cell: OperatedCell, words: str = "", **environ: str) -> dict[str, Any]:
    """What `doctor --json` prints."""
    result = cell.run(f"doctor --json {words}", **environ)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    body: dict[str, Any] = json.loads(result.output)

    assert result.exit_code == bool(body["findings"]), result.output
    return body


def found(cell: OperatedCell, words: str = "", **environ: str) -> list[tuple[str, str]]:
    """The text and the command of each finding."""
    findings = document(cell, words, **environ)["findings"]
    return [(each["text"], each["command"]) for each in findings]


def deliver(
    cell: OperatedCell, url: str = HOOK, **environ: str
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """What became of a delivery, and the findings."""
    plain = {"SCHED_ENCRYPT_CONTENT": "false"} | environ
    body = document(cell, f"--deliver {url}", **plain)
    findings = [(each["text"], each["command"]) for each in body["findings"]]
    return body["delivery"], findings


def own_events(cell: OperatedCell, state: State) -> int:
    """How many events of `doctor` itself are in a state."""
    key = keys.by_time(cell.cell.prefix, f"2:{outbound.PLAIN.name}", state)
    return int(cell.cell.client.zcard(key))


def claim(engine: Engine) -> str:
    [event] = engine.offer().ids
    return event


def begin(engine: Engine) -> Begun:
    [begun] = engine.worker().begin(claim(engine))
    return begun


def settle(outcome: str, **log: Any) -> Step:
    return lambda engine: engine.settle(begin(engine), outcome, **log)


def register(
    cell: OperatedCell, kind: type[SimpleWorker], serializer: type = JSONSerializer
) -> None:
    """Register a worker of another process as RQ does at its start."""
    client = cell.cell.client
    queue = Queue("deliveries", connection=client, serializer=serializer)
    worker = kind([queue], connection=client, serializer=serializer)
    worker.pid = 1
    worker.register_birth()


def report(cell: OperatedCell, environ: dict[str, str]) -> None:
    """Let a process of each role report with these settings."""
    settings = from_env(environ)
    digest, shared = settings.digest(), settings.shared()
    for role in ROLES:
        SignOfLife(cell.cell, role, settings=digest, shared=shared).report()


def test_nothing_is_found_where_nothing_is_wrong(cell: OperatedCell):
    register(cell, DeliveryWorker)
    result = cell.run("doctor")

    assert (result.exit_code, result.output) == (0, "Nothing is wrong.\n")


def test_each_wrong_setting_is_named(cell: OperatedCell):
    wrong = {"REDIS_URL": "x", "SECRET_KEY": "short", "SCHED_WINDOW": "0"}
    texts = [text for text, _ in found(cell, **wrong)]

    assert [text.partition(":")[0] for text in texts] == [*wrong]


def test_an_unreachable_store_is_named(cell: OperatedCell):
    [(text, command)] = found(cell, REDIS_URL="redis://127.0.0.1:1/0")

    assert text == "The store does not answer: Connection refused"
    assert command == 'redis-cli -u "$REDIS_URL" ping'


def test_a_wrong_password_is_named(own_cell: OperatedCell):
    own_cell.cell.client.config_set("requirepass", "right")
    url = own_cell.url.replace("redis://", "redis://:wrong@")
    [(text, _)] = found(own_cell, REDIS_URL=url)

    assert text == "The store refuses the user or password in REDIS_URL"


def test_a_database_without_a_cell_is_named_and_stays_empty(cell: OperatedCell):
    url = cell.url.removesuffix("/0") + "/1"
    [(text, _)] = found(cell, REDIS_URL=url)

    assert "No cell has used this database yet: set REDIS_URL" in text
    with redis.Redis.from_url(url) as client:
        assert client.dbsize() == 0


def test_a_refused_certificate_is_named_with_the_setting(
    cell: OperatedCell, tls_url: str
):
    [(text, _)] = found(cell, REDIS_URL=tls_url)

    assert text.startswith("The certificate of the store is refused: ")
    assert "set SCHED_STORE_CA" in text


def test_an_evicting_store_is_named_once(own_cell: OperatedCell):
    own_cell.cell.client.config_set("maxmemory-policy", "allkeys-lru")
    [(text, command)] = found(own_cell)

    assert text.startswith("The store may evict keys")
    assert command.endswith("config set maxmemory-policy noeviction")


def test_a_store_that_evicts_and_forgets_has_two_faults(own_cell: OperatedCell):
    own_cell.cell.client.config_set("maxmemory-policy", "allkeys-lru")

    assert len(found(own_cell, SCHED_ALLOW_NO_PERSISTENCE="false")) == 2


def test_a_store_without_persistence_is_named(cell: OperatedCell):
    [(text, command)] = found(cell, SCHED_ALLOW_NO_PERSISTENCE="false")

    assert text.startswith("The store has no persistence")
    assert command.endswith("config set appendonly yes")


def test_a_full_store_is_named(own_cell: OperatedCell):
    used = own_cell.cell.client.info("memory")["used_memory"]
    own_cell.cell.client.config_set("maxmemory", used // 2)
    [(text, command)] = found(own_cell)

    assert text.startswith("The store is full")
    assert command.endswith("config set maxmemory BYTES")


@pytest.mark.parametrize(("off_s", "side"), [(300, "behind"), (-300, "ahead of")])
def test_a_clock_that_is_off_is_named(
    cell: OperatedCell, monkeypatch: pytest.MonkeyPatch, off_s: int, side: str
):
    real = checks.time.time
    monkeypatch.setattr(checks.time, "time", lambda: real() + off_s)
    [(text, command)] = found(cell)

    assert text.startswith("The store's clock is ")
    assert f" {side} that of this machine" in text
    assert command == "timedatectl set-ntp true"


@pytest.mark.parametrize("role", ["ticker", "worker", "clock", "chores"])
def test_a_missing_process_is_named_with_its_command_in_the_procfile(
    valkey: str, role: str
):
    cell = new_cell(valkey)
    cell.live(*(each for each in ROLES if each != role))
    [(text, command)] = found(cell)

    assert text.startswith(f"No {role} ")
    assert command == PROCFILE[role]


@pytest.mark.parametrize("serializer", [JSONSerializer, DefaultSerializer])
def test_a_worker_of_another_class_is_named(cell: OperatedCell, serializer: type):
    register(cell, SimpleWorker, serializer)
    [(text, command)] = found(cell)

    assert "is RQ's own, without our class" in text
    assert "without `-S json` none" in text
    assert command == "rq worker -S json -w workers.DeliveryWorker deliveries"


@pytest.mark.parametrize(
    ("name", "value", "command"),
    [
        ("SCHED_ALLOW_NETWORKS", "10.0.0.0/8", "unset SCHED_ALLOW_NETWORKS"),
        ("SCHED_OLDER_SECRET_KEYS", "an old key of the tests", "unset"),
        ("SECRET_KEY", "another key of the tests", ""),
    ],
)
def test_a_setting_that_differs_between_workers_is_named_without_secrets(
    cell: OperatedCell, name: str, value: str, command: str
):
    environ = {"REDIS_URL": cell.url, "SECRET_KEY": SECRET_KEY}
    cell.cell.client.delete(keys.processes(cell.cell.prefix))
    for ago_ms, changed in ((1_000, {name: value}), (0, {})):
        report(cell.at(ago_ms=ago_ms), environ | changed)
    [(text, mends)] = found(cell)

    assert text.startswith(f"{name} differs between processes: ")
    assert text.count("worker") == 2
    assert SECRET_KEY not in text and "key of the tests" not in text
    assert ("10.0.0.0/8 in chores" in text) == (value == "10.0.0.0/8")
    assert mends.startswith(command) and bool(mends) == bool(command)


def test_settings_that_only_another_version_has_are_told_as_such(cell: OperatedCell):
    older = SignOfLife(cell.cell, "worker", settings="y", shared={})
    older.report()
    [(text, _)] = found(cell)

    assert text.startswith("Processes have different settings, because their versions")


def test_a_delivery_tells_how_long_each_step_took(cell: OperatedCell, work: Work):
    work(settle("delivered", status=200))
    made, findings = deliver(cell)
    work(settle("delivered", status=200))
    output = cell.run(f"doctor --deliver {HOOK}", SCHED_ENCRYPT_CONTENT="false").output

    assert findings == []
    assert made["isDelivered"] and made["url"] == HOOK
    steps = [step["step"] for step in made["steps"]]
    assert steps == ["stored", "begun by a worker", "answered with 200"]
    assert f"Nothing is wrong.\n\nThe delivery to {HOOK} arrived:\n" in output
    assert re.search(r"answered with 200 +10 ms", output)


def test_all_deliveries_belong_to_one_tenant(cell: OperatedCell, work: Work):
    for _ in range(2):
        work(settle("delivered", status=200))
        deliver(cell)

    assert cell.run("tenant list").output.count(own_delivery.TENANT) == 1


@pytest.mark.parametrize(
    ("step", "where"),
    [
        (lambda engine: None, "has been due for 100 ms, and no ticker has claimed it"),
        (claim, "a ticker has claimed its event, but no worker has begun it"),
        (begin, "a worker has begun it, but has stored no result within 100 ms"),
        (settle("retry", status=503), "after 10 ms: the destination answered 503"),
        (settle("retry", error="refused"), "the receiver refused the connection"),
    ],
)
def test_a_delivery_that_stops_names_the_step_and_is_cancelled(
    cell: OperatedCell, work: Work, step: Step, where: str
):
    work(step)
    made, [(text, _)] = deliver(cell)

    assert text.startswith(f"The delivery to {HOOK} stopped: ") and where in text
    assert not made["isDelivered"]
    # What runs is cancelled when it has failed.
    assert own_events(cell, State.ACTIVE) == (step is begin)


def test_an_event_that_waits_at_a_gate_is_told_as_such(cell: OperatedCell, work: Work):
    work(settle("delivered", status=200))
    deliver(cell)
    HeldDestinations(cell.cell).set_paused("2", parse(HOOK), paused=True)
    work(lambda engine: engine.worker().try_begin(*engine.offer().ids))
    _, [(text, _)] = deliver(cell)

    assert "has been due for 100 ms, and waits at a gate" in text


def test_a_receiver_that_the_guard_refuses_is_named_with_the_setting(
    cell: OperatedCell, work: Work
):
    work(settle("dead", error="blocked", reason="blocked"))
    _, [(text, command)] = deliver(cell, SCHED_ALLOW_NETWORKS="10.0.0.0/8")

    assert own_events(cell, State.DEAD) == 0
    assert "127.0.0.1 is refused, blocked 127.0.0.0/8; allow it in the" in text
    assert command == "export SCHED_ALLOW_NETWORKS=10.0.0.0/8,127.0.0.1"


def test_the_guard_has_the_settings_of_the_workers(cell: OperatedCell, work: Work):
    cell.live("worker", SCHED_ALLOW_NETWORKS="127.0.0.0/8")
    work(settle("dead", error="blocked", reason="blocked"))
    _, [(text, _)] = deliver(cell)

    assert "the port of the web process, of the store or of a Sentinel" in text


@pytest.mark.parametrize(
    ("url", "setting", "text"),
    [
        (HOOK, {"SCHED_DESTINATION_PORTS": "443"}, "port 9000 is not allowed"),
        (HOOK, {"SCHED_HTTPS_ONLY": "true"}, "URL must begin with https://"),
        ("ftp://a", {}, "URL must start with http:// or https://"),
    ],
)
def test_a_url_that_the_apis_refuse_is_named_and_nothing_is_stored(
    cell: OperatedCell, url: str, setting: dict[str, str], text: str
):
    made, [(finding, _)] = deliver(cell, url, **setting)

    assert made is None and text in finding
    assert own_delivery.TENANT not in cell.run("tenant list").output


def test_the_built_in_receiver_is_used_if_processes_serve_it(
    cell: OperatedCell, work: Work
):
    _, [(text, command)] = deliver(cell, "")
    cell.cell.client.delete(keys.processes(cell.cell.prefix))
    cell.live(*ROLES, SCHED_RECEIVER="true")
    work(settle("delivered", status=200))
    made, findings = deliver(cell, "", PORT="8123")

    assert text.startswith("No built-in receiver to deliver to: give a URL")
    assert command == "export SCHED_RECEIVER=true"
    assert made["url"] == "http://127.0.0.1:8123/receiver/doctor"
    assert findings == []


def test_a_full_store_refuses_the_delivery(own_cell: OperatedCell):
    used = own_cell.cell.client.info("memory")["used_memory"]
    own_cell.cell.client.config_set("maxmemory", used // 2)
    made, findings = deliver(own_cell)

    assert [text.partition(",")[0] for text, _ in findings] == [
        "The store is full",
        f"The delivery to {HOOK} stopped: its event was not stored: the store is full",
    ]
    assert made["event"] is None


def test_nothing_is_stored_with_a_wrong_key(cell: OperatedCell):
    key = {"SECRET_KEY": "another key of the tests"}
    made, _ = deliver(cell, **key)
    output = cell.run(f"doctor --deliver {HOOK}", **key).output

    assert made is None
    assert output.endswith("\nNo delivery was tried. Mend this first.\n")
    assert own_delivery.TENANT not in cell.run("tenant list").output


def test_a_url_of_alerts_that_the_guard_refuses_is_named(cell: OperatedCell):
    alerts = {"SCHED_ALERT_URL": "http://127.0.0.1:9000/secret"}
    [(text, command)] = found(cell, **alerts)

    assert "127.0.0.1 is refused" in text and "SCHED_ALLOW_NETWORKS" in command
    assert found(cell, **alerts, SCHED_ALLOW_NETWORKS="127.0.0.0/8") == []


def test_another_secret_key_is_named(cell: OperatedCell):
    [(text, _)] = found(cell, SECRET_KEY="another key of the tests")

    assert text.startswith("SECRET_KEY: the secrets in the store were encrypted with")
    assert "set SECRET_KEY to that of the running processes" in text
