"""Scripts: their form, how they are loaded, and how many round trips they cost."""

import asyncio
import pytest
import re
import redis
import redis.asyncio
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import pairwise
from scheduler_api.core.model import Draft, FlowLimits, Gates
from scheduler_api.core.store import claims, scripts
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.leases import WorkerStore
from tests.core.engine import (
    CONTENT,
    DEADLINE_MS,
    LEASE_MS,
    OWNER,
    PREFIX,
    TIMEOUTS,
    settlement,
)
from tests.core.trips import AsyncCounting, Counting, Trips
from typing import Any

FOLDER = files("scheduler_api.core.store").joinpath("lua")
FILES = [file for file in FOLDER.iterdir() if file.name.endswith(".lua")]
PARTS = {
    *("prelude.lua", "fire.lua", "pick.lua", "quiet.lua", "reap.lua", "rest.lua"),
    *("new.lua", "number.lua", "occurrence.lua", "stand.lua", "terms.lua", "times.lua"),
    *("mark.lua", "withdraw.lua", "accept.lua", "cleared.lua"),
    *("missed.lua", "skipped.lua", "carry.lua"),
    *("gates.lua", "admit.lua", "grant.lua", "let_in.lua"),
    *("bind.lua", "charge.lua", "drop.lua", "gated.lua", "look.lua"),
    *("inspect_event.lua", "solo.lua", "again.lua", "follow.lua"),
    *("health.lua", "share.lua", "answer.lua", "tidy.lua", "detour.lua"),
    *("lift.lua", "regate.lua", "reserve.lua", "room.lua"),
    *("standing.lua", "place.lua", "called.lua"),
}
SCRIPTS = [file for file in FILES if file.name not in PARTS]
SPAN = re.MULTILINE | re.DOTALL


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_script_uses_nothing_that_some_server_lacks(file: Traversable):
    text = file.read_text()

    for missing in ("cmsgpack", "struct.", "bit.", "sha1hex", "#!lua", "setresp"):
        assert missing not in text


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_a_script_is_named_by_the_hash_of_its_whole_source(
    store_client: redis.Redis, file: Traversable
):
    script = scripts.load(file.name.removesuffix(".lua"))

    known_as = store_client.script_load(script.source)

    assert known_as == script.sha1
    assert "--# include" not in script.source
    assert script.source.startswith("-- Put before every script")


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_a_script_has_no_function_that_nothing_names(file: Traversable):
    code = code_of(file.name.removesuffix(".lua"))

    for name in re.findall(r"local function (\w+)", code):
        assert len(re.findall(rf"\b{name}\b", code)) > 1, name


@pytest.mark.parametrize("name", ["begin", "claim", "create", "settle"])
def test_a_variable_that_is_made_when_needed_is_named_nowhere_else(name: str):
    code = code_of(name)
    made = re.findall(r"^local function make_\w+\(\)\n.*?^return .*? end$", code, SPAN)

    assert made
    for each in made:
        lists = re.findall(r"^local ([\w, ]+) =", each, re.MULTILINE)
        for variable in re.findall(r"[a-z]\w*", " ".join(lists)):
            outside = code.replace(each, "")
            assert not re.search(rf"\b{variable}\b", outside), variable


def code_of(name: str) -> str:
    return re.sub(r" *--.*", "", scripts.load(name).source)


def test_a_store_that_forgot_its_scripts_is_taught_again(store_client: redis.Redis):
    store = EventStore(Cell(store_client, PREFIX))
    claims.claim(store.cell, room=0, timeouts=TIMEOUTS)
    store_client.script_flush()

    assert claims.claim(store.cell, room=0, timeouts=TIMEOUTS).ids == []


def test_a_store_that_forgot_its_scripts_is_taught_by_workers_too(
    worker_store: WorkerStore, store_client: redis.Redis
):
    store_client.script_flush()

    async def begin() -> Any:
        return await WorkerStore(worker_store.client, PREFIX, lease_ms=1).begin(["7"])

    with asyncio.Runner() as runner:
        begun = runner.run(begin())
        runner.run(worker_store.client.aclose())

    assert begun == ([], {"7": "gone"})


GATES = {
    "ungated": Gates(),
    "gated": Gates(flow=FlowLimits("customer", parallelism=100, rate=100)),
}


@pytest.mark.parametrize("gates", GATES.values(), ids=GATES)
def test_each_step_of_an_event_costs_one_round_trip(valkey: str, gates: Gates):
    asyncio.run(one_round_trip_each(valkey, gates))


async def one_round_trip_each(url: str, gates: Gates) -> None:
    trips = Trips()
    pool = redis.ConnectionPool.from_url(url, connection_class=Counting, trips=trips)
    async_pool = redis.asyncio.ConnectionPool.from_url(
        url, connection_class=AsyncCounting, trips=trips
    )
    client, async_client = (
        redis.Redis.from_pool(pool),
        redis.asyncio.Redis.from_pool(async_pool),
    )
    client.flushall()
    store = EventStore(Cell(client, PREFIX, clock_ms=1_000))
    worker = WorkerStore(async_client, PREFIX, lease_ms=LEASE_MS, clock_ms=2_000)

    draft = Draft(CONTENT, DEADLINE_MS, at_ms=2_000, ascending=True, gates=gates)

    def create() -> None:
        store.create_many(OWNER, [draft])

    create()
    claims.claim(store.cell, room=0, timeouts=TIMEOUTS)
    await worker.begin([])
    await worker.settle([])
    await worker.renew([])
    await worker.release([])
    spent = []

    for _ in range(50):
        create()
    spent.append(trips.count)
    store.cell.clock_ms = 2_000
    ids = claims.claim(store.cell, room=100, timeouts=TIMEOUTS).ids
    spent.append(trips.count)
    begun, _ = await worker.begin(ids[1:])
    spent.append(trips.count)
    await worker.renew(begun)
    spent.append(trips.count)
    await worker.settle([settlement(each) for each in begun])
    spent.append(trips.count)
    await worker.release(ids[:1])
    spent.append(trips.count)

    await async_client.aclose()
    client.close()
    steps = [after - before for before, after in pairwise(spent)]
    assert len(begun) == 50
    assert steps == [1] * 5


@pytest.mark.parametrize("ascending", [False, True])
def test_ids_do_not_cost_a_creation_its_one_round_trip(valkey: str, ascending: bool):
    trips = Trips()
    pool = redis.ConnectionPool.from_url(valkey, connection_class=Counting, trips=trips)
    with redis.Redis.from_pool(pool) as client:
        client.flushall()
        store = EventStore(Cell(client, PREFIX, clock_ms=1_000))
        drafts = [Draft(CONTENT, DEADLINE_MS, at_ms=2_000, ascending=ascending)]
        store.create_many(OWNER, drafts)
        before = trips.count

        for _ in range(99):
            store.create_many(OWNER, drafts)

        assert trips.count - before == 99
        store.create_many(OWNER, drafts)
        assert trips.count - before == (100 if ascending else 101)


def test_intake_is_refused_by_a_store_that_is_full_and_nothing_else_is():
    loaded = {file.name: scripts.load(file.name[:-4]).source for file in SCRIPTS}
    opened = {name for name, text in loaded.items() if "'DEL', P .. 'never'" in text}

    assert loaded.keys() - opened == {"create.lua"}
