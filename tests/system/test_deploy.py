"""Libraries under load: two versions, failovers, a store too full to take one."""

import pytest
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from scheduler_api.core.model import State
from scheduler_api.core.store import functions, keys
from scheduler_api.web.readiness import NO_FUNCTIONS
from tests.system.load import Load, taken_on
from tests.system.observer import Accepted, Answer
from tests.system.processes import wait_until
from tests.system.replicas import ReplicatedCell
from tests.system.versions import LibraryCell, TwoVersions

pytestmark = pytest.mark.slow

LEAD_MS, ONE_BYTE = 1_000, 1
SOME = 30
TEN = 10
TROUBLE = ("store.unreachable", "tick.failed", "library.refused")


@pytest.fixture
def cell(tmp_path: Path) -> Iterator[LibraryCell]:
    """A system of one version."""
    with LibraryCell(tmp_path) as cell:
        yield cell


@pytest.fixture
def versions(tmp_path: Path) -> Iterator[TwoVersions]:
    """A system of two versions; one web process, so that each answer is its."""
    with TwoVersions(tmp_path, SCHED_WEB_WORKERS="1") as cell:
        yield cell


@pytest.fixture
def replicated(tmp_path: Path) -> Iterator[ReplicatedCell]:
    """A system whose store has a replica."""
    with ReplicatedCell(tmp_path) as cell:
        yield cell


def wait_for_arrivals(cell: LibraryCell) -> None:
    """Wait until some more have arrived."""
    before = len(cell.receiver.arrivals)
    wait_until(lambda: len(cell.receiver.arrivals) >= before + SOME)


def calls(cell: LibraryCell, command: str) -> tuple[int, int]:
    """How many calls of a command succeeded and failed since they were last reset."""
    found = cell.client.info("commandstats").get(f"cmdstat_{command}")
    if not found:
        return 0, 0
    return found["calls"] - found["failed_calls"], found["failed_calls"]


@contextmanager
def full(cell: LibraryCell) -> Iterator[None]:
    """The store is at its memory limit meanwhile."""
    cell.client.config_set("maxmemory", ONE_BYTE)
    yield
    cell.client.config_set("maxmemory", 0)


def missing(cell: LibraryCell) -> object:
    """What `/readyz` says is missing, with a 503."""
    answer = cell.request("GET", "/readyz")
    assert answer.status == 503
    return answer.body.get("missing", [])


def accept_again(cell: LibraryCell, label: str) -> Accepted:
    """Create an event as soon as the system takes one on."""
    answers: list[Answer] = []

    def is_accepted() -> bool:
        answers.append(cell.post(label, in_ms=LEAD_MS))
        return answers[-1].status == 200

    wait_until(is_accepted, within_s=10)
    return taken_on(answers[-1], label)


def test_a_deploy_under_load_shows_nowhere_though_both_libraries_are_in_use(
    versions: TwoVersions,
):
    cell = versions
    new, old = cell.library, cell.other_library
    cell.start_other("web-old", "ticker-old", "worker-old", "worker-left")
    codes: dict[str, int] = {}
    with Load(cell, per_s=100, in_ms=LEAD_MS, query="delay_ms=100") as load:
        wait_for_arrivals(cell)
        before = cell.loaded()
        for role in ("worker", "ticker", "web"):
            codes[role] = cell[f"{role}-old"].terminate()
            cell.start(role)
            wait_for_arrivals(cell)
        meanwhile = cell.loaded()

        cell.start("chores")
        cell["worker-left"].freeze()
        deleted = cell.delete_other_libraries()
        afterwards = cell.loaded()
        cell["worker-left"].thaw()

        codes["new worker"] = cell["worker"].terminate()
        wait_for_arrivals(cell)
        again = cell.loaded()
    cell.wait_drained()
    codes["left"] = cell["worker-left"].terminate()
    tally = cell.tally(load.accepted)
    print(tally, codes, load.unanswered)

    assert before == {old}
    assert meanwhile == {old, new}
    assert (deleted, afterwards) == (1, {new})
    assert again == {old, new}
    assert tally.is_sound
    assert tally.duplicates == 0
    assert not any(codes.values()), codes
    assert load.unexpected == []
    assert load.retry_after == []


def test_ten_processes_that_load_at_the_same_moment_all_go_on(cell: LibraryCell):
    tickers = [f"ticker-{number}" for number in range(TEN)]
    cell.start(*tickers)
    wake = keys.wake(cell.prefix)
    wait_until(lambda: cell.client.pubsub_numsub(wake) == [(wake.encode(), TEN)])

    came_second = 0
    while came_second < TEN - 1:
        cell.client.config_resetstat()
        with cell.client.pipeline() as pipe:
            pipe.function_flush()
            pipe.publish(wake, "")
            pipe.execute()
        wait_until(lambda: calls(cell, "fcall")[0] >= TEN)
        loads, refusals = calls(cell, "function|load")
        assert loads == 1
        came_second += refusals

    assert cell.loaded() == {cell.library}
    for name in tickers:
        assert not [line for line in TROUBLE if line in cell[name].printed], name


KNOWS, LACKS, READ_ONLY = "knows it", "lacks it", "lacks it, is read-only at first"


@pytest.mark.parametrize("replica", [KNOWS, LACKS, READ_ONLY])
def test_a_failover_loses_nothing_that_was_replicated(
    replica: str, replicated: ReplicatedCell
):
    cell = replicated
    cell.start("web", "ticker", "worker")
    with Load(cell, per_s=100, in_ms=LEAD_MS, query="delay_ms=100") as load:
        wait_for_arrivals(cell)
        if replica != KNOWS:
            cell.forget_libraries_on_replica()
        safe = len(load.accepted)
        cell.wait_replicated()
        cell.store.kill()
        # One more may have been answered by now.
        unsure = len(load.accepted) + 1
        known = cell.loaded_on_replica()
        if replica == READ_ONLY:
            cell.lead_to_replica()
            wait_until(lambda: load.retry_after)
            wait_until(lambda: "read only replica" in cell["ticker"].printed)
            cell.promote()
        else:
            cell.promote()
            cell.lead_to_replica()
        wait_until(lambda: len(load.accepted) > unsure + SOME)
    cell.wait_drained()
    before = cell.tally(load.accepted[:safe])
    after = cell.tally(load.accepted[unsure:])
    print(before, after, sep="\n")

    assert known == ({cell.library} if replica == KNOWS else set())
    assert cell.loaded() == {cell.library}
    assert (before.lost, before.early, before.faults) == ([], 0, [])
    assert (after.is_sound, after.duplicates) == (True, 0)
    assert load.unexpected == []


def test_a_full_store_refuses_a_library_that_was_deleted_until_there_is_room(
    versions: TwoVersions,
):
    cell = versions
    new, old = cell.library, cell.other_library
    cell.start("ticker", "worker")
    cell.start_other("web")
    wait_until(cell.is_ready)
    in_hand = cell.create_many(SOME, over_s=0, query="delay_ms=2000")
    later = cell.create("later", at_ms=in_hand[0].at_ms + 4_000)
    wait_until(lambda: len(cell.receiver.arrivals) == SOME)
    own = cell.events.cell.library
    assert functions.delete(cell.client, own, others_only=True) == [old]

    with full(cell):
        held = cell.begun()
        refused = cell.post("refused", in_ms=LEAD_MS)
        reasons = missing(cell)
        wait_until(lambda: not cell.begun())
        states = {cell.event(each).state for each in in_hand}
        known = cell.loaded()
    ready_s = wait_until(cell.is_ready, within_s=10)
    after = accept_again(cell, "after")
    cell.wait_drained()
    tally = cell.tally([*in_hand, later, after])
    print(tally, f"ready again after {ready_s:.1f} s")

    assert refused.status == 503
    assert NO_FUNCTIONS in reasons
    assert f"library.refused library={old}" in cell["web"].printed
    assert (len(held), states) == (SOME, {State.DELIVERED})
    assert known == {new}
    assert cell.loaded() == {new, old}
    assert tally.is_sound
    assert tally.duplicates == 0


def test_a_version_started_on_a_full_store_goes_on_once_there_is_room(
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
        known = cell.loaded()
    ready_s = wait_until(cell.is_ready, within_s=10)
    after = accept_again(cell, "after")
    cell.wait_drained()
    tally = cell.tally([after])
    print(tally, f"ready after {ready_s:.1f} s")

    assert refused.status == 503
    assert f"library.refused library={old}" in cell["web"].printed
    assert known == {new}
    assert cell.loaded() == {new, old}
    assert tally.is_sound


def test_a_version_started_on_a_full_store_says_why_it_is_not_ready(
    versions: TwoVersions,
):
    with full(versions):
        versions.start_other("web")

        assert NO_FUNCTIONS in missing(versions)
