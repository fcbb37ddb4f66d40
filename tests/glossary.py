"""Find names that contain a word which the project has replaced with a standard term.

`python -m tests.glossary` lists these names with the files that contain them.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[1]
CODE = ("scheduler_api", "workers", "scripts")
NAMED = (*CODE, "tests", "docs")

# Each replaced word, and the term to use instead.
REPLACED = {
    "mark": "deduplication key",
    "double": "duplicate",
    "held": "duplicate, held_destinations",
    "stuck": "quarantine",
    "set_aside": "quarantine",
    "why": "quarantine reason",
    "stalled": "rq_full",
    "parked": "paused_schedules",
    "solo": "isolated",
    "alone": "isolated",
    "told": "last_report, parsed, sent, answered",
    "given": "issued_id",
    "beat": "last_claim_at",
    "quiet": "lease_grace_until",
    "shut": "held_destinations",
    "look": "check",
    "let_in": "promote_waiters, admit",
    "let_pass": "promote_waiters, admit",
    "grant": "promote_waiters, admit",
    "hold": "take_slot",
    "free": "release_slot",
    "lift": "dequeue",
    "whole": "integer",
    "known": "exists",
    "tell": "journal.append",
    "shown": "response_schemas",
    "answers": "rendering",
    "reading": "parsing",
    "schemas": "request_schemas",
    "courier": "Deliverer",
    "taker": "Fetcher",
    "envelopes": "Fetcher",
    "carrier": "RqEnqueuer",
    "carry": "enqueue_envelope",
    "link": "RedisConnection",
    "line": "RedisConnection",
    "wire": "HttpConnection",
    "connector": "HttpConnectionPool",
    "sender": "HttpClient",
    "window": "InFlight",
    "engine": "DeliveryLoop",
    "vital": "supervision",
    "finder": "ScheduleSearch",
    "doubt": "PostFilter",
    "gate_keeper": "Queues, FlowKeys, HeldDestinations",
    "seal": "Cipher",
    "grammars": "header_values",
    "waits": "retry_delay",
    "topics": "url_groups",
    "terms": "search_terms, limits, timeouts",
    "ill": "failing",
    "well": "healthy",
}

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NAME = re.compile(r"[A-Za-z_]\w*")
# A string that may be a key, a field, a reply code or a log event.
_CODE = re.compile(r"[A-Za-z_][\w.:-]{1,60}")
_LUA_COMMENT = re.compile(r"--[^\n]*")


def remaining() -> dict[str, set[str]]:
    """Return each identifier that contains a replaced word, with its files."""
    found: dict[str, set[str]] = defaultdict(set)
    for name, path in _names():
        if replaced_in(name):
            found[name].add(path)
    return dict(found)


def replaced_in(name: str) -> set[str]:
    """Return the replaced words in an identifier, such as `stuck` in `is_stuck`."""
    parts = [part for part in _HUMP.sub("_", name).lower().split("_") if part]
    pairs = {"_".join(pair) for pair in pairwise(parts)}
    return {word for word in REPLACED if word in parts or word in pairs}


def _names() -> Iterator[tuple[str, str]]:
    for folder in NAMED:
        for path in sorted((ROOT / folder).rglob("*")):
            relative = path.relative_to(ROOT)
            if {"__pycache__", "node_modules"} & set(relative.parts):
                continue
            yield path.name.partition(".")[0].replace("-", "_"), str(relative)
            if folder in CODE and path.suffix in (".py", ".lua"):
                names = _python if path.suffix == ".py" else _lua
                for name in names(path.read_text()):
                    yield name, str(relative)


def _python(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.arg() | ast.keyword():
                yield node.arg or ""
            case ast.Name():
                yield node.id
            case ast.Attribute():
                yield node.attr
            case ast.alias():
                yield node.asname or ""
            case ast.Constant(value=str() as text) if _CODE.fullmatch(text):
                yield from _NAME.findall(text)


def _lua(source: str) -> Iterator[str]:
    yield from _NAME.findall(_LUA_COMMENT.sub("", source))


if __name__ == "__main__":
    for identifier, paths in sorted(remaining().items()):
        print(identifier, ", ".join(sorted(paths)), sep=": ")
