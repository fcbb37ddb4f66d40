"""What ends an attempt before its response is complete; `failures` names each."""

from scheduler_api.core.errors import SchedulerError


class Blocked(SchedulerError):
    """The address policy refuses this destination; the text is for operators only."""


class LeaseLost(SchedulerError):
    """The event is no longer this worker's: nothing was sent."""


class ConnectionGone(Exception):
    """The receiver closed a connection that had carried the request."""


class HeadTooLarge(Exception):
    """The receiver sent more than any response head needs."""


class NotHttp(Exception):
    """What the receiver sent cannot be read as a response."""


class BrokenOff(Exception):
    """The connection ended before the response's body did."""


class NoAddress(Exception):
    """The name has no address."""
