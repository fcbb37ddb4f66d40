"""Marks: what a repeated request is recognised by, for a while.

A function sets a mark together with what the request stores, so that of two at the same
instant one is stored, and the other learns of it.
"""

from dataclasses import dataclass
from scheduler_api.core.errors import SchedulerError


@dataclass(frozen=True)
class Mark:
    """The mark of a request; a name has no blanks and belongs to one owner.

    Without a digest it stands for what was stored, and goes with it: once that is
    cancelled, dead or deleted, the next request is none of the same. With the digest
    of the request it stands for the answer, and holds for its whole time.
    """

    name: str
    hold_ms: int
    digest: str = ""

    @property
    def words(self) -> tuple[str, str]:
        """As positional arguments of functions."""
        return self.name, f"{self.hold_ms} {self.digest}".rstrip()


@dataclass(frozen=True)
class Held:
    """What holds a mark; when it was stored is known beside a digest only."""

    id: str
    created_ms: int = 0
    digest: str = ""

    @classmethod
    def parse(cls, stored: bytes) -> "Held":
        """What a function wrote under the mark."""
        held_id, _, rest = stored.decode().partition(" ")
        created, _, digest = rest.partition(" ")
        return cls(held_id, int(created or 0), digest)


class Repeated(SchedulerError):
    """Something holds the mark of this request: nothing was stored."""

    def __init__(self, held: Held) -> None:
        super().__init__(held.id)
        self.held = held


def words_of(mark: Mark | None) -> tuple[str, str]:
    """As positional arguments of functions, none too."""
    return ("", "") if mark is None else mark.words


def deduplication_options(mark: Mark | None) -> dict[str, str]:
    """As options of functions, none too."""
    name, hold = words_of(mark)
    return {"deduplication_key": name, "hold": hold}
