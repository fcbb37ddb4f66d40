"""Tests of tenants and destinations that hang or are slow, beside others."""

import pytest
from collections.abc import Callable
from tests.system import isolation
from tests.system.cell import Cell

pytestmark = pytest.mark.slow


def test_slow_destinations_do_not_delay_a_fast_one_of_any_tenant(
    new_cell: Callable[..., Cell],
):
    report = isolation.three_tenants(
        new_cell(),
        hanging=150,
        flood=300,
        slow=150,
        events=50,
        over_s=0.5,
        slack_ms=1_000,
    )

    print(report)
    assert report.problems == []
