"""Tests of what the log of an event keeps of a response."""

import pytest
from dataclasses import replace
from scheduler_api.core.model import Attempt
from scheduler_api.core.store import codec
from tests.workers.http_client.sending import answered
from typing import Any
from workers.delivery import log_entries
from workers.http_client.failures import Failure

KEPT = 5


def logged(body: bytes = b"", **result: Any) -> Attempt:
    entry = log_entries.encode(
        replace(answered(500), body=body, **result),
        signed={},
        headers=(),
        max_body_bytes=KEPT,
    )
    return codec.decode_attempt("7", b"1", b"a 9 0 " + entry)


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b"12345", b"12345"),
        (b"123456", b"12345"),
        ("123\u20ac".encode(), b"123"),
        ("1234\u00fc6".encode(), b"1234"),
        ("12\U0001f600".encode(), b"12"),
        (b"\xff234567", b"\xff2345"),
        (b"\xff234\xc3\xbc", b"\xff234\xc3"),
    ],
)
def test_a_cut_text_ends_with_a_complete_character(body: bytes, kept: bytes):
    assert logged(body).response == kept
    assert logged(body).body_truncated == (len(body) > KEPT)


@pytest.mark.parametrize("cut", ["body_truncated", "body_incomplete"])
def test_a_text_that_the_client_could_not_read_to_its_end_is_text(cut: str):
    assert logged(b"123\xe2", **{cut: True}).response == b"123"
    assert getattr(logged(b"123\xe2", **{cut: True}), cut)


def test_a_complete_body_with_an_incomplete_character_is_kept():
    assert logged(b"123\xe2").response == b"123\xe2"


def test_only_a_failure_keeps_its_detail():
    failed = {"status": None, "error": Failure.CLOSED, "detail": "closed"}

    assert logged(**failed).detail == "closed"
    assert logged(body_incomplete=True, detail="cut off").detail == ""


def test_s11_the_address_of_a_blocked_destination_is_not_kept():
    blocked = {"status": None, "error": Failure.BLOCKED, "detail": "10.0.0.1"}

    assert logged(**blocked).detail == ""
