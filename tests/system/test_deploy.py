"""Tests of function libraries during deploys, failovers, and on a full store."""

import pytest
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from scheduler_api.core.model import State
from scheduler_api.core.store import functions, keys
from scheduler_api.core.store.processes import read_processes
from scheduler_api.web.readiness import NO_FUNCTIONS
from tests.system.load import Load, accepted_event
from tests.system.observer import Accepted, Answer
from tests.system.processes import wait_until
from tests.system.replicas import ReplicatedCell
from tests.system.versions import LibraryCell, TwoVersions

pytestmark = pytest.mark.slow

LEAD_MS = 1_000
BATCH = 30
TICKERS = 10
ERRORS = ("store.unreachable", "tick.failed", "library.refused")


@pytest.fixture
def cell(tmp_path: Path) -> Iterator[LibraryCell]:
    """A system with one version of the code."""
    with LibraryCell(tmp_path) as cell:
        yield cell


@pytest.fixture
def versions(tmp_path: Path) -> Iterator[TwoVersions]:
    """A system with two versions of the code; one web worker answers all requests."""
    with TwoVersions(tmp_path, SCHED_WEB_WORKERS="1") as cell:
        yield cell


@pytest.fixture
def replicated(tmp_path: Path) -> Iterator[ReplicatedCell]:
    """A system with a replicated store."""
    with ReplicatedCell(tmp_path) as cell:
        yield cell


def wait_for_arrivals(cell: LibraryCell) -> None:
    """Wait until `BATCH` more requests have arrived."""
    before = len(cell.receiver.arrivals)
    wait_until(lambda: len(cell.receiver.arrivals) >= before + BATCH)


def calls(cell: LibraryCell, command: str) -> tuple[int, int]:
    """How many calls of a store command succeeded and failed since the last reset."""
    stats = cell.client.info("commandstats").get(f"cmdstat_{command}")
    if not stats:
        return 0, 0
    return stats["calls"] - stats["failed_calls"], stats["failed_calls"]


@contextmanager
def full(cell: LibraryCell) -> Iterator[None]:
    """Context manager that keeps the store at its memory limit."""
    cell.client.config_set("maxmemory", 1)
    yield
    cell.client.config_set("maxmemory", 0)


def missing(cell: LibraryCell) -> object:
    """Return the `missing` list of `/readyz`; fail unless the status is 503."""
    answer = cell.request("GET", "/readyz")
    assert answer.status == 503
    return answer.body.get("missing", [])


def create_when_possible(cell: LibraryCell, label: str) -> Accepted:
    """Try to create an event until the system accepts it."""
    answers: list[Answer] = []

    def is_accepted() -> bool:
        answers.append(cell.post(label, in_ms=LEAD_MS))
        return answers[-1].status == 200

    wait_until(is_accepted, within_s=10)
    return accepted_event(answers[-1], label)


def test_r27_a_deploy_under_load_causes_no_errors_while_both_libraries_are_in_use(
    versions: TwoVersions,
):
    cell = versions
    new, old = cell.library, cell.other_library
    cell.start_other("web-old", "ticker-old", "worker-old", "worker-kept")
    codes: dict[str, int] = {}
    with Load(cell, per_s=100, in_ms=LEAD_MS, query="delay_ms=100") as load:
        wait_for_arrivals(cell)
        before_deploy = cell.loaded()
        for role in ("worker", "ticker", "web"):
            codes[role] = cell[f"{role}-old"].terminate()
            cell.start(role)
            wait_for_arrivals(cell)
        after_deploy = cell.loaded()

        cell.start("chores")
        cell["worker-kept"].freeze()
        deleted = cell.delete_other_libraries()
        after_deletion = cell.loaded()
        cell["worker-kept"].thaw()

        # From now on, only `worker-kept`, which has the old version, delivers.
        codes["new worker"] = cell["worker"].terminate()
        wait_for_arrivals(cell)
        at_end = cell.loaded()
    cell.wait_drained()
    codes["kept worker"] = cell["worker-kept"].terminate()
    tally = cell.tally(load.accepted)
    print(tally, codes, load.unanswered)

    assert before_deploy == {old}
    assert after_deploy == {old, new}
    assert (deleted, after_deletion) == (1, {new})
    assert at_end == {old, new}
    assert tally.is_sound
    assert tally.duplicates == 0
    assert not any(codes.values()), codes
    assert load.unexpected == []
    assert load.retry_after == []


def test_ten_processes_can_load_the_library_at_the_same_time(cell: LibraryCell):
    tickers = [f"ticker-{number}" for number in range(TICKERS)]
    cell.start(*tickers)
    wake = keys.wake(cell.prefix)
    wait_until(lambda: cell.client.pubsub_numsub(wake) == [(wake.encode(), TICKERS)])

    # If several tickers load the library at the same time, the store accepts one load
    # and refuses the others. Repeat until the store has refused enough loads.
    # A ticker that has claimed has also loaded the library that remembers the epoch.
    wait_until(lambda: claiming(cell) == TICKERS)
    refused = 0
    while refused < TICKERS - 1:
        cell.client.config_resetstat()
        with cell.client.pipeline() as pipe:
            pipe.function_delete(cell.library)
            pipe.publish(wake, "")
            pipe.execute()
        wait_until(lambda: calls(cell, "fcall")[0] >= TICKERS)
        loads, refusals = calls(cell, "function|load")
        assert loads == 1
        refused += refusals

    assert cell.loaded() == {cell.library}
    for name in tickers:
        assert not [event for event in ERRORS if event in cell[name].output], name


def claiming(cell: LibraryCell) -> int:
    """Return how many tickers have reported a claim."""
    stored = cell.client.hgetall(keys.processes(cell.prefix))
    running = read_processes(stored, now_ms=cell.events.cell.now_ms())
    return sum("lastClaimAgeMs" in each.load for each in running)


WITH, WITHOUT = "with the library", "without the library"
READ_ONLY = "without the library, read-only at first"


@pytest.mark.parametrize("replica", [WITH, WITHOUT, READ_ONLY])
def test_a_failover_loses_no_replicated_event(replica: str, replicated: ReplicatedCell):
    cell = replicated
    cell.start("web", "ticker", "worker")
    with Load(cell, per_s=100, in_ms=LEAD_MS, query="delay_ms=100") as load:
        wait_for_arrivals(cell)
        if replica != WITH:
            cell.delete_libraries_on_replica()
        replicated_events = len(load.accepted)
        cell.wait_replicated()
        cell.store.kill()
        # The store may contain one more event, whose response has not arrived yet.
        uncertain = len(load.accepted) + 1
        loaded = cell.loaded_on_replica()
        if replica == READ_ONLY:
            cell.switch_to_replica()
            wait_until(lambda: load.retry_after)
            wait_until(lambda: "read only replica" in cell["ticker"].output)
            cell.promote()
        else:
            cell.promote()
            cell.switch_to_replica()
        wait_until(lambda: len(load.accepted) > uncertain + BATCH)
    cell.wait_drained()
    before = cell.tally(load.accepted[:replicated_events])
    after = cell.tally(load.accepted[uncertain:])
    print(before, after, sep="\n")

    assert loaded == ({cell.library} if replica == WITH else set())
    assert cell.loaded() == {cell.library}
    assert (before.lost, before.early, before.faults) == ([], 0, [])
    assert (after.is_sound, after.duplicates) == (True, 0)
    assert load.unexpected == []


def test_a_full_store_refuses_to_load_a_deleted_library_until_there_is_room(
    versions: TwoVersions,
):
    cell = versions
    new, old = cell.library, cell.other_library
    cell.start("ticker", "worker")
    cell.start_other("web")
    wait_until(cell.is_ready)
    cell.warm_up()
    in_flight = cell.create_many(BATCH, over_s=0, query="delay_ms=2000")
    later = cell.create("later", at_ms=in_flight[0].at_ms + 4_000)
    wait_until(lambda: len(cell.receiver.arrivals) == BATCH)
    own = cell.events.cell.library
    assert functions.delete(cell.client, own, others_only=True) == [old]

    with full(cell):
        begun = cell.begun()
        refused = cell.post("refused", in_ms=LEAD_MS)
        reasons = missing(cell)
        wait_until(lambda: not cell.begun())
        states = {cell.event(event).state for event in in_flight}
        loaded = cell.loaded()
    ready_s = wait_until(cell.is_ready, within_s=10)
    after = create_when_possible(cell, "after")
    cell.wait_drained()
    tally = cell.tally([*in_flight, later, after])
    print(tally, f"ready again after {ready_s:.1f} s")

    assert refused.status == 503
    assert NO_FUNCTIONS in reasons
    assert f"library.refused library={old}" in cell["web"].output
    assert (len(begun), states) == (BATCH, {State.DELIVERED})
    assert loaded == {new}
    assert cell.loaded() == {new, old}
    assert tally.is_sound
    assert tally.duplicates == 0


def test_a_version_started_on_a_full_store_is_ready_as_soon_as_there_is_room(
    versions: TwoVersions,
):
    cell = versions
    new, old = cell.library, cell.other_library
    cell.start("ticker", "worker")
    wait_until(cell.loaded)

    with full(cell):
        cell.start_other("web")
        refused = cell.post("refused", in_ms=LEAD_MS)
        missing(cell)
        loaded = cell.loaded()
    ready_s = wait_until(cell.is_ready, within_s=10)
    after = create_when_possible(cell, "after")
    cell.wait_drained()
    tally = cell.tally([after])
    print(tally, f"ready after {ready_s:.1f} s")

    assert refused.status == 503
    assert f"library.refused library={old}" in cell["web"].output
    assert loaded == {new}
    assert cell.loaded() == {new, old}
    assert tally.is_sound


def test_a_version_started_on_a_full_store_reports_why_it_is_not_ready(
    versions: TwoVersions,
):
    with full(versions):
        versions.start_other("web")

        assert NO_FUNCTIONS in missing(versions)
