"""Tests of when a worker counts as slow."""

import logging
import pytest
from dataclasses import replace
from scheduler_api.core.model import Content
from tests.attempts import begun
from workers.delivery.slowness import Slowness

SLOW = begun("jiter", Content("https://slow.example/hook", b""))
CAPACITY = 10


def test_a_worker_is_slow_after_more_than_half_was_slow_for_ten_seconds() -> None:
    slowness = Slowness(CAPACITY)

    states = [
        slowness.is_slow([SLOW] * 6, now_s=now_s) for now_s in (100, 109, 110, 120)
    ]

    assert states == [False, False, True, True]


def test_half_of_a_worker_may_be_slow_for_any_time() -> None:
    slowness = Slowness(CAPACITY)

    assert not any(slowness.is_slow([SLOW] * 5, now_s=now_s) for now_s in (100, 200))


def test_the_ten_seconds_begin_again_after_the_worker_was_fast() -> None:
    slowness = Slowness(CAPACITY)
    slowness.is_slow([SLOW] * 6, now_s=100)
    slowness.is_slow([SLOW], now_s=105)

    assert not slowness.is_slow([SLOW] * 6, now_s=111)
    assert slowness.is_slow([SLOW] * 6, now_s=121)


def test_the_origins_of_a_slow_worker_are_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    slowness = Slowness(CAPACITY)
    other = replace(SLOW, content=Content("http://other.example:8080/x", b""))
    unread = replace(SLOW, content=None, origin="d:1:abc")
    slow = [other, SLOW, SLOW, SLOW, other, unread]

    with caplog.at_level(logging.WARNING):
        for now_s in (100, 110, 111):
            slowness.is_slow(slow, now_s=now_s)

    assert [record.getMessage() for record in caplog.records] == [
        'deliveries.slow events=6 origins="https://slow.example:443 (3),'
        ' http://other.example:8080 (2), d:1:abc (1)"'
    ]
