"""Tests of where pages of lists end."""

import pytest
from scheduler_api.web.page_limit import SEPARATOR_BYTES, PageLimit


@pytest.mark.parametrize(
    ("sizes", "admitted"),
    [
        ([], 0),
        ([9, 9, 9], 3),
        ([9, 9, 9, 1], 3),
        ([9, 9, 10], 2),
        ([1, 1, 1, 1], 4),
        ([1, 1, 1, 1, 1], 4),
        ([99], 1),
        ([99, 0], 1),
    ],
)
def test_a_page_ends_at_a_number_of_items_or_bytes(sizes: list[int], admitted: int):
    limit = PageLimit(4, 27 + 3 * SEPARATOR_BYTES)

    assert [limit.admit(size) for size in sizes].count(True) == admitted
