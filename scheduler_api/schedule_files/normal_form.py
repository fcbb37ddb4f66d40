"""The normal form of values, so that different spellings of one value are equal."""

from collections.abc import Iterable
from scheduler_api.core import timestamps
from scheduler_api.core.cron.durations import DurationSyntax
from scheduler_api.schedule_files.entries import Fields
from scheduler_api.web.schedule_options import (
    BadOption,
    ZonedOptions,
    apply_options,
    render_options,
)
from scheduler_api.web.values import read_date

_DURATION = DurationSyntax(
    "d", "h", "m", "s", number=r"[0-9]{1,9}(?:\.[0-9]{1,9})?", bare_unit="s"
)
_DEFAULTS = render_options(ZonedOptions())


def options(values: Fields) -> Fields:
    """Return options as an API lists them, without those that have their default.

    Wrong options stay as they are: the API refuses them.
    """
    try:
        listed = render_options(apply_options(values, ZonedOptions()))
    except BadOption:
        return values
    return {
        name: value for name, value in listed.items() if _DEFAULTS.get(name) != value
    }


def seconds(value: object) -> object:
    """Return a duration such as `1h30m` in seconds, rounded up."""
    duration_ms = _DURATION.parse_ms(str(value))
    return value if duration_ms is None else -(-duration_ms // 1000)


def date(value: object) -> object:
    """Return a date as an API lists it."""
    try:
        return timestamps.to_iso(read_date(str(value)))
    except ValueError:
        return value


def headers(values: Fields) -> Fields:
    """Return headers with their names in canonical form."""
    return {
        "-".join(map(str.capitalize, name.split("-"))): str(value).strip()
        for name, value in values.items()
    }


def without_defaults(fields: Fields, defaults: Iterable[tuple[str, object]]) -> Fields:
    """Return fields without those that are empty or have their default."""
    default = dict(defaults)
    return {
        name: value
        for name, value in fields.items()
        if value not in (None, "", {}, [], False) and default.get(name) != value
    }
