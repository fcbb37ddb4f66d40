"""Tests of the layout number of a cell: processes refuse cells of another layout."""

import pytest
import redis
from concurrent.futures import ThreadPoolExecutor
from scheduler_api.core.errors import UnknownLayout
from scheduler_api.core.store import keys, layout
from tests.core.engine import PREFIX, Engine


def test_the_first_start_writes_the_layout(
    store_client: redis.Redis,
) -> None:
    layout.ensure(store_client, PREFIX)

    assert store_client.get(keys.layout(PREFIX)) == str(layout.LAYOUT).encode()


def test_a_start_accepts_the_same_layout(engine: Engine) -> None:
    layout.ensure(engine.client, PREFIX)
    event = engine.create()

    layout.ensure(engine.client, PREFIX)

    assert engine.get(event.id).id == event.id


@pytest.mark.parametrize("older_key", layout.OLDER_KEYS)
def test_a_cell_of_an_older_version_is_refused(engine: Engine, older_key: str) -> None:
    engine.checks_faults = False
    engine.client.set(f"{PREFIX}{older_key}", 7)

    with pytest.raises(UnknownLayout, match=r"layout none.*empty-store"):
        layout.ensure(engine.client, PREFIX)

    assert engine.client.get(keys.layout(PREFIX)) is None


def test_a_cell_that_lost_its_data_is_accepted(
    engine: Engine,
) -> None:
    engine.create()
    engine.claim()
    engine.worker.begin(*engine.due())

    layout.ensure(engine.client, PREFIX)

    assert engine.client.get(keys.layout(PREFIX)) == str(layout.LAYOUT).encode()


def test_the_layout_of_a_later_version_is_refused(store_client: redis.Redis) -> None:
    store_client.set(keys.layout(PREFIX), layout.LAYOUT + 1)

    with pytest.raises(UnknownLayout, match=f"layout {layout.LAYOUT + 1}"):
        layout.ensure(store_client, PREFIX)


def test_processes_can_start_on_an_empty_cell_at_once(valkey: str) -> None:
    clients = [redis.Redis.from_url(valkey) for _ in range(10)]
    clients[0].flushall()

    def start(client: redis.Redis) -> None:
        layout.ensure(client, PREFIX)
        client.incr(keys.sequence(PREFIX))

    with ThreadPoolExecutor(len(clients)) as pool:
        started = [*pool.map(start, clients)]

    for each in clients:
        each.close()
    assert started == [None] * len(clients)


def test_a_deleted_cell_is_empty_and_can_be_started_on(engine: Engine) -> None:
    engine.create()
    engine.client.set("{s2}:seq", 7)

    layout.delete_all(engine.cell)
    layout.ensure(engine.client, PREFIX)

    assert engine.client.function_list(engine.cell.library.name) == []
    assert {*engine.client.keys()} == {keys.layout(PREFIX).encode(), b"{s2}:seq"}
