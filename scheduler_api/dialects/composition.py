"""What a person fills in to create an event or a schedule, in no dialect's words."""

from collections.abc import Sequence
from dataclasses import dataclass
from scheduler_api.core.errors import SchedulerError
from scheduler_api.core.model import Content, Owner, Schedule
from typing import Protocol


class BadField(SchedulerError):
    """A field of a form is wrong; the message is a sentence for people."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, kw_only=True)
class Form:
    """What to send, where and when. Texts are as a person typed them; '' is absent.

    Attributes:
        headers: pairs of name and value.
        delay: how long after now the event is due.
        at_ms: when the event is due instead; None: as `delay` says.
        expression, zone: the rule of a schedule.
        label: one label, or several that are separated by commas.
        queue: the name of the queue that delivers the event.
        failure_callback: the URL to call if the event becomes a dead letter.
    """

    url: str
    method: str = ""
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    retries: str = ""
    delay: str = ""
    at_ms: int | None = None
    expression: str = ""
    zone: str = ""
    label: str = ""
    queue: str = ""
    failure_callback: str = ""


class Composer(Protocol):
    """Creates what people compose, as the HTTP API of one dialect would.

    All methods that take what people typed raise BadField, with the name of a field of
    `Form`, before anything is stored.

    Attributes:
        dialect: the name of the dialect.
        methods: the HTTP methods of deliveries.
    """

    dialect: str
    methods: Sequence[str]

    def create_event(self, owner: Owner, form: Form) -> str:
        """Create an event; return its stored id.

        Raises: BadField, StoreFull, LimitReached.
        """
        ...

    def create_schedule(self, owner: Owner, form: Form) -> Schedule:
        """Create a schedule.

        Raises: BadField, StoreFull, LimitReached, Conflict.
        """
        ...

    def waits_ms(self, retries: str) -> Sequence[int]:
        """Return the wait before each retry if no response asks for another."""
        ...

    def retries_of(self, content: Content) -> str:
        """Return how often the occurrences of a schedule are retried."""
        ...

    def with_retries(self, content: Content, retries: str) -> Content:
        """Return the content of a schedule with another number of retries."""
        ...
