"""The options in the query of a request to the receiver. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from scheduler_api.core.cron.durations import DurationSyntax
from scheduler_api.web.refusal import Refusal
from scheduler_api.web.values import read_integer
from typing import Any

MAX_DELAY_MS = 120_000
MAX_WAIT_MS = 86_400_000
MAX_FIRST = 1_000
MAX_SIZE = 1_048_576
# The status of a failure, unless the request asks for another one.
FAILURE = 503

_DURATION = DurationSyntax(
    "ms", "s", "m", "h", number=r"[0-9]{1,9}", bare_unit="s", max_parts=2
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to respond to a request.

    Attributes:
        first: only attempts up to this one get the other options, later ones get 200.
        retry_after_ms, retry_after_date_ms: the wait in the header Retry-After, as
            seconds or as a date.
        close: whether to close the connection without a response.
        size: the bytes of the body; None: the echo.
    """

    status: int | None = None
    first: int | None = None
    delay_ms: int = 0
    drip_ms: int = 0
    retry_after_ms: int | None = None
    retry_after_date_ms: int | None = None
    close: bool = False
    size: int | None = None

    @property
    def takes_time(self) -> bool:
        """Whether the response takes time."""
        return bool(self.delay_ms or self.drip_ms)

    @property
    def code(self) -> int:
        """The status of the response."""
        if self.status is not None:
            return self.status
        waits = (self.retry_after_ms, self.retry_after_date_ms)
        fails_only = self.first is not None and not self.takes_time
        return FAILURE if fails_only or any(each is not None for each in waits) else 200

    def at(self, attempt: int | None) -> "Options":
        """Return the options of an attempt; None counts as the first."""
        if self.first is None or (attempt or 1) <= self.first:
            return self
        return Options(size=self.size)


def read(pairs: Iterable[tuple[str, str]]) -> Options:
    """Read the options in a query; parameters with other names are left alone.

    Raises: Refusal.
    """
    values: dict[str, Any] = {}
    for name, text in pairs:
        if name not in _READERS:
            continue
        field, read_value = _READERS[name]
        if field in values:
            raise Refusal(400, f"{name!r} is given twice")
        values[field] = read_value(name, text)
    return replace(Options(), **values)


def names() -> list[str]:
    """Return the names of all options."""
    return [*_READERS]


def _integer(lowest: int, highest: int) -> Callable[[str, str], int]:
    def read_value(name: str, text: str) -> int:
        value = read_integer(text)
        if value is None or not lowest <= value <= highest:
            raise Refusal(
                400,
                f"{name!r} takes a number from {lowest} to {highest}, not"
                f" {text[:40]!r}",
            )
        return value

    return read_value


def _duration(longest_ms: int) -> Callable[[str, str], int]:
    def read_value(name: str, text: str) -> int:
        value_ms = _DURATION.parse_ms(text)
        if value_ms is None or value_ms > longest_ms:
            raise Refusal(
                400,
                f"{name!r} takes a time of at most {longest_ms // 1000}s, as in 500ms,"
                f" 2s or 1m30s, not {text[:40]!r}",
            )
        return value_ms

    return read_value


def _flag(name: str, text: str) -> bool:
    if text in ("", "1", "true"):
        return True
    raise Refusal(400, f"{name!r} takes no value, not {text[:40]!r}")


_READERS: Mapping[str, tuple[str, Callable[[str, str], Any]]] = {
    "status": ("status", _integer(200, 599)),
    "first": ("first", _integer(1, MAX_FIRST)),
    "delay": ("delay_ms", _duration(MAX_DELAY_MS)),
    "drip": ("drip_ms", _duration(MAX_DELAY_MS)),
    "retry_after": ("retry_after_ms", _duration(MAX_WAIT_MS)),
    "retry_after_date": ("retry_after_date_ms", _duration(MAX_WAIT_MS)),
    "close": ("close", _flag),
    "size": ("size", _integer(0, MAX_SIZE)),
}
