"""Tests of a store that is unavailable under load, and returns with its data."""

import pytest
from collections.abc import Callable
from tests.system import outages
from tests.system.cell import SHORT_LEASES, Cell

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_r06_an_outage_of_the_store_longer_than_a_lease_only_delays_events(
    how: str, new_cell: Callable[..., Cell]
):
    report = outages.store_outage(new_cell(**SHORT_LEASES), away_s=3, how=how)

    print(report)
    assert report.problems == []
    assert report.tally.duplicates == 0
