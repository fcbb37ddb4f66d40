"""Checks the indexes of search terms: each indexed schedule must have the term."""

import redis
from collections.abc import Callable, Iterable, Iterator, Sequence
from scheduler_api.core.fsck.gates import Execute, Problem
from scheduler_api.core.store import keys
from scheduler_api.core.store.records import SCHEDULE

# Most indexes contain at most this many schedules. Such small indexes are read in one
# round trip.
SMALL_INDEX = 2
INDEXED_FIELDS = SCHEDULE.codes("owner", "search_terms")

Members = Callable[[str], Iterator[list[str]]]


def problems(
    execute: Execute, members: Members, *, prefix: str, names: Sequence[str]
) -> Iterator[Problem]:
    """Check that each schedule in the index of a term has this term.

    Yield a problem for each schedule that lacks the term.
    """
    small: list[str] = []
    large: list[str] = []
    sizes = execute(*(("ZCARD", prefix + name) for name in names))
    for name, size in zip(names, sizes, strict=True):
        if isinstance(size, redis.ResponseError):
            yield name, "", f"cannot be checked: {size}"
        else:
            (small if size <= SMALL_INDEX else large).append(name)
    indexes = execute(*(("ZRANGE", prefix + name, "0", "-1") for name in small))
    entries = [
        (name, _text(member))
        for name, index in zip(small, indexes, strict=True)
        for member in index
    ]
    yield from _wrong_entries(execute, prefix, entries)
    for name in large:
        for batch in members(name):
            entries = [(name, member) for member in batch]
            yield from _wrong_entries(execute, prefix, entries)


def _wrong_entries(
    execute: Execute, prefix: str, entries: Iterable[tuple[str, str]]
) -> Iterator[Problem]:
    entries = list(entries)
    commands: list[tuple[str, ...]] = []
    for name, member in entries:
        commands.append(("ZSCORE", prefix + name, member))
        commands.append(("HMGET", keys.schedule(prefix, member), *INDEXED_FIELDS))
    replies = execute(*commands)
    for (name, member), score, record in zip(
        entries, replies[::2], replies[1::2], strict=True
    ):
        if score is None or not isinstance(record, list):
            continue
        owner, _, term = name.removeprefix("tm:").rpartition(":")
        schedule_owner, terms = (_text(v) if v is not None else "" for v in record)
        if schedule_owner != owner or term not in terms.split():
            yield name, member, "does not have this search term"


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")
