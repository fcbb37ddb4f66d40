"""The adaptor of Scheduler v1 for the conformance suite."""

import json
from datetime import UTC, datetime, timedelta
from scheduler_api.core.tenants.secrets import Secrets
from scheduler_api.dialects.events_v1.credentials import SIGNING_SECRET
from standardwebhooks import Webhook
from tests.clients.receivers import Arrival
from tests.dialects.conformance.adaptor import BODY, Client, Status

STATUSES = {
    "waiting": Status.PENDING,
    "under way": Status.PENDING,
    "delivered": Status.DELIVERED,
    "dead": Status.DEAD,
}


class EventsV1:
    """Adapts the API of Scheduler v1 to the conformance suite.

    Each webhook is an event with one callback a year, the first within three minutes.
    """

    retries = 3

    def headers(self, token: str) -> dict[str, str]:
        return {"x-api-key": token}

    def accept(self, client: Client, url: str) -> str:
        # Callbacks can be replayed only before the end of their event. The end is late,
        # so that the suite can replay callbacks.
        at = datetime.now(UTC) + timedelta(minutes=2)
        event = {
            "eventOwner": "user@example.com",
            "endDate": (at + timedelta(days=30)).isoformat(),
            "interval": f"{at.minute} {at.hour} {at.day} {at.month} *",
            "callbackUrl": url,
            "context": json.loads(BODY),
        }
        status, answer = client.call("POST", "/v1/events", json=event)
        assert status == 201, status
        return str(answer["data"]["eventId"])

    accept_editable = accept

    def status(self, client: Client, webhook: str) -> Status:
        status, answer = client.call("GET", f"/v1/events/{webhook}/runs")
        if status == 404:
            return Status.ABSENT
        return (
            STATUSES[answer["data"][0]["state"]] if answer["data"] else Status.PENDING
        )

    def url(self, client: Client, webhook: str) -> str:
        _, answer = client.call("GET", f"/v1/events/{webhook}")
        return str(answer["data"]["callbackUrl"])

    def edit(self, client: Client, webhook: str, url: str) -> int:
        edit = {"callbackUrl": url}
        return client.call("PATCH", f"/v1/events/{webhook}", json=edit)[0]

    def cancel(self, client: Client, webhook: str) -> int:
        return client.call("DELETE", f"/v1/events/{webhook}")[0]

    def replay(self, client: Client, webhook: str) -> int:
        _, answer = client.call("GET", f"/v1/events/{webhook}/attempts")
        attempt = answer["data"][0]["attemptId"]
        path = f"/v1/events/{webhook}/attempts/{attempt}/replay"
        return client.call("POST", path)[0]

    def check_request(self, arrival: Arrival, secrets: Secrets, _url: str) -> None:
        assert json.loads(arrival.body) == json.loads(BODY)
        Webhook(secrets[SIGNING_SECRET]).verify(arrival.body, arrival.headers)


ADAPTOR = EventsV1()
