"""Dead letters: events that gave up, until somebody sends them anew or removes them."""

import logging
from collections.abc import Iterator, Sequence
from scheduler_api.core import logfmt
from scheduler_api.core.ids import nonce
from scheduler_api.core.model import Accepted, Draft, Owner, State, Verdict
from scheduler_api.core.queries.filters import Span
from scheduler_api.core.store import keys
from scheduler_api.core.store.events import EventStore
from typing import NamedTuple, cast

# Nothing has come of these.
NONE = (Verdict.GONE, Verdict.FAULT)
# Read at once: few enough that what they hold fits in memory.
AT_ONCE = 100


log = logging.getLogger("scheduler.store")


class Place(NamedTuple):
    """Where a dead letter stands among its owner's: by when it gave up, then by id."""

    ms: int
    id: str


class DeadLetters:
    """The dead letters of one cell."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    def chunks(
        self, owner: Owner, span: Span, *, after: Place | None, newest_first: bool
    ) -> Iterator[list[Place]]:
        """Those that gave up within a span, behind a place, some at a time.

        What leaves meanwhile moves nothing. Redis: one read for each.

        Raises: redis.RedisError.
        """
        key = keys.finished(self._store.cell.prefix, str(owner), State.DEAD)
        low, high = span.bounds
        skipped = 0
        if after is not None and newest_first:
            high = after.ms if span.end_ms is None else min(after.ms, span.end_ms)
        elif after is not None:
            low = after.ms if span.start_ms is None else max(after.ms, span.start_ms)
        while True:
            start, end = (high, low) if newest_first else (low, high)
            found = cast(
                list[tuple[bytes, float]],
                self._store.cell.client.zrange(
                    key,
                    *(cast(int, start), cast(int, end)),
                    desc=newest_first,
                    byscore=True,
                    offset=skipped,
                    num=AT_ONCE,
                    withscores=True,
                ),
            )
            places = [Place(int(ms), member.decode()) for member, ms in found]
            yield [each for each in places if _is_behind(each, after, newest_first)]
            if len(found) < AT_ONCE:
                return
            last = places[-1]
            at_last = sum(1 for each in places if each.ms == last.ms)
            bound = high if newest_first else low
            skipped = at_last if last.ms != bound else skipped + at_last
            low, high = (low, last.ms) if newest_first else (last.ms, high)

    def clear(self, owner: Owner, event_ids: Sequence[str]) -> list[bool]:
        """Removes dead letters; answers for each whether it was one of the owner's.

        Their events are kept like those that were delivered. Redis:
        delete_dead_letters, atomic for each; repeated in silence, it answers alike.

        Raises: redis.RedisError.
        """
        if not event_ids:
            return []
        options = {"owner": str(owner), "change": nonce()}
        deleted = self._store.cell.call("delete_dead_letters", options, event_ids)
        return [bool(each) for each in deleted]

    def replay(
        self, owner: Owner, letters: Sequence[tuple[str, Draft]]
    ) -> list[Accepted | None]:
        """Puts a new event in the place of each dead letter; None where there was none.

        A replay by which a letter ceases to be one, so that none is sent anew twice.

        Redis: replay_dead_letters, atomic for each: a crash neither loses nor doubles
        one.

        Raises: redis.RedisError; what was answered before is stored.
        """
        accepted = self._store.create_many(
            owner,
            [draft for _, draft in letters],
            replaces=[event_id for event_id, _ in letters],
        )
        for (event_id, _), each in zip(letters, accepted, strict=True):
            if each.verdict is Verdict.FAULT:
                line = logfmt.line("letter.unreadable", event=event_id, problem=each.id)
                log.error(line)
        return [None if each.verdict in NONE else each for each in accepted]


def _is_behind(place: Place, after: Place | None, newest_first: bool) -> bool:
    """Members of equal score stand in the order of their bytes."""
    if after is None:
        return True
    return place < after if newest_first else place > after
