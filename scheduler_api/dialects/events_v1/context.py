"""Filters on the context of an event, and the search terms of contexts. Pure.

Numbers are compared as doubles, as JavaScript does. No filter matches the values
`true`, `false` and `null`.
"""

import math
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from scheduler_api.core.queries.schedule_search import search_term

MAX_LEAVES = 32
# Usually all search terms of a context are stored. If a context has more than
# `MAX_LEAVES` terms, only this term is stored. A search then reads the context itself,
# and calls `matches`.
POST_FILTERED = search_term("context")
MAX_NUMBER_LENGTH = 400

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


class Kind(StrEnum):
    """The type of the values that a filter compares."""

    NUMBER = "Number"
    STRING = "String"


@dataclass(frozen=True)
class Condition:
    """A filter on the value that a context has at `path`.

    If `in_array` is false, the context must have the value `value` at `path`. If
    `in_array` is true, the context must have an array at `path` that contains `value`.
    The attribute `value` is a normalized text, as `comparable` returns it.
    """

    path: tuple[str, ...]
    kind: Kind
    value: str
    in_array: bool

    @property
    def search_term(self) -> str:
        """The search term of contexts that match the condition."""
        operator = "in" if self.in_array else "is"
        return search_term("context", operator, self.kind, self.value, *self.path)


def read_number(text: str) -> str | None:
    """Return the number in a text; None if the text is not a number.

    The returned number is a normalized text, in the same format as from `comparable`.
    """
    text = text.strip()
    if len(text) > MAX_NUMBER_LENGTH or not _NUMBER.fullmatch(text):
        return None
    return comparable(float(text))[1] if math.isfinite(float(text)) else None


def comparable(value: object) -> tuple[Kind | None, str]:
    """Return the type and the normalized text of a value in a context.

    If no filter can match the value, such as `true`, the type is None.
    """
    if isinstance(value, str):
        return Kind.STRING, value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None, ""
    try:
        # Adding 0.0 turns -0.0 into 0.0.
        return Kind.NUMBER, repr(float(value) + 0.0)
    except OverflowError:
        return None, ""


def search_terms(context: object) -> list[str]:
    """Return the search terms of a context.

    If there are more than `MAX_LEAVES` terms, return only `POST_FILTERED`.
    """
    found: dict[str, None] = {}
    for condition in _matching_conditions(context):
        found[condition.search_term] = None
        if len(found) > MAX_LEAVES:
            return [POST_FILTERED]
    return list(found)


def matches(context: object, conditions: Sequence[Condition]) -> bool:
    """Return whether a context matches all conditions."""
    return all(_matches(context, condition) for condition in conditions)


def _matches(context: object, condition: Condition) -> bool:
    value = context
    for key in condition.path:
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and _INDEX.fullmatch(key):
            if int(key) >= len(value):
                return False
            value = value[int(key)]
        else:
            return False
    expected = (condition.kind, condition.value)
    if condition.in_array:
        return isinstance(value, list) and any(
            comparable(item) == expected for item in value
        )
    return comparable(value) == expected


def _matching_conditions(context: object) -> Iterator[Condition]:
    """Yield every condition that a context matches, breadth first."""
    queue: deque[tuple[tuple[str, ...], object]] = deque([((), context)])
    while queue:
        path, value = queue.popleft()
        children: list[tuple[str, object]] = []
        if isinstance(value, dict):
            children = list(value.items())
        elif isinstance(value, list):
            children = [(str(index), item) for index, item in enumerate(value)]
        for key, child in children:
            queue.append(((*path, key), child))
            if isinstance(value, list):
                yield from _leaf(path, child, in_array=True)
        yield from _leaf(path, value, in_array=False)


def _leaf(
    path: tuple[str, ...], value: object, *, in_array: bool
) -> Iterator[Condition]:
    kind, text = comparable(value)
    if kind is not None and path:
        yield Condition(path, kind, text, in_array)
