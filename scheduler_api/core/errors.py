"""The engine's errors, one class for each case that callers handle differently.

If an error has no message, users see the docstring of its class.
"""


class SchedulerError(Exception):
    """Base class of the engine's errors."""


class StoreFull(SchedulerError):
    """The store is nearly full; new events are refused. Try again later."""


class StoreLost(SchedulerError):
    """The store was emptied or replaced, and no operator has accepted it yet."""


class NotFound(SchedulerError):
    """This owner has nothing with that id or name."""


class TimePassed(SchedulerError):
    """The fire time is not in the future."""


class NotPending(SchedulerError):
    """The event has begun or is finished, so it can no longer be changed."""


class NotFinished(SchedulerError):
    """The event is not finished: it is still to be sent or retried."""


class Conflict(SchedulerError):
    """Other clients kept changing the same record. Try again."""


class LimitReached(SchedulerError):
    """The owner or its tenant may store no more.

    The message says why. A gate or a kind of resource: the owner has the maximum number
    of these. `pending:<limit>` or `bytes:<limit>`: the tenant has reached this limit.
    `removed`: the tenant is being removed.
    """


class ScheduleEnded(SchedulerError):
    """The schedule has ended; only an edit can restart it."""


class RunInProgress(SchedulerError):
    """An occurrence is unfinished, and this schedule does not allow overlaps."""


class ForeignDatabase(SchedulerError):
    """REDIS_URL: this database belongs to another cell. Each cell needs its own."""


class UnfitStore(SchedulerError):
    """The store is not configured to keep what it is given; the message says why."""


class UnreadableRecord(SchedulerError):
    """A stored record cannot be parsed by this version."""


class UnknownLayout(SchedulerError):
    """This version cannot read the layout of the store."""

    def __init__(self, found: str, expected: int) -> None:
        super().__init__(
            f"the store has layout {found}, this version needs {expected}: run the"
            " version that wrote it, or delete all data of the cell with"
            " `scheduler empty-store`"
        )
        self.found = found
        self.expected = expected
