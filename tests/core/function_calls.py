"""What may befall the call of a function: it runs twice, comes late, or is cut off.

Calls are met at the client, by the commands that carry them; what they say is left to
the methods under test.
"""

import redis
import redis.asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from tests.core.stored import everything
from typing import Any

COMMANDS = ("fcall",)
# A client, or the class of all of them.
Target = redis.Redis | redis.asyncio.Redis | type[redis.Redis]


def functions_called(client: redis.Redis) -> int:
    """How many calls of functions the server has carried out."""
    stats: Any = client.info("commandstats")
    counts = (stats.get(f"cmdstat_{name}", {"calls": 0}) for name in COMMANDS)
    return sum(int(count["calls"]) for count in counts)


class Repeats:
    """Calls that ran twice: what they answered, and what they found the second time."""

    def __init__(
        self, reader: redis.Redis, between: Callable[[], object], *, alike: bool
    ) -> None:
        self.answers: list[Any] = []
        # Right before the newest repeat.
        self.stored: dict[str, Any] = {}
        self._reader = reader
        self._between = between
        self._alike = alike
        self._is_between = False

    def twice(self, call: Callable[..., Any], *words: Any) -> Any:
        if self._is_between:
            return call(*words)
        first = call(*words)
        self._let_pass()
        return self._told(first, call(*words))

    async def twice_awaited(self, call: Callable[..., Any], *words: Any) -> Any:
        if self._is_between:
            return await call(*words)
        first = await call(*words)
        self._let_pass()
        return self._told(first, await call(*words))

    def _let_pass(self) -> None:
        """What goes by the server's clock finds a later ms the second time."""
        self._is_between = True
        self._between()
        self._is_between = False
        answered_ms = self._now_ms()
        while self._now_ms() == answered_ms:
            pass
        self.stored = everything(self._reader)

    def _now_ms(self) -> int:
        seconds, micros = self._reader.time()
        return int(seconds * 1000 + micros // 1000)

    def _told(self, first: Any, second: Any) -> Any:
        assert not self._alike or _as_text(first) == _as_text(second)
        self.answers.append(second)
        return second


@contextmanager
def repeating(
    client: redis.Redis,
    *others: redis.asyncio.Redis,
    between: Callable[[], object] = lambda: None,
    alike: bool = True,
) -> Iterator[Repeats]:
    """Has every function run twice, as clients do whose first answer was lost.

    Only the second answer arrives. It must be the first one again, unless it need not
    be `alike`; numbers may come as text. What happens `between` runs once.
    """
    repeats = Repeats(client, between, alike=alike)
    with ExitStack() as stack:
        stack.enter_context(_met(client, repeats.twice))
        for other in others:
            stack.enter_context(_met(other, repeats.twice_awaited))
        yield repeats
    assert repeats.answers, "no function was called"


@contextmanager
def ahead_of_function(client: redis.Redis, act: Callable[[], object]) -> Iterator[None]:
    """Lets something happen right before the next call: what that is told is old."""
    waiting = [act]

    def after_it(call: Callable[..., Any], *words: Any) -> Any:
        if waiting:
            waiting.pop()()
        return call(*words)

    with _met(client, after_it):
        yield
    assert not waiting, "no function was called"


@contextmanager
def cut_off(client: Target, *, after: int) -> Iterator[None]:
    """Loses the store once so many functions have been carried out."""
    carried_out = 0

    def at_most(call: Callable[..., Any], *words: Any) -> Any:
        nonlocal carried_out
        if carried_out == after:
            raise redis.ConnectionError("the store is away")
        answer = call(*words)
        carried_out += 1
        return answer

    with _met(client, at_most):
        yield
    assert carried_out == after, "too few functions were called"


@contextmanager
def _met(client: Target, meet: Callable[..., Any]) -> Iterator[None]:
    """Has `meet` called in the place of what calls functions, and told what it is."""
    own = {name: vars(client).get(name) for name in COMMANDS}
    for name in COMMANDS:
        setattr(client, name, _meeting(getattr(client, name), meet))
    try:
        yield
    finally:
        for name, before in own.items():
            if before is None:
                delattr(client, name)
            else:
                setattr(client, name, before)


def _meeting(call: Callable[..., Any], meet: Callable[..., Any]) -> Callable[..., Any]:
    # A function, which a class binds to its instances.
    def met(*words: Any) -> Any:
        return meet(call, *words)

    return met


def _as_text(answer: Any) -> Any:
    if isinstance(answer, list):
        return [_as_text(each) for each in answer]
    return str(answer).encode() if isinstance(answer, int) else answer
