"""Retries and deletes dead letters of any dialect."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from scheduler_api.core import logfmt, public_ids
from scheduler_api.core.batches import batches
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import Draft, Event, Owner, State, Verdict
from scheduler_api.core.queries.journal import Journal
from scheduler_api.core.recovery.dead_letters import DeadLetters
from scheduler_api.core.store.reads import log_unreadable

# How many dead letters are read at once. Small, because their bodies may be large.
BATCH = 25
FULL = "full"

log = logging.getLogger("scheduler.store")

# Returns the event that replaces a dead letter, by the name of the dialect.
Redrafts = Mapping[str, Callable[[Event], Draft]]


@dataclass(frozen=True)
class Handled:
    """What happened to some dead letters.

    Attributes:
        done: how many were retried or deleted.
        skipped: how many cannot be retried, because they cannot be read.
        refused: why the store did not take the rest: `full`, or the message of
            `LimitReached`; '' if it took all.
    """

    done: int = 0
    skipped: int = 0
    refused: str = ""

    def __add__(self, other: "Handled") -> "Handled":
        return Handled(
            self.done + other.done,
            self.skipped + other.skipped,
            self.refused or other.refused,
        )


class LetterActions:
    """Retries and deletes dead letters of one cell."""

    def __init__(self, letters: DeadLetters, journal: Journal, redrafts: Redrafts):
        self._letters = letters
        self._journal = journal
        self._redrafts = redrafts

    def retry(
        self, owner: Owner, event_ids: Sequence[str], *, job: str = ""
    ) -> Handled:
        """Replace dead letters by new events that are due now.

        Letters that do not exist any more are left out, so a repeated call retries
        nothing twice. Redis: replay_dead_letters, atomic for each letter, and reads.

        Args:
            job: as in `EventStore.create_many`.
        """
        handled = Handled()
        for ids in batches(event_ids, BATCH):
            handled += self._retry(owner, ids, job)
            if handled.refused:
                break
        return handled

    def delete(
        self, owner: Owner, event_ids: Sequence[str], *, job: str = ""
    ) -> Handled:
        """Delete dead letters. Their events are kept as long as delivered ones.

        Redis: delete_dead_letters, atomic for each letter.

        Args:
            job: as in `EventStore.create_many`.
        """
        done = sum(self._letters.clear(owner, event_ids, job=job))
        log.info(logfmt.line("dead_letters.cleared", owner=owner, events=done))
        return Handled(done)

    def _retry(self, owner: Owner, event_ids: Sequence[str], job: str) -> Handled:
        found = [*self._journal.events(owner, event_ids)]
        letters = [event for event in found if event.state is State.DEAD]
        drafts = self._drafts(owner, letters)
        results = self._letters.replay(owner, drafts, job=job)
        done, refused = 0, ""
        for (event_id, _), result in zip(drafts, results, strict=True):
            if result is None:
                continue
            if result.verdict is Verdict.FULL:
                refused = FULL
            elif result.verdict is Verdict.LIMIT_REACHED:
                refused = result.id
            else:
                done += 1
                _log_replayed(owner, event_id, result.id)
        missing = len(event_ids) - len(found)
        return Handled(done, missing + len(letters) - len(drafts), refused)

    def _drafts(
        self, owner: Owner, letters: Sequence[Event]
    ) -> list[tuple[str, Draft]]:
        """Return a draft for each letter; unreadable ones are logged and left out."""
        redraft, drafts = self._redrafts[owner.dialect], []
        for letter in letters:
            try:
                drafts.append((letter.id, redraft(letter)))
            except UnreadableRecord as err:
                log_unreadable(self._letters.cell, letter.id, err)
        return drafts


def _log_replayed(owner: Owner, event_id: str, new_id: str) -> None:
    log.info(
        logfmt.line(
            "dead_letter.replayed",
            event=public_ids.event_id(owner, event_id),
            owner=owner,
            new_event=public_ids.event_id(owner, new_id),
        )
    )
