"""The open files that a worker needs: one for each connection, and some others."""

from scheduler_api.core import open_files
from scheduler_api.core.errors import SchedulerError

# Connections to the store, threads that resolve names, the log.
OTHERS = 200
# A worker may have this many connections for each delivery in flight: one in use, and
# one to another address of the receiver.
PER_DELIVERY = 2


class TooFewDescriptors(SchedulerError):
    """The process may not open enough files; the message says how many it needs."""


def reserve(deliveries: int) -> int:
    """Let this process open as many files as the system allows.

    Returns how many connections to receivers it may have.

    Args:
        deliveries: the maximum number of deliveries in flight.

    Raises: TooFewDescriptors.
    """
    limit = open_files.raise_limit()
    needed = deliveries * PER_DELIVERY + OTHERS
    if limit < needed:
        raise TooFewDescriptors(
            f"SCHED_WINDOW={deliveries} needs {needed} open files, and the limit is"
            f" {limit}: raise it with ulimit -n, or lower SCHED_WINDOW"
        )
    return limit - OTHERS
