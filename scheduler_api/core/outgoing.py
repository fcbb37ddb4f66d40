"""What an outbound dialect and a worker say to each other about one attempt."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Outgoing:
    """One HTTP request, ready to be sent as it stands.

    `signed` holds what the attempt's log must keep, because it cannot be made again.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    timeout_ms: int
    signed: dict[str, str]


class Reply(Protocol):
    """What came of an attempt, as far as deciding about it needs to know.

    A complete response is a `status` without an `error`; `error` is a stable code.
    """

    @property
    def status(self) -> int | None: ...

    @property
    def headers(self) -> Sequence[tuple[str, str]]: ...

    @property
    def error(self) -> str | None: ...

    @property
    def started_ms(self) -> int: ...

    @property
    def total_ms(self) -> float: ...


class Answer(Reply, Protocol):
    """A reply with what was read of the response's body."""

    @property
    def body(self) -> bytes: ...
