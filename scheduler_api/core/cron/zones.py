"""Checks time zones, and finds them in expressions where they do not belong."""

import re
from collections.abc import Iterable
from functools import cache
from scheduler_api.core.cron.fields import CronError
from zoneinfo import ZoneInfo, available_timezones

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
# Abbreviations that are no names of time zones.
_ABBREVIATIONS = frozenset(
    (
        *("PST", "PDT", "MDT", "CST", "CDT", "EDT", "AST", "ADT", "AKST", "AKDT"),
        *("BST", "IST", "WEST", "CEST", "EEST", "MSK", "SAST", "BRT", "ART"),
        *("JST", "KST", "SGT", "HKT", "PHT", "AWST", "ACST", "AEST", "AEDT"),
        *("NZST", "NZDT"),
    )
)
# Zones that are not the same on every machine; `right/…` zones count leap seconds.
_LOCAL = ("localtime", "posix", "right/")
# What people write around a time zone.
_AROUND = "()[]{}<>\"'`,;"


def check_zone(tz: str, position: int | None = None) -> None:
    """Refuse time zones that are unknown or not the same on every machine.

    Raises: CronError, with `position`.
    """
    if not _is_valid(tz):
        same = _by_lower_case().get(tz.lower())
        allowed = f"use {same}" if same else f"use a name such as {EXAMPLE}"
        raise CronError(f"unknown time zone {tz[:_MAX_QUOTED]!r}: {allowed}", position)


def find_zone(words: Iterable[tuple[str, int]]) -> tuple[str, int] | None:
    """Return the first word that is meant as a time zone, with its position.

    The case of its letters is corrected. If there is no such zone, return `EXAMPLE`
    instead of the word.
    """
    found = [(zone, at) for word, at in words if (zone := _zone_in(word)) is not None]
    for zone, at in found:
        name = _by_lower_case().get(zone.lower())
        if name is not None:
            return name, at
    return (EXAMPLE, found[0][1]) if found else None


def _zone_in(word: str) -> str | None:
    """Return what a word such as `tz=UTC` or `(UTC)` names as time zone, if it does."""
    word = word.strip(_AROUND)
    label = _LABELLED.match(word)
    zone = word[label.end() if label else 0 :].strip(_AROUND)
    if label or _AREA.match(zone) or _OFFSET.fullmatch(zone):
        return zone
    if zone in _ABBREVIATIONS or zone.lower() in _by_lower_case():
        return zone
    return None


@cache
def _by_lower_case() -> dict[str, str]:
    """All valid time zones, by their names in lower case."""
    found = available_timezones()
    return {name.lower(): name for name in found if not name.startswith(_LOCAL)}


def _is_valid(tz: str) -> bool:
    if tz.startswith(_LOCAL):
        return False
    try:
        ZoneInfo(tz)
    except (KeyError, ValueError, OSError):
        return False
    return True
