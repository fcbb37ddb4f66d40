"""The time limit of an attempt."""

import asyncio
from types import TracebackType

# If the timer is so late, this process did not run when the deadline passed. What has
# arrived in the meantime is read first, for at most `LATE_GRACE_S`.
LATE_S = 0.25
LATE_GRACE_S = 0.5


class Deadline:
    """End a block with TimeoutError after some time, like `asyncio.timeout`.

    `asyncio.timeout` takes 5 to 7 us on uvloop, a twentieth of the time of a
    delivery; this class takes 2 us. A deadline cannot be rescheduled or used twice. If
    the task is cancelled for another reason, the block ends with CancelledError.

    Raises:
        TimeoutError: after `seconds`; at once if `seconds` is 0 or less.
    """

    __slots__ = ("_cancelling_before", "_expired", "_seconds", "_task", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._expired = False

    def __enter__(self) -> None:
        if self._seconds <= 0:
            raise TimeoutError
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling_before = task.cancelling()
        self._timer = task.get_loop().call_later(self._seconds, self._expire)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if not self._expired:
            return
        # `uncancel` withdraws the cancellation by this deadline, and returns how many
        # cancellation requests are left. If there are more requests than before the
        # block, other code has requested a cancellation as well.
        cancelled_by_others = self._task.uncancel() > self._cancelling_before
        if kind is asyncio.CancelledError and not cancelled_by_others:
            raise TimeoutError from err

    def _expire(self) -> None:
        loop = self._task.get_loop()
        if loop.time() - self._timer.when() >= LATE_S:
            self._timer = loop.call_later(LATE_GRACE_S, self._expire)
            return
        self._expired = True
        self._task.cancel()
