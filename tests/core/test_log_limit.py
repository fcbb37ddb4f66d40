"""Tests that no log line is left out without being counted in a summary."""

from collections import Counter
from collections.abc import Mapping
from scheduler_api.core.log_limit import MAX_KEYS, LogLimit, describe
from tests.clock import Clock


class Limited:
    """A limit of three lines a minute, and the summaries that it made."""

    def __init__(self) -> None:
        self.clock = Clock(120.0)
        self.summaries: list[dict[str, dict[str, int]]] = []
        self.limit = LogLimit(
            limit=3, period_s=60, sum_up=self._sum_up, clock=self.clock
        )

    def _sum_up(self, counts: Mapping[str, Counter[str]]) -> None:
        self.summaries.append({key: dict(each) for key, each in counts.items()})

    def log(self, key: str, *kinds: str) -> int:
        """Log lines; return how many were admitted."""
        return sum(self.limit.admits(key, kind) for kind in kinds)


def test_lines_beyond_the_limit_of_a_key_are_summed_up_by_kind() -> None:
    limited = Limited()

    assert limited.log("a", *["bad"] * 4, "good", "bad") == 3
    assert limited.log("b", "good") == 1
    limited.limit.close()

    assert limited.summaries == [{"a": {"bad": 2, "good": 1}}]


def test_a_new_period_sums_up_the_last_one_and_admits_lines_again() -> None:
    limited = Limited()
    limited.log("a", *["bad"] * 5)

    limited.clock.now_s = 179.9
    assert limited.log("a", "bad") == 0
    limited.clock.now_s = 180.0
    assert limited.log("a", *["bad"] * 4) == 3

    assert limited.summaries == [{"a": {"bad": 3}}]
    limited.limit.close()
    assert limited.summaries == [{"a": {"bad": 3}}, {"a": {"bad": 1}}]


def test_without_lines_left_out_there_is_no_summary() -> None:
    limited = Limited()

    limited.log("a", *["bad"] * 3)
    limited.limit.close()

    assert limited.summaries == []


def test_a_period_ends_without_further_lines(wait_until) -> None:
    limited = Limited()
    limited.clock.now_s = 179.95

    limited.log("a", *["bad"] * 4)

    wait_until(lambda: limited.summaries)
    assert limited.summaries == [{"a": {"bad": 1}}]


def test_keys_without_end_share_one_limit() -> None:
    limited = Limited()

    admitted = [limited.log(str(n), "bad") for n in range(MAX_KEYS + 10)]
    limited.limit.close()

    assert sum(admitted) == MAX_KEYS + 3
    assert limited.summaries == [{"other": {"bad": 7}}]


def test_a_summary_reads_like_a_sentence() -> None:
    counts = Counter(delivered=470, failed=10)

    assert describe(counts) == "… and 480 more: 470 delivered, 10 failed"
