"""The attempts of schedules, newest first: reads for people."""

import logging
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from itertools import islice
from scheduler_api.core import logfmt
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import Attempt, Owner, State
from scheduler_api.core.store import codec, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.records import EVENT
from typing import cast

# Logs read at once, and members of a set.
BATCH, PAGE = 100, 1_000
# How far back those of one of many schedules are looked for.
FARTHEST = 100_000

Part = Callable[[int, int], list[bytes]]

log = logging.getLogger("scheduler.web")


def of_schedule(cell: Cell, schedule_id: str) -> Iterator[Attempt]:
    """All that are kept of a schedule, by fire time, then by number.

    Read in batches as they are asked for.

    Raises: redis.RedisError.
    """
    key = keys.occurrences(cell.prefix, schedule_id)
    return _logged(cell, _members(_newest(cell, key)))


def of_finished(
    cell: Cell, owner: Owner, state: State, *, of: Container[str] | None = None
) -> Iterator[Attempt]:
    """Those of an owner's occurrences that ended in a state, the last ended first.

    Read in batches as they are asked for.

    Args:
        of: the schedules that are meant; of any others are none told.

    Raises: redis.RedisError.
    """
    key = keys.finished(cell.prefix, str(owner), state)
    found = islice(_members(_newest(cell, key)), FARTHEST)
    return _logged(cell, (each for each in found if _belongs(each, of)))


def exists(cell: Cell, event_id: str, number: int) -> bool:
    """Whether the log of an event tells of an attempt.

    Raises: redis.RedisError.
    """
    return cell.client.hexists(keys.log(cell.prefix, event_id), str(number))


def origins(cell: Cell, event_ids: Iterable[str]) -> dict[str, str]:
    """The occurrences that others of these send again, by the ids of the latter.

    Raises: redis.RedisError.
    """
    # What a fire time has made sends nothing again.
    ids = [each for each in event_ids if not each.rpartition(".")[2].isdecimal()]
    if not ids:
        return {}
    pipe = cell.client.pipeline(transaction=False)
    for event_id in ids:
        pipe.hget(keys.event(cell.prefix, event_id), EVENT.code("replay_of"))
    return {
        event_id: origin.decode()
        for event_id, origin in zip(ids, pipe.execute(), strict=True)
        if origin is not None
    }


def _belongs(event_id: str, schedules: Container[str] | None) -> bool:
    schedule, dot, _ = event_id.partition(".")
    return bool(dot) and (schedules is None or schedule in schedules)


def _newest(cell: Cell, key: str) -> Part:
    def part(start: int, end: int) -> list[bytes]:
        return cast(list[bytes], cell.client.zrange(key, start, end - 1, desc=True))

    return part


def _members(part: Part) -> Iterator[str]:
    start = 0
    while page := part(start, start + PAGE):
        yield from (member.decode() for member in page)
        start += PAGE


def _logged(cell: Cell, event_ids: Iterator[str]) -> Iterator[Attempt]:
    while batch := list(islice(event_ids, BATCH)):
        pipe = cell.client.pipeline(transaction=False)
        for event_id in batch:
            pipe.hgetall(keys.log(cell.prefix, event_id))
        for event_id, lines in zip(batch, pipe.execute(), strict=True):
            yield from _decoded(event_id, lines)


def _decoded(event_id: str, lines: dict[bytes, bytes]) -> Sequence[Attempt]:
    """One bad line must not hide the others."""
    found = []
    for number in sorted(lines, key=lambda name: (len(name), name), reverse=True):
        try:
            found.append(codec.decode_attempt(event_id, number, lines[number]))
        except UnreadableRecord as err:
            log.warning(logfmt.line("record.unreadable", problem=err))
    return found
