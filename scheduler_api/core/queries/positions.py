"""Walks through an index, which may change meanwhile, from any position on."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from scheduler_api.core.batches import batches
from scheduler_api.core.queries.filters import Span
from scheduler_api.core.store.cell import Cell
from typing import NamedTuple, TypeVar, cast

BATCH = 250
# Among more members with the same score, the next one is found by a binary search.
MAX_SKIPPED = 100
MAX_DIGITS = 15

Item = TypeVar("Item")


class Position(NamedTuple):
    """The position of an event in a list. Lists are ordered by time, then by id.

    A position stays valid when events leave the list.
    """

    at_ms: int
    id: str


def read_number(text: str) -> int | None:
    """Return a number of at most `MAX_DIGITS` digits; None if the text is none."""
    is_number = text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS
    return int(text) if is_number else None


def read_position(text: str) -> Position | None:
    """Read the result of `format_position`; None for any other text."""
    time, dash, event_id = text.partition("-")
    at_ms = read_number(time)
    return Position(at_ms, event_id) if dash and at_ms is not None else None


def format_position(position: Position) -> str:
    """Return a position as text."""
    return f"{position.at_ms}-{position.id}"


def collect(
    found: list[Item],
    positions: Iterator[Position],
    examine: Callable[[Sequence[Position]], Iterable[tuple[Position, Item | None]]],
    *,
    size: int,
    most: int,
) -> tuple[Position | None, bool]:
    """Append what matches to `found`; return where the next page begins, and why.

    The page ends with `size` items, or after `most` positions; then the second part of
    the result is true. At the end of the list, there is no next page.

    Args:
        examine: takes some positions; returns each with its item, or with None if it
            does not match.
    """
    examined, last, left = 0, None, islice(positions, most)
    for batch in chain([[*islice(left, size)]], batches(left, BATCH)):
        for position, item in examine(batch):
            last, examined = position, examined + 1
            if item is not None:
                found.append(item)
            if len(found) == size:
                return last, False
    return (last, True) if examined == most else (None, False)


def walk(
    cell: Cell, key: str, span: Span, *, after: Position | None, is_rising: bool
) -> Iterator[Position]:
    """Yield the members of a sorted set in a span, from a position on.

    Redis: one read for each `BATCH` members, and a few to find the first.

    Args:
        after: the position before the first member; None: begin with the first.
        is_rising: whether the lowest score comes first.
    """
    start = _rank(cell, key, span, after=after, is_rising=is_rising)
    while True:
        page = _range(cell, key, start, BATCH, is_rising=is_rising)
        for position in page:
            if not span.contains(position.at_ms):
                return
            yield position
        if len(page) < BATCH:
            return
        start += BATCH


def _rank(
    cell: Cell, key: str, span: Span, *, after: Position | None, is_rising: bool
) -> int:
    """Return how many members of an index come before the first to yield."""
    first_ms = span.start_ms if is_rising else span.end_ms
    if after is not None and not _is_before(after.at_ms, first_ms, is_rising=is_rising):
        return _rank_after(cell, key, after, is_rising=is_rising)
    if first_ms is None:
        return 0
    before = _scores_before(first_ms, is_rising=is_rising)
    return int(cell.client.zcount(key, *before))


def _is_before(at_ms: int, first_ms: int | None, *, is_rising: bool) -> bool:
    if first_ms is None:
        return False
    return at_ms < first_ms if is_rising else at_ms > first_ms


def _scores_before(at_ms: int, *, is_rising: bool) -> tuple[str, str]:
    return ("-inf", f"({at_ms}") if is_rising else (f"({at_ms}", "+inf")


def _rank_after(cell: Cell, key: str, after: Position, *, is_rising: bool) -> int:
    """Return the rank of the first member after a position."""
    pipe = cell.client.pipeline(transaction=False)
    pipe.zcount(key, *_scores_before(after.at_ms, is_rising=is_rising))
    pipe.zcount(key, after.at_ms, after.at_ms)
    low, tied = pipe.execute()
    high = low + tied
    # The members between have the time of the position; they are sorted by id.
    while low < high:
        size = 1 if high - low > MAX_SKIPPED else high - low
        middle = (low + high) // 2 if size == 1 else low
        members = _range(cell, key, middle, size, is_rising=is_rising)
        before = sum(
            member <= after if is_rising else member >= after for member in members
        )
        if size > 1 or not members:
            return int(middle + before)
        low, high = (middle + 1, high) if before else (low, middle)
    return int(low)


def _range(
    cell: Cell, key: str, start: int, count: int, *, is_rising: bool
) -> list[Position]:
    found = cell.client.zrange(
        key, start, start + count - 1, desc=not is_rising, withscores=True
    )
    pairs = cast(list[tuple[bytes, float]], found)
    return [Position(int(score), member.decode()) for member, score in pairs]
