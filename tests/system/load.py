"""A client that creates events through the web process, at a steady rate."""

import http.client
import threading
import time
from dataclasses import dataclass, field
from scheduler_api.core.ids import to_id
from scheduler_api.core.timestamps import from_iso
from tests.system.observer import Accepted, Answer, Observer
from typing import Self


@dataclass
class Load:
    """Context manager that creates events in a thread, one request after the other.

    Attributes:
        per_s: how many events to create per second.
        in_ms: how far in the future each event is scheduled.
        query: how the receiver responds (see `receiver.py`).
        name: the first part of the events' labels.
        accepted: the events that the system accepted.
        retry_after: the `Retry-After` header of each response 503.
        unanswered: how many requests got no response.
        unexpected: status and body of all other responses.
    """

    system: Observer
    per_s: int
    in_ms: int
    query: str = ""
    name: str = "posted"
    accepted: list[Accepted] = field(default_factory=list)
    retry_after: list[str | None] = field(default_factory=list)
    unanswered: int = 0
    unexpected: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        number = 0
        while not self._stopping.wait(1 / self.per_s):
            number += 1
            self._post(f"{self.name}-{number}")

    def _post(self, label: str) -> None:
        started_s = time.monotonic()
        try:
            answer = self.system.post(label, in_ms=self.in_ms, query=self.query)
        except (OSError, http.client.HTTPException):
            self.unanswered += 1
            return
        if answer.status == 200:
            self.accepted.append(accepted_event(answer, label))
        elif answer.status == 503:
            self.retry_after.append(answer.retry_after)
        elif time.monotonic() < started_s + self.in_ms / 1000:
            # The response to a slow request is ignored: the system may refuse the
            # request, because the time of its event has passed.
            self.unexpected.append(f"{answer.status} {answer.body}")


def accepted_event(answer: Answer, label: str) -> Accepted:
    """The accepted event that a response of the web process describes."""
    at_ms = from_iso(str(answer.body["scheduledTime"]))
    return Accepted(to_id(int(str(answer.body["id"]))), label, at_ms)
