"""Works on stored jobs of dead letters, in chunks, at the rate of the job."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from scheduler_api.core.errors import NotFound
from scheduler_api.core.ids import nonce
from scheduler_api.core.model import Owner
from scheduler_api.core.queries.letters import Letter, Letters
from scheduler_api.core.queries.positions import Position
from scheduler_api.core.recovery.letter_actions import Handled, LetterActions
from scheduler_api.core.recovery.letter_jobs import (
    Action,
    JobState,
    LetterJob,
    LetterJobs,
)
from scheduler_api.core.store.cell import Cell

# How many letters are examined before the cursor is stored.
CHUNK = 500
# How many letters are retried or deleted at once.
AT_ONCE = 25
LEASE_MS = 15_000


class LetterWork:
    """Works on jobs, as one process of possibly several."""

    def __init__(
        self,
        cell: Cell,
        letters: Letters,
        actions: LetterActions,
        dialects: Sequence[str],
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._jobs = LetterJobs(cell)
        self._letters = letters
        self._actions = actions
        self._dialects = dialects
        self._sleep = sleep
        self._clock_s = clock_s
        self._name = nonce()

    def work_on_all(self, *, for_s: float) -> int:
        """Work on all running jobs, one after the other; return what was done.

        Args:
            for_s: the time for all of them.
        """
        done, jobs = 0, self._jobs.open_jobs()
        for each in jobs:
            done += self.work(*each, for_s=for_s / len(jobs))
        return done

    def work(
        self,
        tenant: str,
        job_id: str,
        *,
        for_s: float,
        on_progress: Callable[[], None] = lambda: None,
    ) -> int:
        """Work on a job until it ends, or is stopped, or the time is over.

        Return how many letters were retried or deleted: 0 if another process works on
        the job. A process that dies meanwhile has stored all but the last chunk; the
        chunk is examined again, and nothing is retried twice.
        """
        try:
            job = self._jobs.get(tenant, job_id)
        except NotFound:
            job = None
        if job is None or job.state is not JobState.RUNNING:
            self._jobs.forget(tenant, job_id)
            return 0
        if not self._jobs.lease(job, self._name, ttl_ms=LEASE_MS):
            return 0
        shift = _Shift(job, for_s=for_s, clock_s=self._clock_s, on_progress=on_progress)
        try:
            cursor = job.cursor
            while not shift.is_over:
                cursor = self._chunk(shift, cursor)
        finally:
            self._jobs.release(job, self._name)
        return shift.done

    def _chunk(self, shift: "_Shift", after: Position | None) -> Position | None:
        """Handle the letters after a position; return the last position handled."""
        owners = [Owner(shift.job.tenant, each) for each in self._dialects]
        places = self._letters.places(
            owners, shift.job.wanted.time, after=after, newest_first=False
        )
        chunk = list(islice(places, CHUNK))
        if not chunk:
            self._jobs.finish(shift.job)
            shift.is_over = True
            return after
        cursor, examined, skipped = after, 0, 0
        found = self._letters.examine(chunk, shift.job.wanted)
        for batch in _portions(found, size=min(AT_ONCE, shift.job.rate)):
            handled = self._handle(shift, [each for _, each in batch if each])
            if handled.refused:
                self._jobs.note_refused(shift.job, handled.refused)
                shift.is_over = True
                break
            cursor, examined = batch[-1][0], examined + len(batch)
            skipped += handled.skipped
            if shift.is_over:
                break
        if cursor is not None and examined:
            advance = self._jobs.advance
            advance(shift.job, cursor, examined=examined, skipped=skipped)
        return cursor

    def _handle(self, shift: "_Shift", letters: Sequence[Letter]) -> Handled:
        """Retry or delete letters, then wait as long as the rate demands."""
        handled, job = Handled(), shift.job
        if not letters:
            return handled
        retries = job.action is Action.RETRY
        act = self._actions.retry if retries else self._actions.delete
        for owner in dict.fromkeys(letter.owner for letter in letters):
            ids = [letter.id for letter in letters if letter.owner == owner]
            handled += act(owner, ids, job=job.name)
        shift.done += handled.done
        shift.taken += len(letters)
        shift.on_progress()
        self._sleep(shift.ahead_s)
        goes_on = self._jobs.is_running(job)
        if not (goes_on and self._jobs.lease(job, self._name, ttl_ms=LEASE_MS)):
            shift.is_over = True
        return handled


class _Shift:
    """The time during which a process works on a job."""

    def __init__(
        self,
        job: LetterJob,
        *,
        for_s: float,
        clock_s: Callable[[], float],
        on_progress: Callable[[], None],
    ) -> None:
        self.job = job
        self.done = self.taken = 0
        self.on_progress = on_progress
        self._clock_s = clock_s
        self._started_s = clock_s()
        self._for_s = for_s
        self._is_over = False

    @property
    def is_over(self) -> bool:
        """Whether to work no longer."""
        return self._is_over or self._elapsed_s >= self._for_s

    @is_over.setter
    def is_over(self, is_over: bool) -> None:
        self._is_over = is_over

    @property
    def ahead_s(self) -> float:
        """How long to wait so that the work is not faster than the rate of the job."""
        return max(0.0, self.taken / self.job.rate - self._elapsed_s)

    @property
    def _elapsed_s(self) -> float:
        return self._clock_s() - self._started_s


def _portions(
    found: Iterable[tuple[Position, Letter | None]], *, size: int
) -> Iterator[list[tuple[Position, Letter | None]]]:
    """Yield what was examined in portions with at most `size` letters that match."""
    portion: list[tuple[Position, Letter | None]] = []
    letters = 0
    for place, letter in found:
        portion.append((place, letter))
        letters += letter is not None
        if letters == size:
            yield portion
            portion, letters = [], 0
    if portion:
        yield portion
