"""Finds an owner's schedules by the terms that their dialect has given them.

Each term has a sorted set of its own, so nothing is ever scanned. What sets cannot
answer is looked at, once they have narrowed it down.
"""

import base64
import hashlib
import heapq
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, groupby, islice, product
from scheduler_api.core.model import Owner
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from typing import Any, cast

# 72 bits: that two terms of one owner meet is not to be expected.
DIGEST_BYTES = 9
# Members of a set read at once, and asked for in the other sets; growing, as a first
# page of matches is mostly near.
FIRST_PAGE, LARGEST_PAGE = 250, 8_000
# Up to so many matches the store tells all of them in one answer.
FEW = 2_000
# So many members the store puts together at once, some ten milliseconds of its time,
# where a page lies too deep to walk there.
MOST_TOGETHER = 40_000
# Up to so many intersections are counted rather than walked.
MOST_COUNTS = 64

Sets = Sequence[str]
Entry = tuple[float, bytes]


def search_term(*words: str) -> str:
    """The term that stands for some words, in their order."""
    text = json.dumps(words).encode()
    digest = hashlib.blake2b(text, digest_size=DIGEST_BYTES).digest()
    return base64.urlsafe_b64encode(digest).decode()


@dataclass(frozen=True)
class Found:
    """A part of what matches, and how much matches in all."""

    ids: list[str]
    total: int


@dataclass(frozen=True)
class PostFilter:
    """Of those that have this term, only the ids that `look` answers match."""

    search_term: str
    matching: Callable[[Sequence[str]], set[str]]


class ScheduleSearch:
    """Reads of one cell; nothing here writes."""

    def __init__(self, cell: Cell) -> None:
        self._client = cell.client
        self._prefix = cell.prefix

    def find(
        self,
        owner: Owner,
        groups: Sequence[Sequence[str]],
        *,
        offset: int,
        limit: int,
        post_filter: PostFilter | None = None,
    ) -> Found:
        """Schedules that have at least one term of each group, oldest first.

        Of several reads: what is stored or removed meanwhile may be told or not.

        Raises: redis.RedisError.
        """
        wanted: list[Sets] = [
            [self._set(owner, of) for of in dict.fromkeys(group)] for group in groups
        ]
        every = keys.schedules(self._prefix, str(owner))
        unsure = (
            None if post_filter is None else self._set(owner, post_filter.search_term)
        )
        names = [every, *(unsure,) * (post_filter is not None), *chain(*wanted)]
        sizes = self._sizes([name for name in names if name is not None])
        wanted = [[name for name in group if sizes[name]] for group in wanted]
        if not all(wanted):
            return Found([], 0)
        # What names the fewest is walked, the other groups are only asked.
        wanted.sort(key=lambda group: sum(sizes[name] for name in group))
        wanted = wanted or [[every]]
        if unsure is None or post_filter is None or unsure not in chain(*wanted):
            return self._exactly(wanted, sizes, offset=offset, limit=limit)
        matching = list(self._looked_at(self._matching(wanted), unsure, post_filter))
        return Found(_ids(matching[offset : offset + limit]), len(matching))

    def _exactly(
        self, wanted: list[Sets], sizes: dict[str, int], *, offset: int, limit: int
    ) -> Found:
        """What the sets can answer alone."""
        total = self._total(wanted, sizes)
        if total is None:
            matching = list(self._matching(wanted))
            return Found(_ids(matching[offset : offset + limit]), len(matching))
        end = min(offset + limit, total)
        if offset >= end:
            return Found([], total)
        alone = all(len(group) == 1 for group in wanted)
        if alone and len(wanted) == 1:
            part = self._slice(wanted[0][0], offset, end)
            return Found(_ids([member for _, member in part]), total)
        read = sum(sizes[name] for name in wanted[0])
        deep = end > FEW and read <= MOST_TOGETHER
        if alone and (total <= FEW or deep):
            common = self._client.zinter([g[0] for g in wanted], aggregate="MIN")
            return Found(_ids(cast(list[bytes], common)[offset:end]), total)
        if deep and len(wanted) == 1:
            members = self._client.zunion(wanted[0], aggregate="MIN")
            return Found(_ids(cast(list[bytes], members)[offset:end]), total)
        return Found(_ids(islice(self._matching(wanted), offset, end)), total)

    def _total(self, wanted: list[Sets], sizes: dict[str, int]) -> int | None:
        """How much matches, None if that takes too many counts.

        One or more sets of each group are taken, in every way, and what they have in
        common is counted; where some group gave an even number too many, subtracted.
        """
        ways = list(islice(product(*map(_taken, wanted)), MOST_COUNTS + 1))
        if len(ways) > MOST_COUNTS:
            return None
        pipe = self._client.pipeline(transaction=False)
        together = [list(chain(*way)) for way in ways]
        for sets in together:
            if len(sets) > 1:
                pipe.zintercard(len(sets), sets)
        counts = iter(cast(list[int], pipe.execute()))
        total = 0
        for sets in together:
            count = next(counts) if len(sets) > 1 else sizes[sets[0]]
            total += -count if (len(sets) - len(wanted)) % 2 else count
        return total

    def _matching(self, wanted: list[Sets]) -> Iterator[bytes]:
        """All that stand in a set of each group, oldest first."""
        walked, *others = wanted
        entries = heapq.merge(*(self._entries(name) for name in walked))
        members = (member for member, _ in groupby(member for _, member in entries))
        for page in _pages(members):
            kept = set(page)
            for group in others:
                if kept:
                    kept &= set[bytes]().union(*self._named(group, page))
            yield from (member for member in page if member in kept)

    def _looked_at(
        self, members: Iterator[bytes], unsure: str, post_filter: PostFilter
    ) -> Iterator[bytes]:
        for page in _pages(members):
            [doubtful] = self._named([unsure], page)
            good = post_filter.matching([m.decode() for m in page if m in doubtful])
            for member in page:
                if member not in doubtful or member.decode() in good:
                    yield member

    def _entries(self, name: str) -> Iterator[Entry]:
        start, size = 0, FIRST_PAGE
        while page := self._slice(name, start, start + size):
            yield from page
            start, size = start + size, min(2 * size, LARGEST_PAGE)

    def _slice(self, name: str, start: int, end: int) -> list[Entry]:
        found: Any = self._client.zrange(name, start, end - 1, withscores=True)
        return [(score, member) for member, score in found]

    def _named(self, sets: Sets, members: Sequence[bytes]) -> list[set[bytes]]:
        """Which of the members each set names."""
        pipe = self._client.pipeline(transaction=False)
        for name in sets:
            pipe.zmscore(name, cast(list[str], members))
        return [
            {m for m, score in zip(members, scores, strict=True) if score is not None}
            for scores in pipe.execute()
        ]

    def _sizes(self, sets: Sets) -> dict[str, int]:
        pipe = self._client.pipeline(transaction=False)
        for name in sets:
            pipe.zcard(name)
        return dict(zip(sets, pipe.execute(), strict=True))

    def _set(self, owner: Owner, of: str) -> str:
        return keys.search_term(self._prefix, str(owner), of)


def _taken(group: Sets) -> Iterator[tuple[str, ...]]:
    """Every way to take one or more of a group."""
    return chain(*(combinations(group, n) for n in range(1, len(group) + 1)))


def _pages(members: Iterator[bytes]) -> Iterator[list[bytes]]:
    size = FIRST_PAGE
    while page := list(islice(members, size)):
        yield page
        size = min(2 * size, LARGEST_PAGE)


def _ids(members: Iterable[bytes]) -> list[str]:
    return [member.decode() for member in members]
