"""Tests of the fields about an attempt that all dialects show."""

import pytest
from scheduler_api.core.delivery.attempt_fields import body_marks, error_fields
from scheduler_api.core.delivery.causes import Cause


@pytest.mark.parametrize(
    ("incomplete", "truncated", "marks"),
    [
        (False, False, {}),
        (True, False, {"bodyIncomplete": True}),
        (False, True, {"bodyIncomplete": True, "bodyTruncated": True}),
        (True, True, {"bodyIncomplete": True, "bodyTruncated": True}),
    ],
)
def test_a_body_is_marked_if_a_part_is_missing(
    incomplete: bool, truncated: bool, marks: dict[str, bool]
):
    assert body_marks(incomplete=incomplete, truncated=truncated) == marks


def test_only_a_failure_has_an_error():
    found = error_fields(Cause("dns", "no address"))

    assert found == {"error": "no address", "errorCode": "dns"}
    assert error_fields(None) == {}
