"""Checks time zones, and finds them in expressions where they do not belong."""

import re
from collections.abc import Iterable
from scheduler_api.core.cron.fields import CronError
from zoneinfo import ZoneInfo

PREFIX = re.compile(r"(?:CRON_)?TZ=")

EXAMPLE = "Europe/Berlin"
# How many characters of a time zone an error message quotes.
_MAX_QUOTED = 50
_AREAS = (
    *("Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia"),
    *("Brazil", "Canada", "Chile", "Etc", "Europe", "Indian", "Mexico", "Pacific"),
    "US",
)
_AREA = re.compile(rf"({'|'.join(_AREAS)})/[A-Z]", re.IGNORECASE)
_LABELLED = re.compile(r"(?:cron_?)?(?:tz|time_?zone)\W*[=:]", re.IGNORECASE)
_OFFSET = re.compile(
    r"(?:UTC|GMT|Z)(?:[+-]\d\d?(?::?\d\d)?)?|[+-]\d\d:?\d\d", re.IGNORECASE
)
# What people write around a time zone.
_AROUND = "()[]{}<>\"'`,;"


def check_zone(tz: str, position: int | None = None) -> None:
    """Refuse time zones that are unknown or not the same on every machine.

    Raises: CronError, with `position`.
    """
    if not _is_valid(tz):
        raise CronError(
            f"unknown time zone {tz[:_MAX_QUOTED]!r}: use a name such as {EXAMPLE}",
            position,
        )


def find_zone(words: Iterable[tuple[str, int]]) -> tuple[str, int] | None:
    """Return the first word that is meant as a time zone, with its position.

    If there is no such zone, return `EXAMPLE` instead of the word.
    """
    found = [(zone, at) for word, at in words if (zone := _zone_in(word)) is not None]
    valid = [(zone, at) for zone, at in found if _is_valid(zone)]
    if valid:
        return valid[0]
    return (EXAMPLE, found[0][1]) if found else None


def _zone_in(word: str) -> str | None:
    """Return what a word such as `tz=UTC` or `(UTC)` names as time zone, if it does."""
    word = word.strip(_AROUND)
    label = _LABELLED.match(word)
    zone = word[label.end() if label else 0 :].strip(_AROUND)
    named = zone[:1].isalpha() and _is_valid(zone)
    if label or named or _AREA.match(zone) or _OFFSET.fullmatch(zone):
        return zone
    return None


def _is_valid(tz: str) -> bool:
    # `right/…` zones count leap seconds.
    if tz.startswith(("localtime", "posix", "right/")):
        return False
    try:
        ZoneInfo(tz)
    except (KeyError, ValueError, OSError):
        return False
    return True
