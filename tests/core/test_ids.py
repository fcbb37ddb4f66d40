"""Ids: short, in blocks, never twice."""

import pytest
import redis
from concurrent.futures import ThreadPoolExecutor
from hypothesis import given
from hypothesis import strategies as st
from scheduler_api.core.ids import (
    BLOCK,
    Ids,
    by_hand_id,
    nonce,
    to_id,
    to_number,
)
from tests.core.engine import PREFIX


@given(st.integers(0, 10**18))
def test_an_id_names_its_number(number: int):
    assert to_number(to_id(number)) == number


@pytest.mark.parametrize(
    ("number", "event_id"), [(0, "0"), (9, "9"), (10, "a"), (35, "z"), (36, "10")]
)
def test_ids_are_base_36_in_lower_case(number: int, event_id: str):
    assert to_id(number) == event_id


@pytest.mark.parametrize("text", ["", "-", "1.5", "7.1", "s:7", "ö"])
def test_what_is_no_id_has_no_number(text: str):
    with pytest.raises(ValueError):
        to_number(text)


def test_ids_ascend_from_one(store_client: redis.Redis):
    ids = Ids(store_client, PREFIX)

    assert [ids.take() for _ in range(BLOCK + 5)] == [
        to_id(number) for number in range(1, BLOCK + 6)
    ]


def test_two_processes_share_no_id(store_client: redis.Redis):
    one, two = Ids(store_client, PREFIX), Ids(store_client, PREFIX)

    taken = [ids.take() for _ in range(2 * BLOCK) for ids in (one, two)]

    assert len(set(taken)) == len(taken)


def test_next_id_is_above_all_that_are_given_out(store_client: redis.Redis):
    one, two = Ids(store_client, PREFIX), Ids(store_client, PREFIX)
    one.take()

    given = [to_number(ids.next()) for _ in range(40) for ids in (one, two)]
    assert given == sorted(set(given))
    assert given[0] > BLOCK
    assert to_number(two.take()) > given[-1]


def test_threads_of_one_process_share_no_id(store_client: redis.Redis):
    ids = Ids(store_client, PREFIX)

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: ids.take(), range(2_000)))

    assert len(set(taken)) == 2_000
    assert set(taken) == {to_id(number) for number in range(1, 2_001)}


def test_nonces_differ_and_fit_into_a_key():
    made = {nonce() for _ in range(1_000)}

    assert len(made) == 1_000
    assert all(not set(text) & set(".: ,{}") for text in made)


def test_an_id_of_a_run_by_hand_is_short_and_of_its_own():
    ids = {by_hand_id("7", 1_900_000_000_999) for _ in range(200)}

    assert len(ids) > 190
    for each in ids:
        schedule_id, _, rest = each.partition(".")
        assert (schedule_id, rest[:11]) == ("7", "1900000000r")
        assert len(rest) <= 16
        assert not rest.isdecimal()
