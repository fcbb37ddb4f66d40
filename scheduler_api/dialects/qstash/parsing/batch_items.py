"""Parses the body of a batch: a JSON list with a message in each item.

If an item is not valid JSON, the other items are accepted: the body is then split at
the commas between its items, and each item is parsed alone.
"""

import orjson
import re
from collections.abc import Iterator
from scheduler_api.dialects.qstash.parsing.header_values import BadValue
from scheduler_api.dialects.qstash.parsing.json_faults import json_fault
from scheduler_api.web.refusal import Refusal
from scheduler_api.web.request_body import check_values, unreadable

# How many items and runs of brackets of an invalid body are read. This takes about a
# second.
MAX_STEPS = 1_000_000
TOO_COMPLEX = (
    "body is not valid JSON, and too complex to find the fault: split the batch"
)

_BLANKS = b" \t\r\n"
# The next brackets, between items also the next comma, after strings and other text.
_IN_ITEM = re.compile(rb'(?:[^"\[\]{}]++|"[^"]*+")*+([\[{]+|[\]}]+)')
_BETWEEN_ITEMS = re.compile(rb'(?:[^"\[\]{},]++|"[^"]*+")*+(,|[\[{]+|[\]}]+)')


class _NotAList(Exception):
    """The text is not a list, or its items cannot be told apart."""


def parse_items(raw: bytes, *, max_items: int) -> list[object]:
    """Parse a list; return a `BadValue` in the place of each item that is invalid JSON.

    Raises: Refusal.
    """
    check_values(raw)
    try:
        items: object = orjson.loads(raw) if raw else None
    except orjson.JSONDecodeError as err:
        try:
            texts = list(_split(raw.strip(_BLANKS)))
        except _NotAList:
            fault = unreadable(f"body {json_fault(raw, err)}")
            raise Refusal(400, fault) from err
        _check_count(len(texts), max_items)
        return [_parse_item(text) for text in texts]
    if not isinstance(items, list):
        raise Refusal(400, "body should be a list of messages")
    _check_count(len(items), max_items)
    return items


def _check_count(count: int, max_items: int) -> None:
    """Refuse a batch that is too long, before its items are parsed."""
    if count > max_items:
        fault = f"should have at most {max_items} messages, not {count}"
        raise Refusal(413, f"body {fault}: split the batch")


def _parse_item(text: bytes) -> object:
    try:
        item: object = orjson.loads(text)
    except orjson.JSONDecodeError as err:
        return BadValue("item", json_fault(text, err))
    return item


def _split(body: bytes) -> Iterator[bytes]:
    """Yield the text of each item of a list.

    Raises: _NotAList, Refusal.
    """
    if not body.startswith(b"["):
        raise _NotAList
    # Replace escapes, so that each quote begins or ends a string. The length stays.
    unescaped = body.replace(rb"\\", b"__").replace(rb"\"", b"__")
    # A string is not closed. Python before 3.11.5 does not always notice this below.
    if unescaped.count(b'"') % 2:
        raise _NotAList
    start = 1
    for comma in _commas_between_items(unescaped):
        yield body[start:comma]
        start = comma + 1
    yield body[start:-1]


def _commas_between_items(body: bytes) -> Iterator[int]:
    """Yield the positions of the commas that are in no string and no item.

    Brackets that close nothing belong to the item before them.

    Raises: _NotAList, Refusal.
    """
    depth = position = 1
    for _ in range(MAX_STEPS):
        found = (_BETWEEN_ITEMS if depth == 1 else _IN_ITEM).match(body, position)
        if found is None:
            raise _NotAList
        token, position = found[1], found.end()
        if token == b",":
            yield position - 1
        elif token[0] in b"[{":
            depth += len(token)
        else:
            depth -= len(token)
            if position == len(body):
                break
            depth = max(depth, 1)
    else:
        raise Refusal(413, TOO_COMPLEX)
    if depth > 0 or not body.endswith(b"]"):
        raise _NotAList
