"""The model: what is written as text reads back."""

import pytest
from scheduler_api.core.model import FINAL_STATES, Owner, State
from scheduler_api.core.store.leases import Outcome


@pytest.mark.parametrize("owner", [Owner("1", "jiter"), Owner("17", "events_v1")])
def test_an_owner_reads_back(owner: Owner):
    assert Owner.parse(str(owner)) == owner


def test_the_final_states_are_all_but_active():
    assert {*FINAL_STATES, State.ACTIVE} == set(State)
    assert State.ACTIVE not in FINAL_STATES


def test_an_outcome_that_ends_an_event_bears_the_name_of_its_state():
    ends = {Outcome.DELIVERED: State.DELIVERED, Outcome.DEAD: State.DEAD}

    assert {State(outcome.value) for outcome in ends} == set(ends.values())
