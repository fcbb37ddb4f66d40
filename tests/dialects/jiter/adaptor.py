"""The adaptor of Jiter for the conformance suite."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from scheduler_api.core.tenants.secrets import Secrets
from scheduler_api.dialects.jiter.credentials import SIGNING_SECRET
from tests.clients.receivers import Arrival
from tests.dialects.conformance.adaptor import BODY, Client, Status

STATUSES = {
    "Pending": Status.PENDING,
    "Queued": Status.PENDING,
    "Sent": Status.DELIVERED,
    "Failed To Send": Status.DEAD,
    "Cancelled": Status.ABSENT,
}


class Jiter:
    """Adapts the Jiter API to the conformance suite; each webhook is an event."""

    retries = 3

    def headers(self, token: str) -> dict[str, str]:
        return {"x-api-key": token}

    def accept(self, client: Client, url: str) -> str:
        at = datetime.now(UTC) + timedelta(minutes=1)
        event = {
            "payload": BODY,
            "destination": url,
            "scheduledTime": at.isoformat(),
        }
        status, answer = client.call("POST", "/api/events", json=event)
        assert status == 200, status
        return str(answer["id"])

    accept_editable = accept

    def status(self, client: Client, webhook: str) -> Status:
        status, event = client.call("GET", f"/api/events/{webhook}")
        return Status.ABSENT if status == 404 else STATUSES[event["status"]]

    def url(self, client: Client, webhook: str) -> str:
        return str(client.call("GET", f"/api/events/{webhook}")[1]["destination"])

    def edit(self, client: Client, webhook: str, url: str) -> int:
        edit = {"destination": url}
        return client.call("PUT", f"/api/events/{webhook}", json=edit)[0]

    def cancel(self, client: Client, webhook: str) -> int:
        edit = {"status": "Cancelled"}
        return client.call("PUT", f"/api/events/{webhook}", json=edit)[0]

    def replay(self, client: Client, webhook: str) -> int:
        return client.call("POST", f"/api/events/{webhook}/replay")[0]

    def check_request(self, arrival: Arrival, secrets: Secrets, _url: str) -> None:
        assert json.loads(arrival.body)["payload"] == BODY
        timestamp = arrival.headers["x-jiter-request-timestamp"].encode()
        secret = secrets[SIGNING_SECRET].encode()
        digest = hmac.digest(secret, timestamp + b":" + arrival.body, hashlib.sha256)
        signature = base64.b64encode(digest).decode()
        assert arrival.headers["x-jiter-signature"] == signature


ADAPTOR = Jiter()
