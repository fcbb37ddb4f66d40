"""Contexts as filters see them: their leaves, and the terms these are found by. Pure.

A number equals another if both are the same double, as in JavaScript; `true` and
`false` are neither numbers nor texts.
"""

import math
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from scheduler_api.core.queries.schedule_search import search_term

# Of a context with more leaves none are terms: it is looked at.
MOST_LEAVES = 32
POST_FILTERED = search_term("context")
LONGEST_NUMBER = 400

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


class Kind(StrEnum):
    """What a filter compares."""

    NUMBER = "Number"
    STRING = "String"


@dataclass(frozen=True)
class Condition:
    """What must stand at a path, or in the array that stands there.

    `value` is as `comparable` writes it.
    """

    path: tuple[str, ...]
    kind: Kind
    value: str
    in_array: bool

    @property
    def search_term(self) -> str:
        """What contexts that fulfil it are found by."""
        how = "in" if self.in_array else "is"
        return search_term("context", how, self.kind, self.value, *self.path)


def read_number(text: str) -> str | None:
    """A number's text as `comparable` writes it, None if it is none."""
    text = text.strip()
    if len(text) > LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        return None
    return comparable(float(text))[1] if math.isfinite(float(text)) else None


def comparable(value: object) -> tuple[Kind | None, str]:
    """A leaf as filters compare it; of no kind if none matches it."""
    if isinstance(value, str):
        return Kind.STRING, value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None, ""
    try:
        # Adding 0 makes one zero of the two.
        return Kind.NUMBER, repr(float(value) + 0.0)
    except OverflowError:
        return None, ""


def search_terms(context: object) -> list[str]:
    """What a context is found by; of one with many leaves, that it is looked at."""
    found: dict[str, None] = {}
    for condition in _fulfilled(context):
        found[condition.search_term] = None
        if len(found) > MOST_LEAVES:
            return [POST_FILTERED]
    return list(found)


def fulfils(context: object, conditions: Sequence[Condition]) -> bool:
    """Whether all conditions hold."""
    return all(_holds(context, condition) for condition in conditions)


def _holds(context: object, condition: Condition) -> bool:
    found = context
    for key in condition.path:
        if isinstance(found, dict) and key in found:
            found = found[key]
        elif isinstance(found, list) and _INDEX.fullmatch(key):
            if int(key) >= len(found):
                return False
            found = found[int(key)]
        else:
            return False
    wanted = (condition.kind, condition.value)
    if condition.in_array:
        return isinstance(found, list) and any(
            comparable(each) == wanted for each in found
        )
    return comparable(found) == wanted


def _fulfilled(context: object) -> Iterator[Condition]:
    """Every condition that holds, those near the top first."""
    waiting: deque[tuple[tuple[str, ...], object]] = deque([((), context)])
    while waiting:
        path, found = waiting.popleft()
        children: list[tuple[str, object]] = []
        if isinstance(found, dict):
            children = list(found.items())
        elif isinstance(found, list):
            children = [(str(index), each) for index, each in enumerate(found)]
        for key, child in children:
            waiting.append(((*path, key), child))
            if isinstance(found, list):
                yield from _leaf(path, child, in_array=True)
        yield from _leaf(path, found, in_array=False)


def _leaf(
    path: tuple[str, ...], value: object, *, in_array: bool
) -> Iterator[Condition]:
    kind, text = comparable(value)
    if kind is not None and path:
        yield Condition(path, kind, text, in_array)
