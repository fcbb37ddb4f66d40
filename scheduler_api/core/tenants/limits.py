"""The limits of tenants: the defaults of all tenants, and the values of single ones.

The record of a tenant has the values that differ from the defaults. Lua functions
compare what a tenant has stored with its limits (`lib/tenant_limits`).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from redis.client import Pipeline
from redis.exceptions import OutOfMemoryError
from scheduler_api.core.errors import SchedulerError
from scheduler_api.core.settings.limits import TenantLimits
from scheduler_api.core.store import audit, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.tenants import removal
from typing import cast

CACHED_S = 5.0
MAX_CACHED = 10_000
SECOND_MS = 1_000
NAMES = tuple(field.name for field in fields(TenantLimits))
PREFIX = "limit."


class TooManyRequests(SchedulerError):
    """A tenant has made more requests within a second than it may."""

    def __init__(self, limit: int, reset_ms: int) -> None:
        super().__init__(f"at most {limit} requests per second are allowed")
        self.limit = limit
        self.reset_ms = reset_ms


class Limits:
    """The limits of the tenants of one cell.

    Each process caches the limits of a tenant for `CACHED_S`.

    Args:
        defaults: the limits of tenants without values of their own.
        dialects: the names of all dialects.
    """

    def __init__(
        self,
        cell: Cell,
        defaults: TenantLimits,
        dialects: Sequence[str],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cell = cell
        self._defaults = defaults
        self._dialects = dialects
        self._clock = clock
        self._cached: dict[str, tuple[TenantLimits, float]] = {}

    def of(self, tenant: str) -> TenantLimits:
        """Return the limits of a tenant. Redis: at most one read."""
        now_s = self._clock()
        limits, until_s = self._cached.get(tenant, (self._defaults, 0.0))
        if now_s < until_s:
            return limits
        if len(self._cached) >= MAX_CACHED:
            self._cached.clear()
        limits = replace(self._defaults, **self.own(tenant))
        self._cached[tenant] = limits, now_s + CACHED_S
        return limits

    def own(self, tenant: str) -> dict[str, int]:
        """Return the limits that differ from the defaults. Redis: one read."""
        key = keys.tenant(self._cell.prefix, tenant)
        stored = self._cell.client.hmget(key, [PREFIX + name for name in NAMES])
        found = zip(NAMES, cast(list[bytes | None], stored), strict=True)
        return {name: int(value) for name, value in found if value is not None}

    def set(self, tenant: str, changes: Mapping[str, int | None], *, by: str) -> None:
        """Set limits of a tenant; None: the default again.

        Atomic: WATCH and one MULTI, repeated if the tenant changes meanwhile.

        Args:
            by: who makes the change, for the audit log.

        Raises: NotFound (the tenant is removed).
        """
        change = audit.change(by, tenant, "tenant.limits", tenant)

        def write(pipe: Pipeline) -> None:
            removal.watch(pipe, self._cell.prefix, tenant)
            before = self.own(tenant)
            after = {**before, **changes}
            new = {name: value for name, value in after.items() if value is not None}
            pipe.multi()
            for name, value in changes.items():
                if value is None:
                    pipe.hdel(key, PREFIX + name)
                else:
                    pipe.hset(key, PREFIX + name, value)
            audit.add(pipe, self._cell.prefix, change, before=before, after=new)

        key = keys.tenant(self._cell.prefix, tenant)
        self._cell.client.transaction(write, key)
        self._cached.pop(tenant, None)

    def count_request(self, tenant: str) -> None:
        """Count a request; a second begins with its first request.

        Redis: one round trip if the tenant has a limit, otherwise none.

        Raises: TooManyRequests.
        """
        limit = self.of(tenant).requests_per_s
        if not limit:
            return
        key = keys.requests_now(self._cell.prefix, tenant)
        with self._cell.client.pipeline(transaction=True) as pipe:
            pipe.set(key, 0, px=SECOND_MS, nx=True)
            pipe.incr(key)
            pipe.pttl(key)
            pipe.time()
            try:
                _, count, left_ms, (second, micros) = pipe.execute()
            except OutOfMemoryError:
                # A full store counts nothing, but it must still cancel and read.
                return
        if left_ms < 0:
            # The key expired between the first two commands.
            self._cell.client.pexpire(key, SECOND_MS)
        if count > limit:
            now_ms = second * SECOND_MS + micros // SECOND_MS
            raise TooManyRequests(limit, now_ms + max(left_ms, 0))

    def requests(self, tenant: str) -> int:
        """Return how many requests were counted in this second. Redis: one read."""
        key = keys.requests_now(self._cell.prefix, tenant)
        return int(self._cell.client.get(key) or 0)

    def options(self, tenant: str) -> dict[str, object]:
        """Return the options of Lua functions that store something for a tenant."""
        limits = self.of(tenant)
        if not (limits.pending_events or limits.stored_bytes):
            return {}
        return {
            "tenant_limits": {
                "tenant": tenant,
                "owners": self.owners(tenant),
                "pending": limits.pending_events,
                "bytes": limits.stored_bytes,
            }
        }

    def owners(self, tenant: str) -> list[str]:
        """Return the tenant's owners, one for each dialect."""
        return [f"{tenant}:{dialect}" for dialect in self._dialects]
