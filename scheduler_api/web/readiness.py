"""Whether the whole cell can do its work: what `/readyz` answers."""

import redis
from redis.exceptions import OutOfMemoryError
from scheduler_api.core.errors import ForeignDatabase, UnknownLayout
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.epoch import Epoch, claim_database
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.core.tenants.encryption import WrongSecretKey

ROLES = ("ticker", "worker")
STORE_AWAY = "the store does not answer"
STORE_CHANGED = "the store came back different: accept its epoch, or restore its data"
NO_FUNCTIONS = "the store is too full to load its functions: raise its memory limit"


class Readiness:
    """Asks the store who is alive; remembers which store it first saw."""

    def __init__(self, cell: Cell, *, tenants: Tenants) -> None:
        self._cell = cell
        self._tenants = tenants
        self._fits = False
        self._epoch = Epoch()

    def missing(self) -> list[str]:
        """What keeps the cell from working; empty when it is ready.

        Raises: redis.RedisError, for a store that answers with errors of its own.
        """
        prefix = self._cell.prefix
        pipe = self._cell.client.pipeline(transaction=False)
        pipe.get(keys.epoch(prefix))
        pipe.get(keys.accepted_epoch(prefix))
        for role in ROLES:
            pipe.exists(keys.alive(prefix, role))
        try:
            epoch, accepted, *alive = pipe.execute()
            faults = [] if self._epoch.matches(epoch, accepted) else [STORE_CHANGED]
            faults += self._store_faults() or self._function_faults()
        except (redis.ConnectionError, redis.TimeoutError):
            return [STORE_AWAY]
        return faults + [r for r, there in zip(ROLES, alive, strict=True) if not there]

    def _store_faults(self) -> list[str]:
        """Asks until the store is this cell's: at the start it may have been away."""
        try:
            if not self._fits:
                claim_database(self._cell.client, self._cell.prefix)
                self._tenants.check_key()
            self._fits = True
        except (WrongSecretKey, ForeignDatabase, UnknownLayout) as err:
            return [str(err) or str(err.__doc__)]
        return []

    def _function_faults(self) -> list[str]:
        """Calls a function that does nothing; the store is given it if it lacks it."""
        try:
            self._cell.call("inspect_records")
        except OutOfMemoryError:
            return [NO_FUNCTIONS]
        return []
