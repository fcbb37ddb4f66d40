"""The interface between the conformance suite and a dialect.

The module `tests/dialects/<name>/adaptor.py` of each dialect defines an `ADAPTOR`.
"""

from dataclasses import dataclass
from enum import StrEnum
from flask import Flask
from scheduler_api.core.tenants.accounts import NewTenant, Secrets
from tests import documents
from tests.clients.receivers import Arrival
from typing import Any, Protocol

BODY = '{"hello":"wörld"}'


class Status(StrEnum):
    """The state of a webhook that a client reads."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    ABSENT = "absent"


@dataclass(frozen=True)
class Client:
    """Calls the API as one tenant."""

    app: Flask
    tenant: NewTenant
    headers: dict[str, str]

    def call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Return the status and the parsed body of a response."""
        headers = self.headers | options.pop("headers", {})
        with self.app.test_client() as client:
            response = client.open(path, method=method, headers=headers, **options)
        body = response.get_json() if response.data else None
        documents.check(self.app, method, path, response.status_code, body)
        return response.status_code, body


class Adaptor(Protocol):
    """Performs the operations of the suite by HTTP, as a client of one dialect.

    `retries` is the number of retries after a failed first attempt.
    """

    retries: int

    def headers(self, token: str) -> dict[str, str]:
        """Return the headers that authenticate a tenant."""
        ...

    def accept(self, client: Client, url: str) -> str:
        """Schedule a webhook with `BODY` within three minutes; return its id."""
        ...

    def accept_editable(self, client: Client, url: str) -> str:
        """Schedule a webhook as `accept` does, but of a kind that can be edited."""
        ...

    def status(self, client: Client, webhook: str) -> Status:
        """Return the state of a webhook."""
        ...

    def url(self, client: Client, webhook: str) -> str:
        """Return the destination of a pending webhook."""
        ...

    def edit(self, client: Client, webhook: str, url: str) -> int:
        """Change the destination; return the status of the response."""
        ...

    def cancel(self, client: Client, webhook: str) -> int:
        """Cancel a webhook; return the status of the response."""
        ...

    def replay(self, client: Client, webhook: str) -> int:
        """Send a dead webhook again; return the status of the response."""
        ...

    def check_request(self, arrival: Arrival, secrets: Secrets, url: str) -> None:
        """Check the body and the signature as a receiver does.

        Raises: any exception, if a receiver would refuse the request.
        """
        ...
