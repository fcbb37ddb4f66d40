"""The interface through which the conformance suite uses the API of a dialect.

Each dialect implements `Adaptor` in its module `tests/dialects/<name>/adaptor.py`, as
the constant `ADAPTOR`.
"""

from dataclasses import dataclass
from enum import StrEnum
from flask import Flask
from scheduler_api.core.tenants.accounts import NewTenant
from scheduler_api.core.tenants.secrets import Secrets
from tests import documents
from tests.clients.receivers import Arrival
from typing import Any, Protocol

BODY = '{"hello":"wörld"}'


class Status(StrEnum):
    """The state of a webhook, as the API reports it to clients."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    ABSENT = "absent"


@dataclass(frozen=True)
class Client:
    """An HTTP client that calls the API as one tenant."""

    app: Flask
    tenant: NewTenant
    headers: dict[str, str]

    def call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Send a request; return the status and the parsed body of the response."""
        headers = self.headers | options.pop("headers", {})
        with self.app.test_client() as client:
            response = client.open(path, method=method, headers=headers, **options)
        body = response.get_json() if response.data else None
        documents.check(self.app, method, path, response.status_code, body)
        return response.status_code, body


class Adaptor(Protocol):
    """Performs the operations of the suite through the HTTP API of one dialect.

    Attributes:
        retries: the number of retries after a failed first attempt.
    """

    retries: int

    def headers(self, token: str) -> dict[str, str]:
        """Return the request headers that authenticate a client with this token."""
        ...

    def accept(self, client: Client, url: str) -> str:
        """Schedule a webhook with `BODY`, due within three minutes; return its id."""
        ...

    def accept_editable(self, client: Client, url: str) -> str:
        """Like `accept`, but schedule a kind of webhook that clients can edit."""
        ...

    def status(self, client: Client, webhook: str) -> Status:
        """Return the state of a webhook."""
        ...

    def url(self, client: Client, webhook: str) -> str:
        """Return the URL to which a pending webhook will be sent."""
        ...

    def edit(self, client: Client, webhook: str, url: str) -> int:
        """Change the URL of a webhook; return the HTTP status of the response."""
        ...

    def cancel(self, client: Client, webhook: str) -> int:
        """Cancel a webhook; return the HTTP status of the response."""
        ...

    def replay(self, client: Client, webhook: str) -> int:
        """Replay a dead webhook; return the HTTP status of the response."""
        ...

    def check_request(self, arrival: Arrival, secrets: Secrets, url: str) -> None:
        """Check the body and the signature of a delivery, as a receiver does.

        Raises: any exception, if the body or the signature is wrong.
        """
        ...
