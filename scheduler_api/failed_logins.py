"""Slows down clients that send wrong tokens again and again.

The limit is not against guessing, which is hopeless with 256 random bits. It makes a
misconfigured client wait, and tells the operator. So a valid token always works, also
from an address that others share.
"""

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from scheduler_api.core import logfmt
from scheduler_api.core.errors import SchedulerError
from scheduler_api.core.log_limit import LogLimit, describe
from scheduler_api.web.client_address import network_of

ALLOWED_FAILURES = 60
PERIOD_S = 60.0
MAX_WAIT_S = 60.0
# After this long without a failure, an address starts again.
FORGOTTEN_AFTER_S = 600.0
MAX_ADDRESSES = 10_000
# The first failures of so many addresses are logged in each minute.
LOGGED_ADDRESSES = 10

log = logging.getLogger("scheduler.web")


class TooManyFailedLogins(SchedulerError):
    """Requests from this address had too many wrong tokens."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(
            "Too many requests with a wrong token, please try again in"
            f" {wait_s} {'second' if wait_s == 1 else 'seconds'}"
        )
        self.wait_s = wait_s


@dataclass
class _Failures:
    """The failures of an address. Times are those of the clock, in seconds."""

    since_s: float
    count: int = 0
    wait_s: float = 0.5
    refused_until_s: float = -math.inf
    last_s: float = -math.inf


class FailedLogins:
    """Counts failures by address, in the memory of one web process.

    Up to 60 failures within a minute are answered as usual; all processes share this
    number evenly. Each further failure starts a wait of 1, 2, 4, … up to 60 seconds, in
    which all failures are refused. The first failure of an address in a minute is
    logged, and each that starts a wait.
    """

    def __init__(
        self, *, processes: int = 1, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._allowed = max(1, ALLOWED_FAILURES // processes)
        self._clock = clock
        self._failures: dict[str, _Failures] = {}
        self._log_limit = LogLimit(
            limit=LOGGED_ADDRESSES,
            period_s=int(PERIOD_S),
            sum_up=_sum_up,
            clock=clock,
        )

    def count(self, address: str) -> None:
        """Count a request with a wrong token.

        Raises: TooManyFailedLogins.
        """
        client, now_s = network_of(address), self._clock()
        failures = self._failures.pop(client, None)
        if failures is None or now_s >= failures.last_s + FORGOTTEN_AFTER_S:
            failures = _Failures(now_s)
        # A dict keeps the order of insertion, so the first client is the oldest.
        self._failures[client] = failures
        if len(self._failures) > MAX_ADDRESSES:
            del self._failures[next(iter(self._failures))]
        failures.last_s = now_s
        if now_s < failures.refused_until_s:
            raise TooManyFailedLogins(math.ceil(failures.refused_until_s - now_s))
        if now_s >= failures.since_s + PERIOD_S:
            failures.since_s, failures.count = now_s, 0
        failures.count += 1
        if failures.count >= self._allowed:
            failures.wait_s = min(MAX_WAIT_S, failures.wait_s * 2)
            failures.refused_until_s = now_s + failures.wait_s
            _log(client, failures)
        elif failures.count == 1 and self._log_limit.admits("", "addresses"):
            _log(client, failures)


def _log(client: str, failures: _Failures) -> None:
    log.warning(logfmt.line("login.failed", address=client, failures=failures.count))


def _sum_up(left_out: Mapping[str, Counter[str]]) -> None:
    for counts in left_out.values():
        log.warning(logfmt.line("login.failed", summary=describe(counts)))
