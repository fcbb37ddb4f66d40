"""Tests of data types: owners as text, and the names of states and outcomes."""

import pytest
from scheduler_api.core.model import FINAL_STATES, Outcome, Owner, State


@pytest.mark.parametrize("owner", [Owner("1", "jiter"), Owner("17", "events_v1")])
def test_an_owner_can_be_parsed_from_its_text(owner: Owner):
    assert Owner.parse(str(owner)) == owner


def test_every_state_but_active_is_final():
    assert {*FINAL_STATES, State.ACTIVE} == set(State)
    assert State.ACTIVE not in FINAL_STATES


def test_a_final_outcome_has_the_same_name_as_the_state_of_its_event():
    ends = {Outcome.DELIVERED: State.DELIVERED, Outcome.DEAD: State.DEAD}

    assert {State(outcome.value) for outcome in ends} == set(ends.values())
