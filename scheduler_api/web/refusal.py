"""The exception that refuses a request; each dialect renders it in its error format."""

from scheduler_api.core.errors import SchedulerError


class Refusal(SchedulerError):
    """The request is refused, with an HTTP status and at least one message."""

    def __init__(self, status: int, *messages: str) -> None:
        super().__init__("; ".join(messages))
        self.status = status
        self.messages = messages
