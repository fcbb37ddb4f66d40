"""Tests that deliveries read responses as two of three other HTTP clients do."""

import pytest
from collections.abc import Sequence
from tests.workers.http_client import differential
from tests.workers.http_client.differential import Difference
from tests.workers.http_client.reasons import REASONS
from tests.workers.http_client.shapes import all_shapes

pytestmark = pytest.mark.client

SHAPES = all_shapes()


@pytest.fixture(scope="module")
def found() -> Sequence[Difference]:
    return differential.differences(SHAPES)


def test_there_are_at_least_300_different_shapes() -> None:
    assert len({shape.data for shape in SHAPES}) >= 300
    assert len({(shape.group, shape.name) for shape in SHAPES}) == len(SHAPES)


def test_each_difference_from_the_majority_has_a_reason(
    found: Sequence[Difference],
) -> None:
    assert [difference.row() for difference in found if not difference.reason] == []


def test_each_reason_is_still_needed(found: Sequence[Difference]) -> None:
    needed = {
        (difference.shape.group, difference.shape.name)
        for difference in found
        if difference.needs_reason
    }
    given = {(group, name) for group, names in REASONS.items() for name in names}

    assert given - needed == set()


def test_the_table_in_the_documentation_is_current(found: Sequence[Difference]) -> None:
    written = differential.PAGE.read_text()
    if differential.versions() in written:
        assert written == differential.page(found, count=len(SHAPES))
    # Other versions may read responses differently, but this client does not.
    here = {first_cells(difference.row()) for difference in found}
    assert {first_cells(row) for row in written.splitlines() if ": " in row} >= here


def first_cells(row: str) -> tuple[str, ...]:
    """The shape, and what this client reads."""
    return tuple(row.split(" | ")[:2])
