"""Decides where a page of a list ends."""

from dataclasses import dataclass, field

# 16 MiB, less some room for the text around the list.
MAX_PAGE_BYTES = 16_777_216 - 1024
SEPARATOR_BYTES = 1


@dataclass
class PageLimit:
    """Admits items to one page, up to a number of items and a number of bytes.

    The first item is always admitted, so that every page makes progress.
    """

    count: int
    max_bytes: int = MAX_PAGE_BYTES
    _count: int = field(default=0, init=False)
    _bytes: int = field(default=0, init=False)

    def admit(self, size_bytes: int) -> bool:
        """Count an item, and return True; return False if the page ends before it."""
        total_bytes = self._bytes + size_bytes + SEPARATOR_BYTES
        is_full = self._count >= self.count or total_bytes > self.max_bytes
        if is_full and self._count:
            return False
        self._count += 1
        self._bytes = total_bytes
        return True
