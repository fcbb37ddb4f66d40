"""Lists the attempts of schedules, newest first."""

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from itertools import islice
from scheduler_api.core.batches import batches
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import Attempt, Owner, State
from scheduler_api.core.store import codec, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.reads import execute_reads, log_unreadable, readable
from scheduler_api.core.store.records import EVENT
from typing import cast

# How many attempt logs, and how many members of a set, are read at once.
BATCH, PAGE = 100, 1_000
# The maximum number of finished events that `of_finished` searches for occurrences.
MAX_SEARCHED = 100_000

# A function that takes a start index and an end index. It returns the members from the
# start index on, without the member at the end index.
ReadPage = Callable[[int, int], list[bytes]]


def of_schedule(cell: Cell, schedule_id: str) -> Iterator[Attempt]:
    """All stored attempts of a schedule.

    Occurrences are ordered by fire time, and the attempts of an occurrence by number;
    the newest come first. The attempts are read in batches on demand.
    """
    key = keys.occurrences(cell.prefix, schedule_id)
    return _logged(cell, _members(_newest(cell, key)))


def of_finished(
    cell: Cell, owner: Owner, state: State, *, schedules: Container[str] | None = None
) -> Iterator[Attempt]:
    """The attempts of those occurrences of an owner whose final state is `state`.

    The occurrence that ended last comes first. Occurrences are searched only among the
    `MAX_SEARCHED` events that ended last. The attempts are read in batches on demand.

    Args:
        schedules: include only occurrences of these schedules; None: of all schedules.
    """
    key = keys.finished(cell.prefix, str(owner), state)
    found = islice(_members(_newest(cell, key)), MAX_SEARCHED)
    return _logged(cell, (event for event in found if _belongs(event, schedules)))


def exists(cell: Cell, event_id: str, number: int) -> bool:
    """Whether the log of an event has an attempt with that number."""
    return cell.client.hexists(keys.log(cell.prefix, event_id), str(number))


def replay_origins(cell: Cell, event_ids: Iterable[str]) -> dict[str, str]:
    """Map the ids of replays to the ids of the occurrences that they replay.

    Events that are not replays are left out.
    """
    # Every replay is a run by hand, so it has no fire time in its id. Leave out the
    # occurrences whose ids end in a fire time.
    ids = [event for event in event_ids if not event.rpartition(".")[2].isdecimal()]
    if not ids:
        return {}
    pipe = cell.client.pipeline(transaction=False)
    for event_id in ids:
        pipe.hget(keys.event(cell.prefix, event_id), EVENT.code("replay_of"))
    return {
        event_id: origin.decode()
        for event_id, origin in zip(ids, execute_reads(pipe), strict=True)
        if isinstance(origin, bytes)
    }


def _belongs(event_id: str, schedules: Container[str] | None) -> bool:
    schedule, dot, _ = event_id.partition(".")
    return bool(dot) and (schedules is None or schedule in schedules)


def _newest(cell: Cell, key: str) -> ReadPage:
    """Return a function that reads a sorted set, highest score first."""

    def read_page(start: int, end: int) -> list[bytes]:
        return cast(list[bytes], cell.client.zrange(key, start, end - 1, desc=True))

    return read_page


def _members(read_page: ReadPage) -> Iterator[str]:
    start = 0
    while page := read_page(start, start + PAGE):
        yield from (member.decode() for member in page)
        start += PAGE


def _logged(cell: Cell, event_ids: Iterator[str]) -> Iterator[Attempt]:
    for batch in batches(event_ids, BATCH):
        pipe = cell.client.pipeline(transaction=False)
        for event_id in batch:
            pipe.hgetall(keys.log(cell.prefix, event_id))
        for event_id, lines in zip(batch, execute_reads(pipe), strict=True):
            try:
                yield from _decoded(cell, event_id, readable(lines))
            except UnreadableRecord as err:
                log_unreadable(cell, event_id, err)


def _decoded(cell: Cell, event_id: str, lines: dict[bytes, bytes]) -> Sequence[Attempt]:
    """The readable attempts; unreadable attempts are logged and left out."""
    found = []
    for number in sorted(lines, key=lambda name: (len(name), name), reverse=True):
        try:
            found.append(codec.decode_attempt(event_id, number, lines[number]))
        except UnreadableRecord as err:
            log_unreadable(cell, event_id, err)
    return found
