"""Finds headers and parameters without effect, and the names that were meant."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache
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

# Characters that names of headers do not have, but those of parameters may have.
_NO_TOKEN = re.compile(r"[^!#$%&'*+.^_`|~0-9a-z-]")

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


def ignored_names(
    headers: Headers, query: Headers, *, schedule: bool = False
) -> tuple[str, ...]:
    """Return the names that begin with `Upstash-` and have no effect.

    An empty value counts as absent, and telemetry is meant to have no effect.
    """
    accepted = _OF_SCHEDULES if schedule else _OF_MESSAGES
    names = (name.lower() for name, value in (*headers, *query) if value.strip())
    return tuple(
        dict.fromkeys(
            name
            for name in names
            if name.startswith(PREFIX)
            and name not in accepted
            and name not in _OF_CALLBACKS
            and not name.startswith(TELEMETRY)
            and forwarding_prefix(name) is None
        )
    )


class Describer:
    """Describes the ignored names of one request, with hints."""

    def __init__(self, *, schedule: bool = False) -> None:
        self._schedule = schedule
        self._hints_left = MAX_HINTS

    def describe(self, names: Iterable[str]) -> str:
        """Return a comma-separated list of at most `MAX_LENGTH` ASCII characters."""
        text = ""
        for name in names:
            entry = f"{text}, {self._entry(name)}" if text else self._entry(name)
            if len(entry) > MAX_LENGTH:
                break
            text = entry
        return text

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
    options = sorted(_OF_SCHEDULES if schedule else _OF_MESSAGES)
    suffixes = [option.removeprefix(PREFIX) for option in options]
    found = get_close_matches(name.removeprefix(PREFIX), [*suffixes, FORWARD + "*"], 1)
    return PREFIX + found[0] if found else None
