"""What the conformance suite needs to know about a dialect.

Each dialect has a module `tests/dialects/<name>/adaptor.py` with an `ADAPTOR`.
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
    """The state of a webhook, as a client sees it."""

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

    def call(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        """Return the status and the parsed body of a response."""
        headers = self.headers | more.pop("headers", {})
        with self.app.test_client() as client:
            response = client.open(path, method=method, headers=headers, **more)
        body = response.get_json() if response.data else None
        documents.check(self.app, method, path, response.status_code, body)
        return response.status_code, body


class Adaptor(Protocol):
    """How a client of a dialect does what every dialect can do, by HTTP.

    `retries`: how many attempts follow a failed first one.
    """

    retries: int

    def headers(self, token: str) -> dict[str, str]:
        """Return the headers that authenticate a tenant."""
        ...

    def accept(self, client: Client, url: str) -> str:
        """Schedule one webhook with `BODY` for a time within three minutes."""
        ...

    def accept_editable(self, client: Client, url: str) -> str:
        """Do the same with a kind of webhook that can be edited."""
        ...

    def status(self, client: Client, webhook: str) -> Status: ...

    def url(self, client: Client, webhook: str) -> str:
        """Return the destination of a webhook that is pending."""
        ...

    def edit(self, client: Client, webhook: str, url: str) -> int:
        """Change the destination; return the status of the response."""
        ...

    def cancel(self, client: Client, webhook: str) -> int:
        """Cancel it; return the status of the response."""
        ...

    def replay(self, client: Client, webhook: str) -> int:
        """Send a dead one again; return the status of the response."""
        ...

    def check_request(self, arrival: Arrival, secrets: Secrets, url: str) -> None:
        """Check body and signature as a receiver would.

        Raises: any exception, if a receiver would refuse the request.
        """
        ...
