"""A store carries the number of its layout; another version's is refused at a start."""

import pytest
import redis
from concurrent.futures import ThreadPoolExecutor
from scheduler_api.core.errors import UnknownLayout
from scheduler_api.core.store import keys, layout
from tests.core.engine import PREFIX, Engine


def test_an_empty_cell_takes_the_layout_of_the_first_start(
    store_client: redis.Redis,
) -> None:
    layout.ensure(store_client, PREFIX)

    assert store_client.get(keys.layout(PREFIX)) == str(layout.LAYOUT).encode()


def test_a_later_start_on_the_same_layout_goes_on(engine: Engine) -> None:
    layout.ensure(engine.client, PREFIX)
    event = engine.create()

    layout.ensure(engine.client, PREFIX)

    assert engine.get(event.id).id == event.id


@pytest.mark.parametrize("written", layout.OLDER_KEYS)
def test_a_cell_that_an_older_version_wrote_is_refused(
    engine: Engine, written: str
) -> None:
    engine.checks_faults = False
    engine.client.set(f"{PREFIX}{written}", 7)

    with pytest.raises(UnknownLayout, match=r"layout none.*empty-store"):
        layout.ensure(engine.client, PREFIX)

    assert engine.client.get(keys.layout(PREFIX)) is None


def test_a_cell_that_was_lost_and_written_again_is_not_an_older_one(
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


def test_processes_that_start_at_once_all_take_an_empty_cell(valkey: str) -> None:
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


def test_an_emptied_cell_holds_nothing_and_can_be_started_on(engine: Engine) -> None:
    engine.create()
    engine.client.set("{s2}:seq", 7)

    layout.delete_all(engine.cell)
    layout.ensure(engine.client, PREFIX)

    assert engine.client.function_list(engine.cell.library.name) == []
    assert {*engine.client.keys()} == {keys.layout(PREFIX).encode(), b"{s2}:seq"}
