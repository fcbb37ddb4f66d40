"""`query` as clients have spelt it: one JSON text, or nested brackets.

axios wrote JSON up to 0.27, then brackets with indices, which from 1.12 on come
percent-encoded; other clients leave the indices out, or repeat a name.
"""

import re
from collections.abc import Iterable, Sequence
from scheduler_api.dialects.events_v1.parsing import invalid, read_json

MOST_PAIRS = 200
DEEPEST = 5
NAME = "query"

_BRACKETED = re.compile(r"query((?:\[[^\[\]]*\])+)")
_INDEX = re.compile(r"[0-9]{0,9}")
LAST = 10**9

Entry = tuple[list[str], str]


def read_query(pairs: Iterable[tuple[str, str]]) -> dict[str, object]:
    """What `query` says, whichever way it is spelt; lists are lists in both.

    Raises: Refusal.
    """
    pairs = list(pairs)
    if len(pairs) > MOST_PAIRS:
        raise invalid(f"there must be no more than {MOST_PAIRS} parameters")
    texts = [value for name, value in pairs if name == NAME and value]
    bracketed = [
        (found[1][1:-1].split("]["), value)
        for name, value in pairs
        if (found := _BRACKETED.fullmatch(name)) is not None
    ]
    if any(len(path) > DEEPEST for path, _ in bracketed):
        raise invalid(f"query must be no more than {DEEPEST} levels deep")
    if texts and bracketed:
        raise invalid("query must be either JSON or bracketed parameters, not both")
    if len(texts) > 1:
        raise invalid("query must be given once")
    said = read_json(texts[0]) if texts else _gathered(bracketed) if bracketed else {}
    if not isinstance(said, dict):
        raise invalid("query must be a JSON object")
    return said


def _gathered(entries: Sequence[Entry]) -> object:
    """What stands at and below one name; whose names are all indices, is a list.

    Lists are sorted by index, never allocated by it; what has none comes last.
    """
    values = [value for path, value in entries if not path]
    groups: dict[str, list[Entry]] = {}
    for path, value in entries:
        if path:
            groups.setdefault(path[0], []).append((path[1:], value))
    if not groups:
        return values[0] if len(values) == 1 else values
    if not all(_INDEX.fullmatch(name) for name in groups):
        return {name: _gathered(group) for name, group in groups.items()}
    items = []
    for name in sorted(groups, key=lambda name: int(name or LAST)):
        flat = [value for path, value in groups[name] if not path]
        deep = [entry for entry in groups[name] if entry[0]]
        items += [*flat, *([_gathered(deep)] if deep else [])]
    return items
