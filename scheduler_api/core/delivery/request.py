"""What an outbound dialect and a worker say to each other about one attempt."""

from collections.abc import Sequence
from dataclasses import dataclass
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.headers import ATTEMPT, EVENT_ID, POSSIBLE_DUPLICATE
from scheduler_api.core.model import Begun, Content
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


def fetched(begun: Begun) -> Content:
    """The event's content.

    Raises: UnreadableRecord, if it was not fetched.
    """
    if begun.content is None:
        raise UnreadableRecord(f"{begun.content_key} was not fetched")
    return begun.content


def identity(begun: Begun, *, event_id: str) -> tuple[tuple[str, str], ...]:
    """The headers by which a receiver knows the event, and this attempt of it.

    Args:
        event_id: as clients of its dialect know it.
    """
    return (EVENT_ID, event_id), (ATTEMPT, str(begun.attempt))


def warning(begun: Begun) -> dict[str, str]:
    """The header that says that an earlier request may have arrived, if one may.

    It belongs to `signed` as well, so that the log tells of it.
    """
    return {POSSIBLE_DUPLICATE: "true"} if begun.possible_duplicate else {}


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
