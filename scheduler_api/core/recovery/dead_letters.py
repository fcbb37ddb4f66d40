"""Dead letters: failed events, kept until they are replayed or removed."""

import logging
from collections.abc import Iterator, Sequence
from scheduler_api.core import logfmt, public_ids
from scheduler_api.core.ids import nonce
from scheduler_api.core.model import Accepted, Draft, Owner, State, Verdict
from scheduler_api.core.queries.filters import Span
from scheduler_api.core.store import keys
from scheduler_api.core.store.events import EventStore
from typing import NamedTuple, cast

NOT_REPLAYED = (Verdict.GONE, Verdict.FAULT)
# How many dead letters are listed at once; callers read their contents into memory.
AT_ONCE = 100


log = logging.getLogger("scheduler.store")


class Place(NamedTuple):
    """The position of a dead letter: the time of its failure, then its id."""

    ms: int
    id: str


class DeadLetters:
    """The dead letters of one cell."""

    def __init__(self, store: EventStore) -> None:
        self.cell = store.cell
        self._store = store

    def chunks(
        self, owner: Owner, span: Span, *, after: Place | None, newest_first: bool
    ) -> Iterator[list[Place]]:
        """Yield lists of the dead letters that failed within a span.

        A position stays valid when letters are removed, because it consists of a time
        and an id. Redis: one read for each list.

        Args:
            after: start after this position; None: start with the first letter.
        """
        key = keys.finished(self.cell.prefix, str(owner), State.DEAD)
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
                self.cell.client.zrange(
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
            yield [place for place in places if _is_after(place, after, newest_first)]
            if len(found) < AT_ONCE:
                return
            last = places[-1]
            at_last = sum(1 for place in places if place.ms == last.ms)
            bound = high if newest_first else low
            skipped = at_last if last.ms != bound else skipped + at_last
            low, high = (low, last.ms) if newest_first else (last.ms, high)

    def clear(
        self, owner: Owner, event_ids: Sequence[str], *, job: str = ""
    ) -> list[bool]:
        """Remove dead letters; return for each whether the owner had this letter.

        The event of a removed letter has the retention of a delivered event. Redis:
        delete_dead_letters, atomic for each letter. If the call is retried after a lost
        reply, the result is still that of the first call.

        Args:
            job: as in `EventStore.create_many`.
        """
        if not event_ids:
            return []
        options = {"owner": str(owner), "change": nonce()}
        if job:
            options["job"] = job
        deleted = self.cell.call("delete_dead_letters", options, event_ids)
        return [bool(each) for each in deleted]

    def replay(
        self, owner: Owner, letters: Sequence[tuple[str, Draft]], *, job: str = ""
    ) -> list[Accepted | None]:
        """Replace each dead letter by a new event.

        The result is None for a letter that is missing or unreadable. The call that
        creates the event also removes the letter, so that the letter cannot be replayed
        twice. Redis: replay_dead_letters, atomic for each letter.

        Args:
            job: as in `EventStore.create_many`.
        """
        accepted = self._store.create_many(
            owner,
            [draft for _, draft in letters],
            replaces=[event_id for event_id, _ in letters],
            job=job,
        )
        for (event_id, _), answer in zip(letters, accepted, strict=True):
            if answer.verdict is Verdict.FAULT:
                named = public_ids.event_id(owner, event_id)
                log.error(
                    logfmt.line(
                        "letter.unreadable", event=named, owner=owner, problem=answer.id
                    )
                )
        return [None if a.verdict in NOT_REPLAYED else a for a in accepted]


def _is_after(place: Place, after: Place | None, newest_first: bool) -> bool:
    """Whether a place comes after another in the order of the list.

    Both Redis and `Place` order members with equal scores by their bytes.
    """
    if after is None:
        return True
    return place < after if newest_first else place > after
