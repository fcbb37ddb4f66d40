"""Tests that `doctor` names each fault of an installation, and what mends it."""

import json
import pytest
import redis
from collections.abc import Iterator
from pathlib import Path
from redis.connection import parse_url
from rq import Queue, SimpleWorker
from rq.serializers import JSONSerializer
from scheduler_api.commands import checks
from scheduler_api.core.store.processes import SignOfLife
from scheduler_api.settings import from_env
from tests.commands.cells import SECRET_KEY, OperatedCell, new_cell
from tests.system.tls_proxy import tls_proxy
from tests.workers.http_client import hostile
from workers.delivery_worker import DeliveryWorker

PROCFILE = Path(__file__).parents[2] / "Procfile"
ROLES = ("ticker", "worker", "web", "clock", "chores")


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
def tls_url(cell: OperatedCell, tmp_path: Path) -> Iterator[str]:
    """The URL of the store with a certificate of an unknown authority."""
    address = parse_url(cell.url)  # type: ignore[no-untyped-call]
    target = address["host"], address["port"]
    context = hostile.make_authority(tmp_path).serve_as("localhost")
    with tls_proxy(target, context) as port:
        yield f"rediss://localhost:{port}/0"


def found(cell: OperatedCell, words: str = "", **environ: str) -> list[tuple[str, str]]:
    """The text and the command of each finding."""
    result = cell.run(f"doctor --json {words}", **environ)
    findings = json.loads(result.output)["findings"]

    assert result.exit_code == bool(findings)
    return [(each["text"], each["command"]) for each in findings]


def register(cell: OperatedCell, kind: type[SimpleWorker]) -> None:
    """Register a worker of another process as RQ does at its start."""
    queue = Queue("deliveries", connection=cell.cell.client, serializer=JSONSerializer)
    worker = kind([queue], connection=cell.cell.client)
    worker.pid = 1
    worker.register_birth()


def test_nothing_is_found_where_nothing_is_wrong(cell: OperatedCell):
    register(cell, DeliveryWorker)
    result = cell.run("doctor")

    assert (result.exit_code, result.output) == (0, "Nothing is wrong.\n")


def test_each_wrong_setting_is_named(cell: OperatedCell):
    texts = [text for text, _ in found(cell, REDIS_URL="x", SCHED_WINDOW="0")]

    assert [text.partition(":")[0] for text in texts] == ["REDIS_URL", "SCHED_WINDOW"]


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
    assert f"{role}: {command}" in PROCFILE.read_text().splitlines()


def test_a_worker_of_another_class_is_named(cell: OperatedCell):
    register(cell, SimpleWorker)
    [(text, command)] = found(cell)

    assert "is RQ's own, without our class" in text
    assert command == "rq worker -S json -w workers.DeliveryWorker deliveries"


def test_workers_with_different_networks_are_named(cell: OperatedCell):
    environ = {"REDIS_URL": cell.url, "SECRET_KEY": SECRET_KEY}
    networks = {"SCHED_ALLOW_NETWORKS": "10.0.0.0/8"}
    cell.cell.client.delete("{s1}:processes")
    for settings in (from_env(environ), from_env(environ | networks)):
        for role in ROLES:
            sign = SignOfLife(cell.cell, role, settings=settings.digest())
            sign.report()
    [(text, _)] = found(cell)

    assert text.startswith("Processes have different settings")
    assert "SCHED_ALLOW_NETWORKS" in text and text.count("worker") == 2


def test_a_receiver_that_the_guard_refuses_is_named_with_the_setting(
    cell: OperatedCell,
):
    words = "--deliver http://127.0.0.1:9000/hook"
    [(text, _)] = found(cell, words)

    assert "127.0.0.1 is refused, blocked 127.0.0.0/8" in text
    assert "add its network to SCHED_ALLOW_NETWORKS" in text
    assert found(cell, words, SCHED_ALLOW_NETWORKS="127.0.0.0/8") == []


def test_a_port_that_is_not_allowed_is_named_with_the_setting(cell: OperatedCell):
    words = "--deliver http://192.0.2.1:9000/hook"
    [(text, _)] = found(cell, words, SCHED_DESTINATION_PORTS="443")

    assert "port 9000 is not allowed" in text and "SCHED_DESTINATION_PORTS" in text


def test_a_url_of_alerts_that_the_guard_refuses_is_named(cell: OperatedCell):
    alerts = {"SCHED_ALERT_URL": "http://127.0.0.1:9000/secret"}
    [(text, _)] = found(cell, **alerts)

    assert "127.0.0.1 is refused" in text and "SCHED_ALLOW_NETWORKS" in text
    assert found(cell, **alerts, SCHED_ALLOW_NETWORKS="127.0.0.0/8") == []


def test_another_secret_key_is_named(cell: OperatedCell):
    [(text, _)] = found(cell, SECRET_KEY="another key of the tests")

    assert text.startswith("SECRET_KEY: the secrets in the store were encrypted with")
    assert "set SECRET_KEY to that of the running processes" in text
