"""Limits how many connections to an origin are in use, and for how long idle ones are.

A server with one thread accepts few connections in advance. The operating system drops
what exceeds them, which the client only notices after a second or more. So the number
of connections begins small and grows with each answer. It becomes half if the receiver
does not accept a connection in time, or resets one.
"""

import asyncio
from collections import deque
from copy import copy
from time import perf_counter
from types import TracebackType
from typing import Self

START = 5
# Connecting is slow after this time, or after this multiple of the fastest time so far.
SLOW_S = 0.5
SLOW_FACTOR = 4
# If others take less time, a connection is already suspect after this time.
SUSPECT_S = 0.02
# If no answer comes for this time, but the receiver accepts connections, it is slow and
# not overloaded: then the number of connections also grows without answers.
SILENT_S = 1.0
FORGOTTEN_S = 60.0


class Crowded(Exception):
    """The receiver answers, but did not accept this connection."""


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
        self.answered_s = self.used_s
        self.accepted_s = 0.0
        self.connecting = 0
        self.fastest_s: float | None = None  # to connect
        self._limit_max = limit_max
        self._halved_s: float | None = None
        self._idle_limit_s: float | None = None
        self._closed_s = 0.0
        self._suspects = 0
        self._suspect_limit = 0
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}
        self._stall_check: asyncio.TimerHandle | None = None

    @property
    def slow_s(self) -> float:
        """After what time it is slow to connect."""
        return max(SLOW_S, SLOW_FACTOR * (self.fastest_s or 0))

    @property
    def suspect_s(self) -> float:
        """After what time it is suspect to connect: others have taken less."""
        if self.fastest_s is None:
            return SLOW_S
        return max(SUSPECT_S, SLOW_FACTOR * self.fastest_s)

    @property
    def is_forgotten(self) -> bool:
        """Whether the origin was not used for so long that its limit is out of date."""
        return not self.in_use and perf_counter() - self.used_s > FORGOTTEN_S

    @property
    def is_connected(self) -> bool:
        """Whether a connection is in use that the receiver has accepted."""
        return self.in_use > self.connecting

    def enter(self) -> bool:
        """Take a connection if the limit permits, and nobody waits."""
        if self._lines or self.in_use >= self.limit:
            return False
        if self._suspects and not self._has_room():
            return False
        self.in_use += 1
        return True

    async def wait(self, route: str) -> None:
        """Wait for a connection.

        The routes take turns, so that a route which does not answer delays no other.

        Raises: what `fail` was called with.
        """
        turn = asyncio.get_running_loop().create_future()
        self._lines.setdefault(route, deque()).append(turn)
        self._check_later()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave(answered=False)
            else:
                self._drop(route, turn)
            raise

    def leave(self, *, answered: bool) -> None:
        """Give a connection back."""
        self.used_s = perf_counter()
        if answered:
            self.answered_s = self.used_s
            # A number that is not used proves nothing, so it does not grow.
            if not self._suspects and self.limit < START + 2 * self.in_use:
                self.limit = min(self.limit + 1, self._limit_max)
        self.in_use -= 1
        if self._lines:
            self._admit()

    def halve(self, begun_s: float) -> None:
        """Halve the limit, but once only for all connections of the same time.

        Args:
            begun_s: when the connection began that was slow, or was reset.
        """
        if self._halved_s is None or begun_s > self._halved_s:
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

    def fail(self, err: OSError) -> None:
        """Let all who wait fail with an error, instead of trying the same."""
        lines, self._lines = self._lines, {}
        for line in lines.values():
            for turn in line:
                if not turn.done():
                    turn.set_exception(copy(err))

    def suspect(self) -> None:
        """Use fewer connections while the receiver has not accepted some in time."""
        if not self._suspects:
            self._suspect_limit = max(1, self.in_use // 2)
        self._suspects += 1
        self._admit()

    def unsuspect(self) -> None:
        """Undo a `suspect`."""
        self._suspects -= 1
        self._admit()

    def _has_room(self) -> bool:
        if self._suspects:
            limit = min(self._suspect_limit, self.limit)
            return self.in_use - self._suspects < limit
        return self.in_use < self.limit

    def _admit(self) -> None:
        while self._lines and self._has_room():
            route = next(iter(self._lines))
            line = self._lines.pop(route)
            turn = line.popleft()
            if line:
                self._lines[route] = line
            if not turn.done():
                self.in_use += 1
                turn.set_result(None)

    def _drop(self, route: str, turn: "asyncio.Future[None]") -> None:
        line = self._lines.get(route)
        if line is not None and turn in line:
            line.remove(turn)
            if not line:
                del self._lines[route]

    def _check_later(self) -> None:
        if self._stall_check is None:
            loop = asyncio.get_running_loop()
            self._stall_check = loop.call_later(SILENT_S, self._check)

    def _check(self) -> None:
        """Let the number grow if the receiver accepts connections, but is slow."""
        self._stall_check = None
        if not self._lines:
            return
        now_s = perf_counter()
        if not self._suspects and now_s - self.answered_s >= SILENT_S:
            halved_s = self._halved_s
            is_small = halved_s is not None and now_s - halved_s < FORGOTTEN_S
            grown = 1 if is_small else self.in_use
            self.limit = min(self.limit + grown, self._limit_max)
        self._admit()
        if self._lines:
            self._check_later()


class Connecting:
    """Watch the time that it takes to connect.

    Attributes:
        crowded: whether connecting was given up because the receiver answers other
            requests, but does not accept this connection in time, or resets it.
        is_hopeless: whether connecting was slow and has failed, so that others who try
            the same will fail, too.
    """

    def __init__(self, ramp: Ramp) -> None:
        self.crowded = False
        self.is_hopeless = False
        self._ramp = ramp
        self._loop = asyncio.get_running_loop()
        self._suspected = False

    def within(self, limit: asyncio.Timeout) -> Self:
        """Set the time limit that ends if the receiver is crowded."""
        self._limit = limit
        return self

    def __enter__(self) -> Self:
        self._begun_s = perf_counter()
        self._slow_s = self._ramp.slow_s
        self._timer = self._loop.call_later(self._ramp.suspect_s, self._suspect)
        self._ramp.connecting += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        ramp, now_s = self._ramp, perf_counter()
        took_s = now_s - self._begun_s
        ramp.connecting -= 1
        if kind is None:
            ramp.accepted_s = now_s
            ramp.fastest_s = min(ramp.fastest_s or took_s, took_s)
        was_reset = kind is ConnectionResetError
        if took_s >= self._slow_s or was_reset:
            ramp.halve(self._begun_s)
        self.crowded = self.crowded or (was_reset and self._is_alive())
        failed_slowly = kind is not None and took_s >= self._slow_s
        self.is_hopeless = failed_slowly and not self._is_alive()
        if self._suspected:
            ramp.unsuspect()

    def _is_alive(self) -> bool:
        """Whether the receiver has answered since this connection began."""
        return self._ramp.answered_s > self._begun_s

    def _suspect(self) -> None:
        self._suspected = True
        self._ramp.suspect()
        left_s = self._begun_s + self._slow_s - perf_counter()
        self._timer = self._loop.call_later(left_s, self._check_slow)

    def _check_slow(self) -> None:
        self._ramp.halve(self._begun_s)
        if self._is_alive():
            self.crowded = True
            self._limit.reschedule(self._loop.time())
        else:
            self._timer = self._loop.call_later(SLOW_S, self._check_slow)
