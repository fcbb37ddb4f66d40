"""Exceptions that end an attempt before its response is complete.

The module `failures` maps each exception to its code.
"""

import errno
from scheduler_api.core.errors import SchedulerError

# This machine has no resources for a connection; the receiver is not involved.
OWN_ERRNOS = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


class Blocked(SchedulerError):
    """The address policy refuses the destination. The message is for operators only."""


class LeaseLost(SchedulerError):
    """The worker no longer has the lease of the event; nothing was sent."""


class ConnectionClosed(Exception):
    """The receiver closed the connection before the response head was complete."""


class HeadTooLarge(Exception):
    """The response head exceeds a limit."""


class NotHttp(Exception):
    """The receiver sent something that is not an HTTP/1.1 response.

    The message says what is wrong.
    """


class TlsExpected(Exception):
    """The receiver answered a request without TLS with a TLS alert."""


class IncompleteBody(Exception):
    """The connection ended before the response body was complete."""


class NoAddress(Exception):
    """The host name has no address; the message says why."""
