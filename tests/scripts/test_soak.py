"""Tests of what scripts/soak takes for growth."""

import pytest
import random
from collections.abc import Sequence
from soak_census import trends

NOISE = [random.Random(7).gauss(0, 45) for _ in range(30)]


def are_flat(values: Sequence[float], unit: str) -> bool:
    [trend] = trends([{f"worker {unit}": value} for value in values])
    return trend.is_flat


@pytest.mark.parametrize(
    ("unit", "per_minute"),
    [("MiB", 2), ("descriptors", 10), ("connections", 10), ("keys", 30)],
)
def test_a_leak_is_reported(unit: str, per_minute: float) -> None:
    assert not are_flat([200 + per_minute * n for n in range(30)], unit)


def test_a_leak_is_reported_beside_noise() -> None:
    assert not are_flat([400 + 20 * n + NOISE[n] for n in range(30)], "descriptors")


def test_keys_of_a_new_kind_that_become_more_are_reported() -> None:
    counted = [{"leak keys": 30.0 * n} if n > 15 else {} for n in range(30)]

    assert [trend.is_flat for trend in trends(counted)] == [False]


def test_growth_in_the_first_half_noise_and_a_jump_are_flat() -> None:
    assert are_flat([min(n, 12) * 50 for n in range(30)], "MiB")
    assert are_flat([400 + NOISE[n] for n in range(30)], "connections")
    assert are_flat([54.0] * 25 + [108.0] + [54.0] * 4, "MiB")
