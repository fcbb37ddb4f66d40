"""Tests of ids: which text is one, and that none is lost."""

import pytest
from scheduler_api.dialects.jiter.ids import public_id, read_id, stored_id


@pytest.mark.parametrize("stored", ["1", "2s", "zzzzzzzz", "a.1796185211"])
def test_the_stored_id_is_found_by_the_id_that_clients_use(stored: str):
    assert stored_id(public_id(stored)) == stored


@pytest.mark.parametrize(
    "text", ["", "0", "007", "-1", "1x", "1 ", "1_0", "\u0663", "1" * 19, "9" * 5_000]
)
def test_any_other_text_is_no_id(text: str):
    assert stored_id(text) is read_id(text) is None


def test_the_id_of_a_run_is_not_that_of_an_event_or_cron_job():
    assert read_id("1.1796185211") is None
