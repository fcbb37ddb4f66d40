"""Tests of alerts, on a real store, with a receiver that verifies the signatures."""

import orjson
import pytest
import redis
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from ipaddress import ip_network
from scheduler_api.core.model import Content, Draft, Owner
from scheduler_api.core.store import alerts
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.gate_names import destination_gate, route_digest
from scheduler_api.core.store.processes import RUN, SignOfLife
from scheduler_api.core.timestamps import to_iso
from scheduler_api.settings import Settings
from standardwebhooks import Webhook
from tests.clients.receivers import Answer, Destination, Receivers, serve_receivers
from tests.sync_worker import new_sync_worker
from tests.sync_worker import outcomes as attempts
from typing import Any
from workers.alerts.watch import AlertWatch

PREFIX = "{s1}:"
ROLES = ("web", *RUN)
URL = "https://failing.example/a"
LIMIT_BYTES = 1_000_000_000
BETWEEN_MS = alerts.INTERVAL_MS


@pytest.fixture(scope="module")
def receivers() -> Iterator[Receivers]:
    with serve_receivers() as receivers:
        yield receivers


@dataclass
class Watched:
    """A cell that two processes watch, at a time that the test sets."""

    client: redis.Redis
    settings: Settings
    receiver: Destination

    def __post_init__(self) -> None:
        self.cell = Cell(self.client, PREFIX)
        self.cell.clock_ms = self.cell.now_ms()
        self._watches = [self.new_watch(), self.new_watch()]
        self._signs: dict[str, SignOfLife] = {}

    @property
    def now_ms(self) -> int:
        assert self.cell.clock_ms is not None
        return self.cell.clock_ms

    def new_watch(self) -> AlertWatch:
        return AlertWatch(self.cell, self.settings, grace_s=0)

    def start(self, name: str, role: str) -> None:
        """Start a process; it reports from now on."""
        self._signs[name] = SignOfLife(self.cell, role, settings="x", shared={})

    def kill(self, *names: str) -> None:
        for name in names:
            del self._signs[name]

    def stop(self, name: str) -> None:
        """Let a process end as it does after SIGTERM."""
        self._signs.pop(name).end()

    def pass_ms(self, ms: int) -> None:
        """Let time pass, while all processes report."""
        assert self.cell.clock_ms is not None
        self.cell.clock_ms += ms
        for sign in self._signs.values():
            sign.report()

    def check(self) -> list[dict[str, Any]]:
        """Let both processes look; return the messages that arrive."""
        before = len(self.receiver.arrivals)
        for watch in self._watches:
            watch.check()
        return [orjson.loads(each.body) for each in self.receiver.arrivals[before:]]

    def types(self) -> list[str]:
        return [each["type"] for each in self.check()]

    def report_attempts(self, outcomes: str, url: str = URL) -> None:
        """Report attempts at a route, as a worker does."""
        worker = new_sync_worker(self.client, PREFIX, clock_ms=self.now_ms)
        gate = destination_gate("1", route_digest(url))
        worker.report_all({gate: attempts(outcomes)._replace(url=url)})


@pytest.fixture
def client(valkey: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        yield client
        client.config_set("maxmemory", 0)


def watched(client: redis.Redis, receiver: Destination, valkey: str) -> Watched:
    settings = Settings(
        redis_url=valkey,
        secret_key="k" * 32,
        alert_url=receiver.url,
        allow_networks=(ip_network("127.0.0.0/8"),),
    )
    found = Watched(client, settings, receiver)
    for role in ROLES:
        found.start(role, role)
    found.pass_ms(0)
    return found


@pytest.fixture
def cell(client: redis.Redis, receivers: Receivers, valkey: str) -> Watched:
    return watched(client, receivers.new_destination(), valkey)


def set_memory(cell: Watched, *, percent: float) -> None:
    used = cell.client.info("memory")["used_memory"]
    cell.client.config_set("maxmemory", round(used * 100 / percent))


def make_due(cell: Watched, *, ago_ms: int) -> str:
    past = Cell(cell.client, PREFIX, clock_ms=cell.now_ms - ago_ms)
    draft = Draft(Content(URL, b"x"), 1_000, at_ms=cell.now_ms - ago_ms)
    return EventStore(past).create(Owner("1", "jiter"), draft).id


def test_nothing_is_sent_while_nothing_is_wrong(cell: Watched) -> None:
    assert cell.check() == []


def test_a_breaker_has_one_alert_when_it_opens_and_one_when_it_closes(
    cell: Watched,
) -> None:
    cell.report_attempts("r" * 20)
    [opened] = cell.check()
    again = cell.check()
    cell.pass_ms(BETWEEN_MS)
    cell.report_attempts("s" * 10)
    cell.report_attempts("s" * 10)
    [closed] = cell.check()

    assert opened["type"] == "destination.failing"
    assert opened["what"] == URL
    assert "is failing: the connection was refused." in opened["text"]
    assert opened["command"] == "scheduler destination list"
    assert again == []
    assert (closed["type"], closed["what"]) == ("destination.recovered", URL)
    assert closed["since"] == opened["since"] == to_iso(cell.now_ms - BETWEEN_MS)
    assert closed["timestamp"] == to_iso(cell.now_ms)
    assert closed["command"] is None


def test_a_full_store_has_one_alert_and_one_when_it_has_room(cell: Watched) -> None:
    set_memory(cell, percent=95)
    full = cell.types(), cell.types()
    cell.pass_ms(BETWEEN_MS)
    set_memory(cell, percent=50)

    assert full == (["store.full"], [])
    assert cell.types() == ["store.has_room"]
    assert cell.types() == []


def test_a_store_at_its_memory_limit_still_has_its_alert(cell: Watched) -> None:
    cell.client.config_set("maxmemory", 1)

    assert cell.types() == ["store.full"]
    assert cell.types() == []


def test_late_events_have_one_alert_and_one_when_they_are_in_time(
    cell: Watched,
) -> None:
    event_id = make_due(cell, ago_ms=60_000)
    in_time = cell.types()
    cell.pass_ms(1)
    [late] = cell.check()
    again = cell.types()
    cell.pass_ms(BETWEEN_MS)
    EventStore(cell.cell).cancel(Owner("1", "jiter"), [event_id])

    assert (in_time, late["type"], again) == ([], "events.late", [])
    assert late["since"] == to_iso(cell.now_ms - BETWEEN_MS - 60_001)
    assert cell.types() == ["events.in_time"]


@pytest.mark.parametrize("role", ROLES)
def test_a_role_without_a_process_has_one_alert_and_one_when_it_is_back(
    cell: Watched, role: str
) -> None:
    cell.kill(role)
    cell.pass_ms(8_000)
    [gone] = cell.check()
    again = cell.types()
    cell.pass_ms(BETWEEN_MS)
    still = cell.types()
    cell.start(role, role)
    cell.pass_ms(0)

    assert (gone["type"], gone["what"]) == ("role.gone", role)
    assert gone["text"].startswith(f"No {role} process runs, so ")
    assert gone["since"] == to_iso(cell.now_ms - BETWEEN_MS - 8_000)
    assert (again, still) == ([], [])
    assert cell.types() == ["role.back"]


def test_one_of_several_processes_that_is_gone_has_an_alert(cell: Watched) -> None:
    cell.start("second", "worker")
    cell.pass_ms(0)
    cell.kill("worker")
    cell.pass_ms(8_000)
    [gone] = cell.check()
    cell.pass_ms(BETWEEN_MS)
    still = cell.types()
    cell.start("third", "worker")
    cell.pass_ms(0)
    [back] = cell.check()

    assert gone["text"].startswith("1 worker process runs, of 2 before")
    assert still == []
    assert back["text"] == "2 worker processes run again."


def test_the_last_process_has_an_alert_after_one_for_the_others(cell: Watched) -> None:
    cell.start("second", "worker")
    cell.pass_ms(0)
    for name in ("worker", "second"):
        cell.kill(name)
        cell.pass_ms(8_000)
        cell.check()
    for name in ("worker", "second"):
        cell.start(name, "worker")
    cell.pass_ms(BETWEEN_MS)
    cell.check()

    types = [orjson.loads(each.body)["type"] for each in cell.receiver.arrivals]
    assert types[:2] == ["process.gone", "role.gone"]
    assert sorted(types[2:]) == ["process.back", "role.back"]


def test_a_process_that_was_replaced_in_time_has_no_alert(cell: Watched) -> None:
    cell.kill("worker")
    cell.pass_ms(4_000)
    cell.start("new", "worker")
    cell.pass_ms(0)
    cell.pass_ms(5_000)

    assert cell.types() == []
    cell.pass_ms(10_000)
    assert cell.types() == []


def test_a_process_that_dies_again_and_again_but_is_replaced_has_no_alert(
    cell: Watched,
) -> None:
    types = []
    for _ in range(12):
        cell.kill("worker")
        cell.pass_ms(3_000)
        cell.start("worker", "worker")
        cell.pass_ms(0)
        types += cell.types()
        cell.pass_ms(1_000)

    assert types == []


def test_a_process_that_died_during_a_rolling_restart_has_an_alert(
    cell: Watched,
) -> None:
    cell.start("second", "worker")
    cell.pass_ms(0)
    cell.kill("worker")
    cell.pass_ms(2_000)
    cell.stop("second")
    cell.pass_ms(2_000)
    cell.start("second", "worker")
    cell.pass_ms(0)
    cell.pass_ms(6_000)

    assert cell.types() == ["process.gone"]


def test_a_process_that_was_asked_to_end_has_no_alert(cell: Watched) -> None:
    cell.start("second", "worker")
    cell.pass_ms(0)
    cell.stop("worker")
    cell.pass_ms(8_000)

    assert cell.types() == []


def test_the_last_process_of_a_role_has_an_alert_also_if_it_was_asked_to_end(
    cell: Watched,
) -> None:
    cell.stop("worker")
    restarting = cell.types()
    cell.pass_ms(8_000)

    assert restarting == []
    assert cell.types() == ["role.gone"]


def test_after_an_hour_the_smaller_number_of_processes_is_intended(
    cell: Watched,
) -> None:
    cell.start("second", "worker")
    cell.pass_ms(0)
    cell.kill("worker")
    cell.pass_ms(8_000)
    cell.check()
    cell.pass_ms(3_600_000)
    [intended] = cell.check()

    assert intended["type"] == "process.back"
    assert intended["text"].endswith("this now counts as intended.")


def test_after_a_start_no_process_counts_as_gone_for_some_seconds(
    cell: Watched,
) -> None:
    cell.client.delete(f"{PREFIX}processes")
    AlertWatch(cell.cell, cell.settings).check()

    assert cell.receiver.arrivals == []
    assert cell.types() == ["role.gone"] * len(ROLES)


def test_messages_are_signed_with_the_present_and_the_older_secret(
    cell: Watched,
) -> None:
    older = "o" * 32
    cell.settings = replace(cell.settings, older_secret_keys=(older,))
    set_memory(cell, percent=95)
    cell.new_watch().check()
    [arrival] = cell.receiver.arrivals

    assert arrival.headers["content-type"] == "application/json"
    for key in (cell.settings.secret_key, older):
        [secret] = alerts.signing_secrets(
            replace(cell.settings, secret_key=key, older_secret_keys=())
        )
        body = Webhook(secret).verify(arrival.body, arrival.headers)
        assert body["type"] == "store.full"


def test_a_flapping_state_has_at_most_two_messages_per_minute(cell: Watched) -> None:
    types = []
    for second in range(60):
        set_memory(cell, percent=95 if second % 2 == 0 else 50)
        types += cell.types()
        cell.pass_ms(1_000)

    assert types == ["store.full", "store.has_room"]


def test_a_change_that_is_reverted_within_the_interval_has_no_message(
    cell: Watched,
) -> None:
    set_memory(cell, percent=95)
    first = cell.types()
    for percent in (50, 95):
        set_memory(cell, percent=percent)
        cell.pass_ms(BETWEEN_MS // 2 - 1)
        first += cell.types()

    assert first == ["store.full"]
    cell.pass_ms(BETWEEN_MS)
    assert cell.types() == []


def test_many_changes_at_once_are_spread_over_some_minutes(cell: Watched) -> None:
    urls = {
        f"https://failing.example/{number}" for number in "abcdefghijklmnopqrstuvwxy"
    }
    for url in sorted(urls):
        cell.report_attempts("r" * 20, url)
    first = cell.check()
    same_minute = cell.check()
    cell.pass_ms(60_000)
    rest = cell.check()

    assert (len(first), same_minute) == (alerts.PER_MINUTE, [])
    assert len(rest) == len(urls) - len(first)


def test_a_message_that_was_refused_is_sent_again_with_the_same_id(
    client: redis.Redis, receivers: Receivers, valkey: str
) -> None:
    receiver = receivers.new_destination(Answer(500), Answer())
    cell = watched(client, receiver, valkey)
    set_memory(cell, percent=95)
    first = cell.types()
    cell.pass_ms(alerts.RETRY_AFTER_MS[0] - 1)
    too_early = cell.types()
    cell.pass_ms(1)
    again = cell.types()
    cell.pass_ms(alerts.RETRY_AFTER_MS[1])

    assert (first, too_early, again) == (["store.full"], [], ["store.full"])
    assert cell.types() == []
    refused, accepted = receiver.arrivals
    assert refused.headers["webhook-id"] == accepted.headers["webhook-id"]
    assert refused.body == accepted.body


def test_messages_about_a_subject_arrive_in_order(
    client: redis.Redis, receivers: Receivers, valkey: str
) -> None:
    receiver = receivers.new_destination(Answer(500), Answer())
    cell = watched(client, receiver, valkey)
    set_memory(cell, percent=95)
    refused = cell.types()
    set_memory(cell, percent=50)
    cell.pass_ms(BETWEEN_MS)
    accepted = cell.types()

    assert refused == ["store.full"]
    assert accepted[0] == "store.full"
    assert accepted[1:] + cell.types() == ["store.has_room"]


def test_a_message_that_nobody_accepts_is_given_up(
    client: redis.Redis,
    receivers: Receivers,
    valkey: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cell = watched(client, receivers.new_destination(Answer(500)), valkey)
    set_memory(cell, percent=95)
    tries = cell.types()
    for wait_ms in alerts.RETRY_AFTER_MS:
        cell.pass_ms(wait_ms)
        tries += cell.types()

    assert tries == ["store.full"] * len(alerts.RETRY_AFTER_MS)
    assert "alert.not_sent type=store.full what=store status=500" in caplog.text


def test_s09_an_address_that_deliveries_may_not_reach_gets_no_alert(
    cell: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    cell.settings = replace(cell.settings, allow_networks=())
    set_memory(cell, percent=95)
    cell.new_watch().check()

    assert cell.receiver.arrivals == []
    assert "alert.not_sent type=store.full what=store error=blocked" in caplog.text


def test_watchers_that_check_at_the_same_moment_send_one_message(
    cell: Watched,
) -> None:
    set_memory(cell, percent=95)
    watches = [cell.new_watch() for _ in range(8)]
    with ThreadPoolExecutor(len(watches)) as pool:
        [*pool.map(AlertWatch.check, watches)]

    assert len(cell.receiver.arrivals) == 1


def test_a_change_that_is_reported_late_has_no_second_message(cell: Watched) -> None:
    notice = alerts.Notice("store.full", "store", cell.now_ms, "It is full.")
    change = alerts.Change("store", is_wrong=True, notice=notice)
    first = alerts.report(cell.cell, [change])
    alerts.report(cell.cell, settled=first)
    cell.pass_ms(BETWEEN_MS)

    assert len(first) == 1
    assert alerts.report(cell.cell, [change]) == []


def test_a_restart_of_all_watchers_repeats_no_message(cell: Watched) -> None:
    set_memory(cell, percent=95)
    first = cell.types()
    cell.new_watch().check()

    assert first == ["store.full"]
    assert len(cell.receiver.arrivals) == 1


def test_a_message_whose_sender_was_killed_is_sent_by_another(cell: Watched) -> None:
    notice = alerts.Notice("store.full", "store", cell.now_ms, "It is full.")
    [taken] = alerts.report(cell.cell, [alerts.Change("store", True, notice)])
    meanwhile = cell.types()
    cell.pass_ms(alerts.RETRY_AFTER_MS[0])
    [sent] = cell.check()[:1]

    assert meanwhile == []
    assert sent["text"] == "It is full."
    assert cell.receiver.arrivals[0].headers["webhook-id"] == taken.id
