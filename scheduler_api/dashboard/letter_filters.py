"""Reads and describes the filters of dead letters in addresses and forms."""

from collections.abc import Mapping
from flask import request
from scheduler_api.core.queries.filters import Target
from scheduler_api.core.queries.letters import LetterFilter
from scheduler_api.core.timestamps import to_iso
from scheduler_api.dashboard.list_parameters import read_span

# The names in addresses and forms.
FILTERS = ("url", "cause", "queue", "label", "from", "to")


def values() -> Mapping[str, str]:
    """Return the form of a POST, or the query of the address."""
    return request.form if request.method == "POST" else request.args


def chosen_filters() -> dict[str, str]:
    """Return what the request filters by, by name; what is empty is left out."""
    return {name: values()[name] for name in FILTERS if values().get(name)}


def letter_filter() -> LetterFilter:
    """Return the filter of the request. What is malformed filters nothing."""
    url, cause, queue, label, since, until = (
        values().get(name, "").strip() for name in FILTERS
    )
    return LetterFilter(
        time=read_span(since, until),
        target=Target(url, queue),
        cause=cause,
        label=label,
    )


def described_filters(wanted: LetterFilter) -> list[str]:
    """Return each part of a filter in words."""
    found = [
        (wanted.target.url, "URL begins with {}"),
        (wanted.cause, "cause {}"),
        (wanted.target.queue, "queue {}"),
        (wanted.label, "label {}"),
        (_time(wanted.time.start_ms), "failed since {}"),
        (_time(wanted.time.end_ms), "failed until {}"),
    ]
    return [words.format(value) for value, words in found if value]


def _time(at_ms: int | None) -> str:
    return "" if at_ms is None else to_iso(at_ms)
