"""Pages of the names in the indexes of owners, such as those of queues."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from scheduler_api.core.model import Owner
from scheduler_api.core.queries.filters import ALWAYS
from scheduler_api.core.queries.positions import Position, walk
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.gate_names import decode_name

PAGE_SIZE = 50
# How many names a page examines at most to find those that match.
MAX_EXAMINED = 2_000


@dataclass(frozen=True)
class Named:
    """A name of an owner, and its position in the index."""

    owner: Owner
    position: Position

    @property
    def name(self) -> str:
        """The name as its owner wrote it."""
        return decode_name(self.position.id.encode())


@dataclass(frozen=True)
class NamePage:
    """Names that match, and the last examined one; None at the end of the list."""

    found: Sequence[Named]
    next: Named | None


def read_names(
    cell: Cell,
    index: Callable[[str, str], str],
    owners: Sequence[Owner],
    *,
    contains: str = "",
    after: Named | None = None,
    size: int = PAGE_SIZE,
) -> NamePage:
    """Return the names that come next after one: owner by owner, oldest first.

    Redis: a few reads for each owner, and one for each `positions.BATCH` names.

    Args:
        index: a function of `keys` that takes the prefix and an owner.
        contains: a part of the names.
    """
    found: list[Named] = []
    last = None
    for examined, named in enumerate(_walk_all(cell, index, owners, after)):
        if len(found) == size or examined == MAX_EXAMINED:
            return NamePage(found, last)
        last = named
        if contains in named.name:
            found.append(named)
    return NamePage(found, None)


def _walk_all(
    cell: Cell,
    index: Callable[[str, str], str],
    owners: Sequence[Owner],
    after: Named | None,
) -> Iterator[Named]:
    first = owners.index(after.owner) if after and after.owner in owners else 0
    for owner in owners[first:]:
        key = index(cell.prefix, str(owner))
        start = after.position if after and after.owner == owner else None
        for position in walk(cell, key, ALWAYS, after=start, is_rising=True):
            yield Named(owner, position)
