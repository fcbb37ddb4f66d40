"""Tests of ids: how they are encoded and derived."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scheduler_api.core.ids import (
    by_hand_id,
    nonce,
    to_id,
    to_number,
)


@given(st.integers(0, 10**18))
def test_an_id_decodes_to_its_number(number: int):
    assert to_number(to_id(number)) == number


@pytest.mark.parametrize(
    ("number", "event_id"), [(0, "0"), (9, "9"), (10, "a"), (35, "z"), (36, "10")]
)
def test_ids_are_base_36_in_lower_case(number: int, event_id: str):
    assert to_id(number) == event_id


@pytest.mark.parametrize("text", ["", "-", "1.5", "7.1", "s:7", "ö"])
def test_decoding_anything_but_an_id_is_an_error(text: str):
    with pytest.raises(ValueError):
        to_number(text)


def test_nonces_are_unique_and_contain_no_separators():
    nonces = {nonce() for _ in range(1_000)}

    assert len(nonces) == 1_000
    assert all(not set(text) & set(".: ,{}") for text in nonces)


def test_the_id_of_a_run_by_hand_is_short_and_unique():
    ids = {by_hand_id("7", 1_900_000_000_999) for _ in range(200)}

    assert len(ids) > 190
    for each in ids:
        schedule_id, _, rest = each.partition(".")
        assert (schedule_id, rest[:11]) == ("7", "1900000000r")
        assert len(rest) <= 16
        assert not rest.isdecimal()
