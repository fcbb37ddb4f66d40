"""Deduplication keys, by which repeated requests are recognised for a limited time.

The Lua function that stores an event or a schedule also sets its deduplication key, in
one atomic step. So if two requests with the same key arrive at the same instant, one is
stored, and the other is reported as a duplicate.
"""

import hashlib
from dataclasses import dataclass
from scheduler_api.core.errors import SchedulerError


@dataclass(frozen=True)
class DeduplicationKey:
    """The deduplication key of a request. Each owner has its own keys.

    Args:
        name: must not contain blanks.
        ttl_ms: how long the key lasts.
        digest: a digest of the request, or ''. A key with a digest always lasts for
            `ttl_ms`. A key without a digest is deleted early, so that the request can
            be repeated: when its event is cancelled or dead, or when its schedule is
            deleted.
    """

    name: str
    ttl_ms: int
    digest: str = ""

    @property
    def arguments(self) -> tuple[str, str]:
        """The key as positional arguments of a Lua function."""
        return self.name, f"{self.ttl_ms} {self.digest}".rstrip()


@dataclass(frozen=True)
class Duplicate:
    """The event or schedule that was stored by an earlier request with the same key.

    `created_ms` is 0 if the key has no digest.
    """

    id: str
    created_ms: int = 0
    digest: str = ""

    @classmethod
    def parse(cls, stored: bytes) -> "Duplicate":
        """Parse the value of a deduplication key."""
        stored_id, _, rest = stored.decode().partition(" ")
        created, _, digest = rest.partition(" ")
        return cls(stored_id, int(created or 0), digest)


class Repeated(SchedulerError):
    """An earlier request has the same deduplication key; nothing was stored."""

    def __init__(self, duplicate_of: Duplicate) -> None:
        super().__init__(duplicate_of.id)
        self.duplicate_of = duplicate_of


def arguments_of(deduplication: DeduplicationKey | None) -> tuple[str, str]:
    """The key as positional arguments of a Lua function; empty strings for None."""
    return ("", "") if deduplication is None else deduplication.arguments


def deduplication_options(deduplication: DeduplicationKey | None) -> dict[str, str]:
    """The key as named options of a Lua function; empty strings for None."""
    name, ttl = arguments_of(deduplication)
    return {"deduplication_key": name, "deduplication_ttl": ttl}


def idempotency_name(key: str) -> str:
    """The name of the deduplication key for an idempotency key."""
    return f"k{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"
