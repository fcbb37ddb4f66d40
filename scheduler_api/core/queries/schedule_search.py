"""Finds an owner's schedules by search terms, which dialects give to schedules.

Each search term has a sorted set of schedules, so searches never scan records. A
`PostFilter` handles conditions that sets cannot express, after the sets have narrowed
down the schedules.
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

# 72 bits, so that equal digests of two search terms of an owner are very unlikely.
DIGEST_BYTES = 9
# How many members of a set are read at once. Pages grow, because the first matches are
# usually close to the start.
FIRST_PAGE, LARGEST_PAGE = 250, 8_000
# Up to this many matches are read in one reply.
FEW_MATCHES = 2_000
# To reach a page that is far from the start, the store combines the sets in one call.
# The call takes about 10 ms for this many members. Sets with more members are read page
# by page instead.
MAX_COMBINED = 40_000
# The total number of matches is calculated from the sizes of up to this many
# intersections of sets. If more intersections are needed, all matches are read instead.
MAX_COUNTS = 64

Sets = Sequence[str]
ScoredMember = tuple[float, bytes]


def search_term(*words: str) -> str:
    """Return the search term for a sequence of words."""
    text = json.dumps(words).encode()
    digest = hashlib.blake2b(text, digest_size=DIGEST_BYTES).digest()
    return base64.urlsafe_b64encode(digest).decode()


@dataclass(frozen=True)
class Found:
    """A page of the matching schedules, and how many match in total."""

    ids: list[str]
    total: int


@dataclass(frozen=True)
class PostFilter:
    """A further condition on the schedules that have a certain search term.

    `matching` takes the ids of schedules with this search term, and returns the ids of
    those that meet the condition. Schedules without this search term always pass.
    """

    search_term: str
    matching: Callable[[Sequence[str]], set[str]]


class ScheduleSearch:
    """Searches the schedules of one cell."""

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
        """Schedules that have at least one search term of each group, oldest first.

        Redis: several reads, not atomic. Schedules that change during the search may or
        may not be included.
        """
        groups_of_sets: list[Sets] = [
            [self._set(owner, term) for term in dict.fromkeys(group)]
            for group in groups
        ]
        all_schedules = keys.schedules(self._prefix, str(owner))
        filtered = (
            None if post_filter is None else self._set(owner, post_filter.search_term)
        )
        names = [all_schedules, *chain(*groups_of_sets)]
        sizes = self._sizes(names if filtered is None else [*names, filtered])
        groups_of_sets = [
            [name for name in sets if sizes[name]] for sets in groups_of_sets
        ]
        if not all(groups_of_sets):
            return Found([], 0)
        # Walk the group with the fewest members; look each member up in other groups.
        groups_of_sets.sort(key=lambda sets: sum(sizes[name] for name in sets))
        groups_of_sets = groups_of_sets or [[all_schedules]]
        if (
            filtered is None
            or post_filter is None
            or filtered not in chain(*groups_of_sets)
        ):
            return self._by_sets(groups_of_sets, sizes, offset=offset, limit=limit)
        candidates = self._walk(groups_of_sets)
        matching = list(self._post_filtered(candidates, filtered, post_filter))
        return Found(_ids(matching[offset : offset + limit]), len(matching))

    def _by_sets(
        self, groups: list[Sets], sizes: dict[str, int], *, offset: int, limit: int
    ) -> Found:
        """Search without a post filter, by the cheapest method."""
        total = self._total(groups, sizes)
        if total is None:
            matching = list(self._walk(groups))
            return Found(_ids(matching[offset : offset + limit]), len(matching))
        end = min(offset + limit, total)
        if offset >= end:
            return Found([], total)
        one_set_each = all(len(sets) == 1 for sets in groups)
        if one_set_each and len(groups) == 1:
            page = self._slice(groups[0][0], offset, end)
            return Found(_ids([member for _, member in page]), total)
        to_walk = sum(sizes[name] for name in groups[0])
        deep = end > FEW_MATCHES and to_walk <= MAX_COMBINED
        if one_set_each and (total <= FEW_MATCHES or deep):
            common = self._client.zinter([sets[0] for sets in groups], aggregate="MIN")
            return Found(_ids(cast(list[bytes], common)[offset:end]), total)
        if deep and len(groups) == 1:
            members = self._client.zunion(groups[0], aggregate="MIN")
            return Found(_ids(cast(list[bytes], members)[offset:end]), total)
        return Found(_ids(islice(self._walk(groups), offset, end)), total)

    def _total(self, groups: list[Sets], sizes: dict[str, int]) -> int | None:
        """The number of matching schedules; None if it takes too many counts.

        A schedule matches if it is in at least one set of every group. The number is
        calculated by inclusion and exclusion. Consider each choice of one or more sets
        from every group, and count the members common to all chosen sets. The count is
        added if the number of chosen sets minus the number of groups is even, and
        subtracted if this difference is odd.
        """
        choices = list(islice(product(*map(_subsets, groups)), MAX_COUNTS + 1))
        if len(choices) > MAX_COUNTS:
            return None
        pipe = self._client.pipeline(transaction=False)
        intersections = [list(chain(*choice)) for choice in choices]
        for sets in intersections:
            if len(sets) > 1:
                pipe.zintercard(len(sets), sets)
        counts = iter(cast(list[int], pipe.execute()))
        total = 0
        for sets in intersections:
            count = next(counts) if len(sets) > 1 else sizes[sets[0]]
            total += -count if (len(sets) - len(groups)) % 2 else count
        return total

    def _walk(self, groups: list[Sets]) -> Iterator[bytes]:
        """Members that are in at least one set of each group, oldest first."""
        walked, *others = groups
        entries = heapq.merge(*(self._entries(name) for name in walked))
        members = (member for member, _ in groupby(member for _, member in entries))
        for page in _pages(members):
            kept = set(page)
            for sets in others:
                if kept:
                    kept &= set[bytes]().union(*self._contained(sets, page))
            yield from (member for member in page if member in kept)

    def _post_filtered(
        self, members: Iterator[bytes], filtered: str, post_filter: PostFilter
    ) -> Iterator[bytes]:
        """Yield the members that are not in `filtered`, or that pass the filter."""
        for page in _pages(members):
            [candidates] = self._contained([filtered], page)
            passed = post_filter.matching([m.decode() for m in page if m in candidates])
            for member in page:
                if member not in candidates or member.decode() in passed:
                    yield member

    def _entries(self, name: str) -> Iterator[ScoredMember]:
        start, size = 0, FIRST_PAGE
        while page := self._slice(name, start, start + size):
            yield from page
            start, size = start + size, min(2 * size, LARGEST_PAGE)

    def _slice(self, name: str, start: int, end: int) -> list[ScoredMember]:
        found: Any = self._client.zrange(name, start, end - 1, withscores=True)
        return [(score, member) for member, score in found]

    def _contained(self, sets: Sets, members: Sequence[bytes]) -> list[set[bytes]]:
        """For each set, return which of `members` the set contains."""
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

    def _set(self, owner: Owner, term: str) -> str:
        return keys.search_term(self._prefix, str(owner), term)


def _subsets(sets: Sets) -> Iterator[tuple[str, ...]]:
    """All subsets, except the empty one."""
    return chain(*(combinations(sets, n) for n in range(1, len(sets) + 1)))


def _pages(members: Iterator[bytes]) -> Iterator[list[bytes]]:
    size = FIRST_PAGE
    while page := list(islice(members, size)):
        yield page
        size = min(2 * size, LARGEST_PAGE)


def _ids(members: Iterable[bytes]) -> list[str]:
    return [member.decode() for member in members]
