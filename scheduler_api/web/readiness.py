"""Checks for `/readyz` whether the store and all processes of the cell can work."""

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
STORE_CHANGED = (
    "the store was emptied or replaced: accept its epoch, or restore its data"
)
NO_FUNCTIONS = "the store is too full to load its functions: raise its memory limit"


class Readiness:
    """Checks the store and the processes.

    Remembers the epoch of the store, to notice that the store was emptied or replaced.
    """

    def __init__(self, cell: Cell, *, tenants: Tenants) -> None:
        self._cell = cell
        self._tenants = tenants
        self._is_checked = False
        self._epoch = Epoch()

    def missing(self) -> list[str]:
        """Return a message for each thing that the cell lacks; [] if the cell is ready.

        If the store is unreachable, return only a message that says so. If the store
        replies with an unexpected error, this method raises the error.
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
        roles = zip(ROLES, alive, strict=True)
        return faults + [role for role, is_alive in roles if not is_alive]

    def _store_faults(self) -> list[str]:
        """Check that the store belongs to this cell; return the fault that was found.

        The process already checks the store when it starts, but the store may be
        unreachable at that time. So this method repeats the check until it succeeds
        once.
        """
        try:
            if not self._is_checked:
                claim_database(self._cell.client, self._cell.prefix)
                self._tenants.check_key()
            self._is_checked = True
        except (WrongSecretKey, ForeignDatabase, UnknownLayout) as err:
            return [str(err) or str(err.__doc__)]
        return []

    def _function_faults(self) -> list[str]:
        """Return a fault if the store has no memory for the cell's Redis functions.

        The method calls one of the functions. The call loads the functions if they are
        missing.
        """
        try:
            self._cell.call("inspect_records")
        except OutOfMemoryError:
            return [NO_FUNCTIONS]
        return []
