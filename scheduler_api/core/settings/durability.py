"""What a write waits for before it is answered. Pure."""

import re
from dataclasses import dataclass

FORM = "memory, disk, replicas=N (N from 1 to 9), or disk,replicas=N"

_PARTS = re.compile(r"memory|disk(?:,replicas=([1-9]))?|replicas=([1-9])")


@dataclass(frozen=True)
class Durability:
    """Where a write must be stored before it is answered, besides the memory.

    Attributes:
        disk: whether it must be on the store's disk.
        replicas: how many replicas must have received it.
    """

    disk: bool = False
    replicas: int = 0

    def __bool__(self) -> bool:
        return self.disk or self.replicas > 0

    def __str__(self) -> str:
        replicas = f"replicas={self.replicas}" if self.replicas else ""
        return ",".join(filter(None, ("disk" * self.disk, replicas))) or "memory"


def read_durability(text: str) -> Durability:
    """Read a durability, such as `disk,replicas=1`.

    Raises: ValueError, with the form.
    """
    compact = re.sub(r"\s+", "", text)
    found = _PARTS.fullmatch(compact)
    if found is None:
        raise ValueError(FORM)
    replicas = int(found[1] or found[2] or 0)
    return Durability(disk=compact.startswith("disk"), replicas=replicas)
