"""Finds headers and parameters without effect, and the names that were meant."""

import re
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher, get_close_matches
from functools import lru_cache
from itertools import chain
from scheduler_api.dialects.qstash.parsing.forwarded_headers import TELEMETRY
from scheduler_api.dialects.qstash.parsing.message import Headers, canonical
from scheduler_api.dialects.qstash.parsing.request_headers import (
    CALLBACK,
    CALLBACK_HEADERS,
    CRON,
    FAILURE_CALLBACK,
    FORWARD,
    MESSAGE_HEADERS,
    PREFIX,
    SCHEDULE_HEADERS,
    forwarding_prefix,
)

MAX_LENGTH = 1_024
# Finding a hint takes a quarter of a millisecond, so a request gets only so many.
MAX_HINTS = 100
NAME_MAX_LENGTH = 64
PREFIXES = (PREFIX, PREFIX.replace("-", "_"))
ZONE = "scheduler-time-zone"

# How similar names and their words are at least, from 0 to 1.
_SIMILAR, _SIMILAR_WORDS = 0.55, 0.65
# How many letters abbreviate a word.
_BEGINNING = 3
# How similar a field of an item is to the field that was meant.
_SIMILAR_FIELDS = 0.8
FIELDS = ("destination", "queue", "headers", "body")
_FIELD_NAMES = frozenset(FIELDS)
# Characters that names of headers do not have, but those of parameters may have.
_NO_TOKEN = re.compile(r"[^!#$%&'*+.^_`|~0-9a-z-]")

_NO_NAME = re.compile(r"[^A-Za-z0-9_.-]")
_CAPITAL = re.compile("(?<=[a-z0-9])(?=[A-Z])")

_OTHERS = (
    *("callback", "failure-callback", "flow-control-key", "flow-control-value"),
    "header-forward",
)
_OF_CALLBACKS = {
    f"{callback}-{suffix}"
    for callback in (CALLBACK, FAILURE_CALLBACK)
    for suffix in CALLBACK_HEADERS
}
_OF_MESSAGES = {PREFIX + suffix for suffix in (*MESSAGE_HEADERS, *_OTHERS)}
_OF_SCHEDULES = {CRON, *(PREFIX + suffix for suffix in (*SCHEDULE_HEADERS, *_OTHERS))}
_OF_ZONES = ("timezone", "time-zone", "cron-tz", "cron-timezone", "tz")


def ignored_names(
    headers: Headers, query: Headers, *, schedule: bool = False
) -> tuple[str, ...]:
    """Return the names that begin with `Upstash-` or `Upstash_` and have no effect.

    An empty value counts as absent, and telemetry is meant to have no effect.
    """
    accepted = _OF_SCHEDULES if schedule else _OF_MESSAGES
    names = (name.lower() for name, value in (*headers, *query) if value.strip())
    return tuple(
        dict.fromkeys(
            name
            for name in names
            if name.startswith(PREFIXES)
            and name not in accepted
            and name not in _OF_CALLBACKS
            and not name.startswith(TELEMETRY)
            and forwarding_prefix(name) is None
        )
    )


def ignored_fields(item: Mapping[str, object]) -> tuple[str, ...]:
    """Return the fields of an item of a batch that have no effect."""
    if item.keys() <= _FIELD_NAMES:
        return ()
    return tuple(
        name
        for name, value in item.items()
        if name not in _FIELD_NAMES and value not in (None, "")
    )


class Describer:
    """Describes the ignored names of one request, with hints."""

    def __init__(self, *, schedule: bool = False) -> None:
        self._schedule = schedule
        self._hints_left = MAX_HINTS

    def describe(self, names: Iterable[str], fields: Iterable[str] = ()) -> str:
        """Return a comma-separated list of at most `MAX_LENGTH` ASCII characters.

        Args:
            fields: the fields of an item of a batch that have no effect.
        """
        text = ""
        for described in chain(map(self._entry, names), map(self._field, fields)):
            entry = f"{text}, {described}" if text else described
            if len(entry) > MAX_LENGTH:
                break
            text = entry
        return text

    def _field(self, name: str) -> str:
        entry = _NO_NAME.sub("?", name[:NAME_MAX_LENGTH])
        if self._hints_left <= 0 or len(name) > NAME_MAX_LENGTH:
            return entry
        self._hints_left -= 1
        hint = _closest_to_field(name)
        return f"{entry} ({hint}?)" if hint else entry

    def _entry(self, name: str) -> str:
        entry = canonical(_NO_TOKEN.sub("?", name[:NAME_MAX_LENGTH]))
        if self._hints_left <= 0 or len(name) > NAME_MAX_LENGTH:
            return entry
        self._hints_left -= 1
        hint = _closest(name, self._schedule)
        return f"{entry} ({canonical(hint)}?)" if hint else entry


@lru_cache(maxsize=1024)
def _closest(name: str, schedule: bool) -> str | None:
    """Return the most similar name of an option, or None.

    The name of an option of another operation is not misspelt: it has no effect here.
    """
    if name in _OF_MESSAGES or name in _OF_SCHEDULES:
        return None
    meant = name[len(PREFIX) :].replace("_", "-")
    options = sorted(_OF_SCHEDULES if schedule else _OF_MESSAGES)
    suffixes = [option.removeprefix(PREFIX) for option in options]
    close = get_close_matches(meant, [*suffixes, FORWARD, *_OF_ZONES], 5, _SIMILAR)
    same = (each for each in suffixes if _words(each) == _words(meant))
    resembling = (each for each in close if _resemble(_words(each), _words(meant)))
    found = next(same, None) or next(resembling, None)
    if found in _OF_ZONES:
        return ZONE if schedule else None
    if found == FORWARD:
        return f"{PREFIX}{FORWARD}*"
    return PREFIX + found if found else None


@lru_cache(maxsize=1024)
def _closest_to_field(name: str) -> str | None:
    """Return the field or the header that a field of an item was meant to be, or None.

    The SDKs call the settings of a message `notBefore` or `not_before`, but send
    headers.
    """
    field = get_close_matches(name.lower(), FIELDS, 1, _SIMILAR_FIELDS)
    if field:
        return field[0]
    header = PREFIX + _CAPITAL.sub("-", name).replace("_", "-").lower()
    found = header if header in _OF_MESSAGES else _closest(header, schedule=False)
    return f"header {canonical(found)}" if found else None


def _words(name: str) -> list[str]:
    return sorted(filter(None, name.split("-")))


def _resemble(some: list[str], others: list[str]) -> bool:
    """Tell whether each word of the name with fewer words is similar to one of others.

    Otherwise `success-callback` would be similar to `failure-callback`.
    """
    fewer, more = sorted((some, others), key=len)
    return all(any(_similar(word, other) for other in more) for word in fewer)


def _similar(word: str, other: str) -> bool:
    short, long = sorted((word, other), key=len)
    begins = len(short) >= _BEGINNING and long.startswith(short)
    return begins or SequenceMatcher(None, word, other).ratio() >= _SIMILAR_WORDS
