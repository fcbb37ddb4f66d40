"""What can go wrong in the engine, one class per thing a caller can do about it."""


class SchedulerError(Exception):
    """Root of the errors that the engine raises on purpose."""


class StoreFull(SchedulerError):
    """The store is nearly full: new events are refused, try again later."""


class NotFound(SchedulerError):
    """No such thing for this owner."""


class TimePassed(SchedulerError):
    """The wanted time is not in the future."""


class NotPending(SchedulerError):
    """The event was begun, or is finished: it cannot be changed any more."""


class NotFinished(SchedulerError):
    """The event is still to be sent, or to be tried again."""


class Conflict(SchedulerError):
    """Others kept changing the same record: try again."""


class LimitReached(SchedulerError):
    """The owner has as many of that kind as one may have."""


class ScheduleEnded(SchedulerError):
    """The schedule has ended: only an edit revives it."""


class RunInProgress(SchedulerError):
    """An occurrence of this schedule has not ended, and none may overlap."""


class ForeignDatabase(SchedulerError):
    """REDIS_URL: this database serves another cell; one cell has one of its own."""


class UnreadableRecord(SchedulerError):
    """What the store holds is not what this version writes."""


class UnknownLayout(SchedulerError):
    """The store is in a layout that this version does not read."""

    def __init__(self, found: str, expected: int) -> None:
        super().__init__(
            f"the store is in layout {found}, this version reads {expected}: run the"
            " version that wrote it, or delete all that the cell holds with"
            " `python -m scheduler_api empty-store`"
        )
        self.found = found
        self.expected = expected
