"""Part of fsck: what a term names must be found by it."""

import redis
from collections.abc import Callable, Iterable, Iterator, Sequence
from scheduler_api.core.store import keys
from scheduler_api.core.store.records import SCHEDULE
from typing import Any

# Most terms name one schedule or two: those are read many at once.
FEW_MEMBERS = 2
FOUND_BY = SCHEDULE.codes("owner", "search_terms")

# Answers of one MULTI; an error is an answer.
Ask = Callable[..., list[Any]]
Members = Callable[[str], Iterator[list[str]]]
Problem = tuple[str, str, str]


def problems(
    ask: Ask, members: Members, *, prefix: str, names: Sequence[str]
) -> Iterator[Problem]:
    """Name, member and problem of each that is not found by a term that names it.

    Raises: redis.RedisError.
    """
    few: list[str] = []
    many: list[str] = []
    sizes = ask(*(("ZCARD", prefix + name) for name in names))
    for name, size in zip(names, sizes, strict=True):
        if isinstance(size, redis.ResponseError):
            yield name, "", f"cannot be checked: {size}"
        else:
            (few if size <= FEW_MEMBERS else many).append(name)
    found = ask(*(("ZRANGE", prefix + name, "0", "-1") for name in few))
    pairs = zip(few, found, strict=True)
    named = [(name, _text(member)) for name, group in pairs for member in group]
    yield from _not_found(ask, prefix, named)
    for name in many:
        for batch in members(name):
            yield from _not_found(ask, prefix, [(name, member) for member in batch])


def _not_found(
    ask: Ask, prefix: str, named: Iterable[tuple[str, str]]
) -> Iterator[Problem]:
    named = list(named)
    commands: list[tuple[str, ...]] = []
    for name, member in named:
        commands.append(("ZSCORE", prefix + name, member))
        commands.append(("HMGET", keys.schedule(prefix, member), *FOUND_BY))
    replies = ask(*commands)
    for (name, member), score, found in zip(
        named, replies[::2], replies[1::2], strict=True
    ):
        if score is None or not isinstance(found, list):
            continue
        owner, _, term = name.removeprefix("tm:").rpartition(":")
        bearer, terms = (_text(v) if v is not None else "" for v in found)
        if bearer != owner or term not in terms.split():
            yield name, member, "is not found by this"


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")
