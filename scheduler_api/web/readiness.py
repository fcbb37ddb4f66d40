"""Whether the whole cell can do its work: what `/readyz` answers."""

import redis
from scheduler_api.core.store import keys
from scheduler_api.core.store.epoch import Epoch
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.core.tenants.encryption import WrongSecretKey

ROLES = ("ticker", "worker")
STORE_AWAY = "the store does not answer"
STORE_CHANGED = "the store came back different: accept its epoch, or restore its data"


class Readiness:
    """Asks the store who is alive; remembers which store it first saw."""

    def __init__(self, client: redis.Redis, prefix: str, *, tenants: Tenants) -> None:
        self._client = client
        self._prefix = prefix
        self._tenants = tenants
        self._key_fits = False
        self._epoch = Epoch()

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
            faults = [] if self._epoch.holds(epoch, accepted) else [STORE_CHANGED]
            faults += self._key_faults()
        except (redis.ConnectionError, redis.TimeoutError):
            return [STORE_AWAY]
        return faults + [r for r, there in zip(ROLES, alive, strict=True) if not there]

    def _key_faults(self) -> list[str]:
        """A store that was away at the start is asked now, until the key fits."""
        try:
            if not self._key_fits:
                self._tenants.check_key()
            self._key_fits = True
        except WrongSecretKey:
            return [str(WrongSecretKey.__doc__)]
        return []
