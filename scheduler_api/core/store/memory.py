"""The store's memory limit, and the share of it above which new events are refused."""

from collections.abc import Mapping
from typing import Any

RAISE_LIMIT = 'redis-cli -u "$REDIS_URL" config set maxmemory BYTES'


def has_no_room(memory: Mapping[str, Any], *, high_water_percent: int) -> bool:
    """Return whether the store has to refuse new events.

    Args:
        memory: the section `memory` of INFO.
        high_water_percent: as in `EngineSettings`.
    """
    limit = memory.get("maxmemory") or 0
    used = memory.get("used_memory", 0)
    return bool(used * 100 >= limit * high_water_percent > 0)
