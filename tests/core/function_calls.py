"""Simulates faults of calls to Lua functions: repeats, races and connection losses.

The helpers replace the client method that sends a call, so the code under test runs
unchanged.
"""

import redis
import redis.asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from tests.core.stored import everything
from typing import Any

COMMANDS = ("fcall",)
# Helpers replace methods of one client, or of the class of all synchronous clients.
Target = redis.Redis | redis.asyncio.Redis | type[redis.Redis]


def count_function_calls(client: redis.Redis) -> int:
    """Return the number of function calls that the server has executed."""
    stats: Any = client.info("commandstats")
    counts = (stats.get(f"cmdstat_{name}", {"calls": 0}) for name in COMMANDS)
    return sum(int(count["calls"]) for count in counts)


class Repeats:
    """Runs calls twice, and records the answers to the second calls."""

    def __init__(
        self, reader: redis.Redis, between: Callable[[], object], *, same_answer: bool
    ) -> None:
        self.answers: list[Any] = []
        # The contents of the store between the first and the second call.
        self.stored: dict[str, Any] = {}
        self._reader = reader
        self._between = between
        self._same_answer = same_answer
        self._is_between = False

    def call_twice(self, call: Callable[..., Any], *args: Any) -> Any:
        if self._is_between:
            return call(*args)
        first = call(*args)
        self._prepare_repeat()
        return self._record(first, call(*args))

    async def call_twice_async(self, call: Callable[..., Any], *args: Any) -> Any:
        if self._is_between:
            return await call(*args)
        first = await call(*args)
        self._prepare_repeat()
        return self._record(first, await call(*args))

    def _prepare_repeat(self) -> None:
        """Run `between`, wait a millisecond, and record what the store contains."""
        self._is_between = True
        self._between()
        self._is_between = False
        first_ms = self._now_ms()
        while self._now_ms() == first_ms:
            pass
        self.stored = everything(self._reader)

    def _now_ms(self) -> int:
        seconds, micros = self._reader.time()
        return int(seconds * 1000 + micros // 1000)

    def _record(self, first: Any, second: Any) -> Any:
        assert not self._same_answer or _as_text(first) == _as_text(second)
        self.answers.append(second)
        return second


@contextmanager
def repeating(
    client: redis.Redis,
    *others: redis.asyncio.Redis,
    between: Callable[[], object] = lambda: None,
    same_answer: bool = True,
) -> Iterator[Repeats]:
    """Call every function twice, like a client that did not receive the first answer.

    The code under test gets the second answer.

    Args:
        between: a function to run between the first and the second call.
        same_answer: whether to check that both answers are equal; a number and its
            decimal text count as equal.
    """
    repeats = Repeats(client, between, same_answer=same_answer)
    with ExitStack() as stack:
        stack.enter_context(_intercepted(client, repeats.call_twice))
        for other in others:
            stack.enter_context(_intercepted(other, repeats.call_twice_async))
        yield repeats
    assert repeats.answers, "no function was called"


@contextmanager
def before_next_call(client: redis.Redis, act: Callable[[], object]) -> Iterator[None]:
    """Run `act` just before the next call is sent.

    The arguments of the call are computed before `act` runs.
    """
    pending = [act]

    def act_and_call(call: Callable[..., Any], *args: Any) -> Any:
        if pending:
            pending.pop()()
        return call(*args)

    with _intercepted(client, act_and_call):
        yield
    assert not pending, "no function was called"


@contextmanager
def unreachable_after(client: Target, *, calls: int) -> Iterator[None]:
    """Make the store unreachable after a number of calls."""
    executed = 0

    def call_or_fail(call: Callable[..., Any], *args: Any) -> Any:
        nonlocal executed
        if executed == calls:
            raise redis.ConnectionError("the store is unreachable")
        answer = call(*args)
        executed += 1
        return answer

    with _intercepted(client, call_or_fail):
        yield
    assert executed == calls, "too few functions were called"


@contextmanager
def _intercepted(client: Target, handler: Callable[..., Any]) -> Iterator[None]:
    """Run `handler(method, *args)` instead of each client method in `COMMANDS`."""
    originals = {name: vars(client).get(name) for name in COMMANDS}
    for name in COMMANDS:
        setattr(client, name, _interceptor(getattr(client, name), handler))
    try:
        yield
    finally:
        for name, original in originals.items():
            if original is None:
                delattr(client, name)
            else:
                setattr(client, name, original)


def _interceptor(
    call: Callable[..., Any], handler: Callable[..., Any]
) -> Callable[..., Any]:
    # Do not use `functools.partial` here. If an attribute of a class is a function,
    # Python passes the instance as the first argument. For a `partial`, it does not.
    def intercept(*args: Any) -> Any:
        # A repeated reservation only skips ids.
        if str(args[0]).startswith("reserve_ids_"):
            return call(*args)
        return handler(call, *args)

    return intercept


def _as_text(answer: Any) -> Any:
    if isinstance(answer, list):
        return [_as_text(item) for item in answer]
    return str(answer).encode() if isinstance(answer, int) else answer
