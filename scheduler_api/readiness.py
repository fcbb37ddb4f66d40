"""Whether the whole cell can do its work: what `/readyz` answers."""

import redis
from scheduler_api.core import keys
from typing import cast

ROLES = ("ticker", "worker")
STORE_AWAY = "the store does not answer"
STORE_CHANGED = "the store came back different: accept its epoch, or restore its data"


class Readiness:
    """Asks the store who is alive; remembers which store it first saw."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._epoch: bytes | None = None

    def missing(self) -> list[str]:
        """What keeps the cell from working; empty when it is ready.

        Raises: redis.RedisError, for a store that answers with errors of its own.
        """
        pipe = self._client.pipeline(transaction=False)
        pipe.get(keys.epoch(self._prefix))
        pipe.get(keys.accepted(self._prefix))
        for role in ROLES:
            pipe.exists(keys.alive(self._prefix, role))
        try:
            epoch, accepted, *alive = pipe.execute()
        except (redis.ConnectionError, redis.TimeoutError):
            return [STORE_AWAY]
        absent = [role for role, there in zip(ROLES, alive, strict=True) if not there]
        changed = self._changed(cast(bytes | None, epoch), cast(bytes | None, accepted))
        return ([STORE_CHANGED] if changed else []) + absent

    def _changed(self, epoch: bytes | None, accepted: bytes | None) -> bool:
        if self._epoch is None or (epoch is not None and epoch == accepted):
            self._epoch = epoch
        return epoch != self._epoch
