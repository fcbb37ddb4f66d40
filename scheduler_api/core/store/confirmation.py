"""Waits until what was written is on the store's disk, or on its replicas."""

import logging
from redis import Redis
from redis.exceptions import RedisError
from scheduler_api.core import logfmt
from scheduler_api.core.errors import SchedulerError
from scheduler_api.core.settings.durability import Durability
from scheduler_api.core.store import keys
from scheduler_api.core.store.connection import connect

log = logging.getLogger("scheduler.store")

# With `appendfsync everysec`, a store writes to its disk within two seconds.
TIMEOUT_MS = 5_000
# How long a connection waits for each reply: longer than the store does.
REPLY_TIMEOUT_S = 7.0
KEPT_MS = 60_000
ADVICE = "If you send it again, use the same id or deduplication id"


class NotConfirmed(SchedulerError):
    """The store has a write, but has not confirmed it in time; the message says where.

    The write may be lost if the store fails now.
    """


class Confirmation:
    """Asks the store whether everything written so far is safe.

    Args:
        url: of the store; connects on first use.
        max_connections: how many callers may wait at the same time.
    """

    def __init__(self, url: str, prefix: str, *, max_connections: int) -> None:
        self._client: Redis = connect(
            url, timeout_s=REPLY_TIMEOUT_S, max_connections=max_connections
        )
        self._key = keys.confirmed(prefix)

    def wait(self, durability: Durability) -> None:
        """Wait until all writes that were answered before this call are safe.

        Redis: one round trip. WAIT and WAITAOF refer to the last write of their own
        connection, which is therefore made here.

        Raises:
            NotConfirmed: not within five seconds, or the store cannot tell.
        """
        try:
            with self._client.pipeline(transaction=False) as pipe:
                pipe.set(self._key, "", px=KEPT_MS)
                pipe.wait(durability.replicas, TIMEOUT_MS)
                if durability.disk:
                    pipe.waitaof(1, 0, TIMEOUT_MS)
                _, replicas, *local = pipe.execute()
        except RedisError as err:
            log.warning(logfmt.line("write.not_confirmed", problem=err))
            raise NotConfirmed(f"Stored, but not confirmed: {err}. {ADVICE}") from err
        on_disk = not local or local[0][0] == 1
        if on_disk and replicas >= durability.replicas:
            return
        log.warning(
            logfmt.line("write.not_confirmed", on_disk=on_disk, replicas=replicas)
        )
        raise NotConfirmed(_describe(durability, on_disk=on_disk, replicas=replicas))


def _describe(durability: Durability, *, on_disk: bool, replicas: int) -> str:
    missing = [] if on_disk else ["not on its disk"]
    if replicas < durability.replicas:
        missing.append(f"on {replicas} of {durability.replicas} replicas")
    seconds = TIMEOUT_MS / 1000
    return f"Stored, but after {seconds:g} s {' and '.join(missing)}. {ADVICE}"
