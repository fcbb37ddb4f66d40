"""Data that a worker and the outbound half of a dialect exchange about an attempt."""

from collections.abc import Sequence
from dataclasses import field
from enum import Enum
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.frozen import frozen
from scheduler_api.core.headers import ATTEMPT, EVENT_ID, POSSIBLE_DUPLICATE
from scheduler_api.core.model import Begun, Content, FollowUp, Outcome
from typing import Protocol

Headers = tuple[tuple[str, str], ...]


class BodyWanted(Enum):
    """When somebody waits for the entire response body, for example a callback."""

    NEVER = "never"
    IF_FAILED = "if-failed"  # for a status that is not 2xx
    ALWAYS = "always"

    def for_status(self, status: int | None) -> bool:
        """Whether the body of a response with this status is wanted."""
        if self is BodyWanted.IF_FAILED:
            return status is not None and not 200 <= status < 300
        return self is BodyWanted.ALWAYS


@frozen
class Request:
    """An HTTP request.

    Attributes:
        headers: are sent in this order, with one byte per character.
        timeout_ms: for the entire attempt, from the name lookup to the last byte.
        response_cap_bytes: the maximum number of bytes to read of the response body;
            0: that of the client.
        body_wanted: when the response body is read until the deadline. Otherwise it is
            read for a few seconds only.
    """

    method: str = "POST"
    url: str = ""
    headers: Headers = ()
    body: bytes = b""
    timeout_ms: int = 0
    response_cap_bytes: int = 0
    body_wanted: BodyWanted = BodyWanted.NEVER


@frozen
class Outgoing(Request):
    """The HTTP request to send in an attempt, or the URL group to send the event to.

    Attributes:
        signed: those of the headers that the attempt log must keep. These headers
            cannot be computed again later.
        group: the name of a URL group. If set, no request is sent; instead, the event
            is replaced with one event for each endpoint of the group.
    """

    signed: dict[str, str] = field(default_factory=dict)
    group: str = ""


@frozen
class Decision:
    """What happens to an event after an attempt.

    Attributes:
        delay_ms: the time from the end of the attempt to the retry.
        reason: a stable code for why the event is dead.
        headers: the response headers that the attempt log keeps.
        contact: a person to ask about the event, such as an e-mail address. The
            worker logs the contact if the event is dead. Empty: no contact.
        follow_ups: the events that this attempt creates.
    """

    outcome: Outcome
    delay_ms: int = 0
    reason: str = ""
    headers: Headers = ()
    contact: str = ""
    follow_ups: tuple[FollowUp, ...] = ()


def content_of(begun: Begun) -> Content:
    """Return the content of the event.

    Raises: UnreadableRecord, if the content was not fetched.
    """
    if begun.content is None:
        raise UnreadableRecord(f"{begun.content_key} was not fetched")
    return begun.content


def identity_headers(begun: Begun, *, event_id: str) -> Headers:
    """Return the headers that identify the event and the attempt to the receiver.

    Args:
        event_id: the id that clients of the dialect use.
    """
    return (EVENT_ID, event_id), (ATTEMPT, str(begun.attempt))


def duplicate_warning(begun: Begun) -> dict[str, str]:
    """Return the header that marks a request as a possible duplicate.

    The result is empty if the request cannot be a duplicate. Callers also add the
    header to `Outgoing.signed`, so that the attempt log contains the header.
    """
    return {POSSIBLE_DUPLICATE: "true"} if begun.possible_duplicate else {}


class Reply(Protocol):
    """The result of an attempt, without the body of the response.

    If there is a response, `status` is set and `error` is None. Otherwise `error` is a
    stable code, and `detail` a sentence for operators.
    """

    @property
    def status(self) -> int | None: ...

    @property
    def headers(self) -> Sequence[tuple[str, str]]: ...

    @property
    def error(self) -> str | None: ...

    @property
    def detail(self) -> str: ...

    @property
    def started_ms(self) -> int: ...

    @property
    def total_ms(self) -> float: ...


class Answer(Reply, Protocol):
    """The result of an attempt, with the part of the response body that was read."""

    @property
    def body(self) -> bytes: ...

    @property
    def body_truncated(self) -> bool:
        """Whether the body is longer than `Outgoing.response_cap_bytes`."""
        ...

    @property
    def body_incomplete(self) -> bool:
        """Whether the body was cut off, late or malformed."""
        ...
