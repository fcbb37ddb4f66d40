"""How much memory the store uses, and whether it keeps its data."""

from collections.abc import Mapping
from dataclasses import dataclass
from scheduler_api.core.store.cell import Cell
from typing import Any

SECTIONS = ("server", "memory", "persistence", "replication")


@dataclass(frozen=True)
class StoreState:
    """The state of the store.

    Attributes:
        product: `Valkey`, or `Redis` for everything else.
        used_bytes, limit_bytes: its memory, and its `maxmemory`, 0 for none.
        policy: its `maxmemory-policy`.
        appends: whether it writes an append-only file.
        is_saved: whether its last writes to the disk succeeded.
        replicas: how many are connected.
    """

    product: str
    version: str
    used_bytes: int
    limit_bytes: int
    policy: str
    appends: bool
    is_saved: bool
    replicas: int

    @property
    def used_percent(self) -> float | None:
        """The used share of the limit; None without a limit."""
        limit = self.limit_bytes
        return 100 * self.used_bytes / limit if limit else None


def read(cell: Cell) -> StoreState:
    """Return the state of the store. Redis: INFO."""
    info: Mapping[str, Any] = cell.client.info(*SECTIONS)
    last_writes = ("aof_last_write_status", "rdb_last_bgsave_status")
    return StoreState(
        product="Valkey" if "valkey_version" in info else "Redis",
        version=str(info.get("valkey_version") or info.get("redis_version") or ""),
        used_bytes=int(info.get("used_memory", 0)),
        limit_bytes=int(info.get("maxmemory", 0)),
        policy=str(info.get("maxmemory_policy", "")),
        appends=bool(info.get("aof_enabled")),
        is_saved=all(info.get(name, "ok") == "ok" for name in last_writes),
        replicas=int(info.get("connected_slaves", 0)),
    )
