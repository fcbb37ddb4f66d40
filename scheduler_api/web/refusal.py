"""The refusal of a request; each dialect shows it as an error of its own format."""

from scheduler_api.core.errors import SchedulerError


class Refusal(SchedulerError):
    """The request is refused with an HTTP status and one message or more."""

    def __init__(self, status: int, *messages: str) -> None:
        super().__init__("; ".join(messages))
        self.status = status
        self.messages = messages
