"""Tests that deliveries read responses as two of three other HTTP clients do."""

import pytest
from collections.abc import Sequence
from tests.workers.http_client import differential
from tests.workers.http_client.differential import Difference
from tests.workers.http_client.reasons import REASONS
from tests.workers.http_client.shapes import Shape, all_shapes

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


def test_the_page_is_current(found: Sequence[Difference]) -> None:
    """With other versions of the clients, only the column of this client must agree."""
    text = differential.PAGE.read_text()
    if differential.versions() in text:
        assert text == differential.page(found, count=len(SHAPES))
        assert reasons_given() == {
            difference.shape for difference in found if difference.needs_reason
        }
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    here = dict(map(first_cells, rows))
    for difference in found:
        title, read = first_cells(difference.row())
        assert here.get(title, read) == read


def reasons_given() -> set[Shape]:
    return {shape for shape in SHAPES if shape.name in REASONS.get(shape.group, {})}


def first_cells(row: str) -> tuple[str, str]:
    """The shape, and what this client reads."""
    title, read = row.split(" | ")[:2]
    return title, read
