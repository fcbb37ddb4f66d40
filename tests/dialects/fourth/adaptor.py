"""The adaptor of Postbox for the conformance suite."""

import base64
import hashlib
import hmac
from scheduler_api.core.tenants.secrets import Secrets
from tests.clients.receivers import Arrival
from tests.dialects.conformance.adaptor import BODY, Client, Status

STATUSES = {
    "active": Status.PENDING,
    "delivered": Status.DELIVERED,
    "dead": Status.DEAD,
    "cancelled": Status.ABSENT,
}


class Postbox:
    """Adapts the Postbox API to the conformance suite."""

    retries = 1

    def headers(self, token: str) -> dict[str, str]:
        return {"x-postbox-key": token}

    def accept(self, client: Client, url: str) -> str:
        memo = {"to": url, "text": BODY, "delay_ms": 60_000}
        status, answer = client.call("POST", "/postbox/", json=memo)
        assert status == 201, status
        return str(answer["id"])

    accept_editable = accept

    def status(self, client: Client, webhook: str) -> Status:
        status, memo = client.call("GET", f"/postbox/{webhook}")
        return Status.ABSENT if status == 404 else STATUSES[memo["state"]]

    def url(self, client: Client, webhook: str) -> str:
        return str(client.call("GET", f"/postbox/{webhook}")[1]["to"])

    def edit(self, client: Client, webhook: str, url: str) -> int:
        return client.call("PATCH", f"/postbox/{webhook}", json={"to": url})[0]

    def cancel(self, client: Client, webhook: str) -> int:
        return client.call("DELETE", f"/postbox/{webhook}")[0]

    def replay(self, client: Client, webhook: str) -> int:
        return client.call("POST", f"/postbox/{webhook}/resend")[0]

    def check_request(self, arrival: Arrival, secrets: Secrets, _url: str) -> None:
        assert (arrival.method, arrival.body.decode()) == ("PUT", BODY)
        key = secrets["postbox.signing"].encode()
        digest = hmac.digest(key, arrival.body, hashlib.sha256)
        signature = base64.b64encode(digest).decode()
        assert arrival.headers["postbox-signature"] == signature


ADAPTOR = Postbox()
