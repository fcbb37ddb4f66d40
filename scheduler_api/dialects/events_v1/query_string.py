"""Parses the parameter `query`: either JSON, or nested bracketed parameters.

axios up to version 0.27 sends JSON. Later versions send brackets with indices; since
version 1.12, the brackets are percent-encoded. Other clients send brackets without
indices, or repeat a name.
"""

import re
from collections.abc import Iterable, Sequence
from scheduler_api.dialects.events_v1.parsing import invalid, read_json

MAX_PAIRS = 200
MAX_DEPTH = 5
NAME = "query"

_BRACKETED = re.compile(r"query((?:\[[^\[\]]*\])+)")
_INDEX = re.compile(r"[0-9]{0,9}")
# Items without an index are sorted by this number, so they come after all other items.
NO_INDEX = 10**9

Entry = tuple[list[str], str]


def read_query(pairs: Iterable[tuple[str, str]]) -> dict[str, object]:
    """Return the value of `query`, in either notation.

    Raises: Refusal.
    """
    pairs = list(pairs)
    if len(pairs) > MAX_PAIRS:
        raise invalid(f"there must be no more than {MAX_PAIRS} parameters")
    texts = [value for name, value in pairs if name == NAME and value]
    bracketed = [
        (match[1][1:-1].split("]["), value)
        for name, value in pairs
        if (match := _BRACKETED.fullmatch(name)) is not None
    ]
    if any(len(path) > MAX_DEPTH for path, _ in bracketed):
        raise invalid(f"query must be no more than {MAX_DEPTH} levels deep")
    if texts and bracketed:
        raise invalid("query must be either JSON or bracketed parameters, not both")
    if len(texts) > 1:
        raise invalid("query must be given once")
    query = read_json(texts[0]) if texts else _nest(bracketed) if bracketed else {}
    if not isinstance(query, dict):
        raise invalid("query must be a JSON object")
    return query


def _nest(entries: Sequence[Entry]) -> object:
    """Return the value that bracketed parameters describe.

    If all names are indices, the value is a list. Its items are sorted by index, and
    gaps between indices are ignored. Items without an index come last.
    """
    values = [value for path, value in entries if not path]
    groups: dict[str, list[Entry]] = {}
    for path, value in entries:
        if path:
            groups.setdefault(path[0], []).append((path[1:], value))
    if not groups:
        return values[0] if len(values) == 1 else values
    if not all(_INDEX.fullmatch(name) for name in groups):
        return {name: _nest(group) for name, group in groups.items()}
    items = []
    for name in sorted(groups, key=lambda name: int(name or NO_INDEX)):
        flat = [value for path, value in groups[name] if not path]
        deep = [entry for entry in groups[name] if entry[0]]
        items += [*flat, *([_nest(deep)] if deep else [])]
    return items
