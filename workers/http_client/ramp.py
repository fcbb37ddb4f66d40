"""Limits how many connections to an origin are in use, and for how long idle ones are.

A server with one thread accepts few connections in advance. The operating system drops
what exceeds them, which the client only notices after a second or more. So the number
of connections begins small and grows with each answer. It becomes half if the receiver
does not accept a connection in time, or resets one.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from time import perf_counter

START = 5
# Connecting is slow after this time.
SLOW_S = 0.5
# If no answer comes for this time, but the receiver accepts connections, it is slow and
# not overloaded: then the number of connections also grows without answers.
SILENT_S = 1.0
FORGOTTEN_S = 60.0


class Crowded(Exception):
    """The receiver has accepted other connections, but not this one."""


class Ramp:
    """The connections to one origin that are in use.

    Each `enter` that returns True, and each `wait`, needs a `leave`.

    Args:
        limit_max: the highest limit.
    """

    def __init__(self, limit_max: int) -> None:
        self.limit = min(START, limit_max)
        self.in_use = 0
        self.used_s = perf_counter()
        self.accepted_s = 0.0
        self._limit_max = limit_max
        self._answered_s = self.used_s
        self._connecting = 0
        self._halved_s = 0.0
        self._idle_limit_s: float | None = None
        self._closed_s = 0.0
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}
        self._silence: asyncio.TimerHandle | None = None

    @property
    def is_forgotten(self) -> bool:
        """Whether the origin was not used for so long that its limit is out of date."""
        return not self.in_use and perf_counter() - self.used_s > FORGOTTEN_S

    @property
    def accepted(self) -> int:
        """How many connections are in use that the receiver has accepted."""
        return self.in_use - self._connecting

    def enter(self) -> bool:
        """Take a connection if the limit permits, and nobody waits."""
        if self._lines or self.in_use >= self.limit:
            return False
        self.in_use += 1
        return True

    async def wait(self, route: str) -> None:
        """Wait for a connection.

        The routes take turns, so that a route which does not answer delays no other.

        Raises: the error of another connection, if connecting is hopeless.
        """
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._lines.setdefault(route, deque()).append(turn)
        if self._silence is None:
            self._silence = loop.call_later(SILENT_S, self._end_silence)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled() and turn.exception() is None:
                self.leave(answered=False)
            raise

    def leave(self, *, answered: bool) -> None:
        """Give a connection back."""
        self.used_s = perf_counter()
        if answered:
            self._answered_s = self.used_s
            # A number that the receiver has not accepted proves nothing.
            if self.limit < min(START + 2 * self.accepted, self._limit_max):
                self.limit += 1
        self.in_use -= 1
        if self._lines:
            self._admit()

    def halve(self, begun_s: float) -> None:
        """Halve the limit, but once only for all connections of the same time.

        Args:
            begun_s: when the connection began that was slow, or was reset.
        """
        if begun_s > self._halved_s:
            self.limit = max(1, min(self.limit, self.in_use) // 2)
            self._halved_s = perf_counter()

    def closed_idle(self, idle_s: float) -> None:
        """Record that the receiver has closed a connection that was idle for a time."""
        limit_s = self.idle_limit_s
        self._idle_limit_s = idle_s / 2 if limit_s is None else min(limit_s, idle_s / 2)
        self._closed_s = perf_counter()

    @property
    def idle_limit_s(self) -> float | None:
        """How long a connection may be idle, if the receiver has closed one lately."""
        limit_s = self._idle_limit_s
        if limit_s is None or perf_counter() - self._closed_s > FORGOTTEN_S:
            return None
        return limit_s

    @contextmanager
    def connecting(self) -> Iterator[None]:
        """Watch how long it takes to connect, and how it ends.

        Raises: Crowded, instead of the error: it is worth connecting again.
        """
        begun_s = perf_counter()
        slow = asyncio.get_running_loop().call_later(SLOW_S, self.halve, begun_s)
        self._connecting += 1
        try:
            yield
            self.accepted_s = perf_counter()
        except (ConnectionResetError, TimeoutError) as err:
            self.halve(begun_s)
            if self.accepted_s > begun_s:
                raise Crowded from err
            if isinstance(err, TimeoutError) and not self.accepted:
                self._fail(err)
            raise
        finally:
            slow.cancel()
            self._connecting -= 1

    def _fail(self, err: TimeoutError) -> None:
        """Let all who wait fail with an error, instead of trying the same."""
        lines, self._lines = self._lines, {}
        for line in lines.values():
            for turn in line:
                if not turn.done():
                    turn.set_exception(copy(err))

    def _admit(self) -> None:
        while self._lines and self.in_use < self.limit:
            route = next(iter(self._lines))
            line = self._lines.pop(route)
            turn = line.popleft()
            if line:
                self._lines[route] = line
            if not turn.done():
                self.in_use += 1
                turn.set_result(None)

    def _end_silence(self) -> None:
        """Let the number grow if the receiver accepts connections, but is slow."""
        self._silence = None
        if not self._lines:
            return
        if perf_counter() - self._answered_s >= SILENT_S:
            self.limit = min(self.limit + self.accepted, self._limit_max)
            self._admit()
        loop = asyncio.get_running_loop()
        self._silence = loop.call_later(SILENT_S, self._end_silence)
