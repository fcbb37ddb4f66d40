"""One connection to the store for many callers: commands go out at once, replies come
back in order.

redis-py's asynchronous client takes 90 us of processor time for a command, this one 15;
a delivery makes three if it is in no batch. Addresses, TLS and errors are redis-py's.
"""

import asyncio
import hiredis
import redis
from collections import deque
from redis.asyncio.connection import SSLConnection, parse_url
from redis.connection import DefaultParser
from scheduler_api.core.store.functions import Arg
from time import monotonic
from typing import Any, cast

PORT = 6379


class RedisConnection:
    """A client for few commands and many callers, who may ask at the same time.

    Lives on one event loop. It connects when it is asked, and again after a loss; what
    was lost on the way is asked once more, in silence.

    Args:
        url: as redis-py reads it.
        timeout_s: for connecting, and for each answer.
    """

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self._place = cast(dict[str, Any], parse_url(url))
        self._timeout_s = timeout_s
        self.connects = 0
        self._protocol: _RedisProtocol | None = None
        self._connecting = asyncio.Lock()

    async def ask(self, *words: Arg) -> object:
        """Runs a command.

        Raises: redis.RedisError.
        """
        try:
            return await (await self._open()).ask(words)
        except (redis.ConnectionError, redis.TimeoutError):
            return await (await self._open()).ask(words)

    async def fcall(self, function: str, numkeys: int, *words: Arg) -> object:
        """Calls a function that the store knows.

        Raises: redis.RedisError.
        """
        return await self.ask("FCALL", function, numkeys, *words)

    async def function_load(self, source: str) -> object:
        """Gives the store a library.

        Raises: redis.RedisError.
        """
        return await self.ask("FUNCTION", "LOAD", source)

    async def get(self, key: str) -> object:
        """The value of a string, None if there is none.

        Raises: redis.RedisError.
        """
        return await self.ask("GET", key)

    async def set(self, key: str, value: bytes, *, ex: int) -> object:
        """Writes a string for so many seconds.

        Raises: redis.RedisError.
        """
        return await self.ask("SET", key, value, "EX", ex)

    def tell(self, *words: Arg) -> None:
        """Runs a command whose answer nobody needs; perhaps not, in an outage."""
        if self._protocol is not None:
            self._protocol.ask(words).add_done_callback(_forget)

    def close(self) -> None:
        """Closes the connection; who still waits gets an error."""
        if self._protocol is not None:
            self._protocol.end(redis.ConnectionError("closed"))

    async def _open(self) -> "_RedisProtocol":
        async with self._connecting:
            if self._protocol is None or not self._protocol.is_open:
                self._protocol = await self._connect()
                self.connects += 1
            return self._protocol

    async def _connect(self) -> "_RedisProtocol":
        try:
            async with asyncio.timeout(self._timeout_s):
                protocol = await self._reach()
                try:
                    await self._greet(protocol)
                except BaseException:
                    # Nobody would close it: each question after it opens another.
                    protocol.end(redis.ConnectionError("not let in"))
                    raise
        except TimeoutError as err:
            raise redis.TimeoutError("timed out connecting to the store") from err
        except OSError as err:
            raise redis.ConnectionError(f"cannot connect to the store: {err}") from err
        return protocol

    async def _reach(self) -> "_RedisProtocol":
        loop, place = asyncio.get_running_loop(), dict(self._place)
        kind = place.pop("connection_class", None)
        if "path" in place:
            _, protocol = await loop.create_unix_connection(
                self._new_protocol, place["path"]
            )
            return protocol
        tls = (
            SSLConnection(**place).ssl_context.get() if kind is SSLConnection else None
        )
        host, port = place.get("host", "localhost"), place.get("port", PORT)
        _, protocol = await loop.create_connection(
            self._new_protocol, host, port, ssl=tls
        )
        return protocol

    def _new_protocol(self) -> "_RedisProtocol":
        return _RedisProtocol(self._timeout_s)

    async def _greet(self, protocol: "_RedisProtocol") -> None:
        user, password = self._place.get("username"), self._place.get("password")
        if password is not None:
            await protocol.ask(("AUTH", *([user] if user else []), password))
        if self._place.get("db"):
            await protocol.ask(("SELECT", self._place["db"]))


def _forget(answer: "asyncio.Future[object]") -> None:
    """Retrieve the exception so asyncio does not log "never retrieved"."""
    if not answer.cancelled():
        answer.exception()


class _RedisProtocol(asyncio.Protocol):
    """One socket, from its connect to its loss."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._reader = hiredis.Reader(
            protocolError=redis.InvalidResponse, replyError=DefaultParser.parse_error
        )
        self._waiting: deque[tuple[float, asyncio.Future[object]]] = deque()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether a command may still be written."""
        return self._transport is not None

    def ask(self, words: tuple[Arg, ...]) -> "asyncio.Future[object]":
        """Writes a command; the future has its answer, or redis.RedisError."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[object] = loop.create_future()
        if self._transport is None:
            answer.set_exception(redis.ConnectionError("the connection is lost"))
            return answer
        self._waiting.append((monotonic(), answer))
        try:
            self._transport.write(hiredis.pack_command(cast(Any, words)))
        except RuntimeError as err:
            # uvloop's word for a connection that has just been lost.
            self.end(redis.ConnectionError(str(err)))
            return answer
        if self._timer is None:
            self._timer = loop.call_later(self._timeout_s, self._look_at_oldest)
        return answer

    def _look_at_oldest(self) -> None:
        """One timer for all answers: they come in order."""
        self._timer = None
        if not self._waiting:
            return
        left_s = self._waiting[0][0] + self._timeout_s - monotonic()
        if left_s <= 0:
            self.end(redis.TimeoutError("the store does not answer"))
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(left_s, self._look_at_oldest)

    def end(self, problem: Exception) -> None:
        """Closes; whoever waits is told why."""
        if self._timer is not None:
            self._timer.cancel()
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        while self._waiting:
            _, answer = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(problem)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.end(redis.ConnectionError(f"the store closed the connection: {exc}"))

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                self._answer(reply)
        except redis.InvalidResponse as err:
            self.end(redis.ConnectionError(str(err)))

    def _answer(self, reply: object) -> None:
        if not self._waiting:
            self.end(redis.ConnectionError("an answer to nobody"))
            return
        _, answer = self._waiting.popleft()
        if answer.done():
            # Whoever asked has gone.
            return
        if isinstance(reply, Exception):
            answer.set_exception(reply)
        else:
            answer.set_result(reply)
