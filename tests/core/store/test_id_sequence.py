"""Tests of the id sequence: ids ascend, and no two processes or threads share an id."""

import redis
from concurrent.futures import ThreadPoolExecutor
from scheduler_api.core.ids import to_id, to_number
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.id_sequence import BLOCK, IdSequence
from tests.core.engine import PREFIX


def test_ids_ascend_from_one(store_client: redis.Redis):
    ids = IdSequence(Cell(store_client, PREFIX))

    assert [ids.take() for _ in range(BLOCK + 5)] == [
        to_id(number) for number in range(1, BLOCK + 6)
    ]


def test_two_processes_get_different_ids(store_client: redis.Redis):
    one, two = (
        IdSequence(Cell(store_client, PREFIX)),
        IdSequence(Cell(store_client, PREFIX)),
    )

    taken = [ids.take() for _ in range(2 * BLOCK) for ids in (one, two)]

    assert len(set(taken)) == len(taken)


def test_next_returns_an_id_higher_than_all_earlier_ids(store_client: redis.Redis):
    one, two = (
        IdSequence(Cell(store_client, PREFIX)),
        IdSequence(Cell(store_client, PREFIX)),
    )
    one.take()

    numbers = [to_number(ids.next()) for _ in range(40) for ids in (one, two)]
    assert numbers == sorted(set(numbers))
    assert numbers[0] > BLOCK
    assert to_number(two.take()) > numbers[-1]


def test_threads_get_different_ids(store_client: redis.Redis):
    ids = IdSequence(Cell(store_client, PREFIX))

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: ids.take(), range(2_000)))

    assert len(set(taken)) == 2_000
    assert set(taken) == {to_id(number) for number in range(1, 2_001)}
