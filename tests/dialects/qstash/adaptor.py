"""The adaptor of QStash for the conformance suite."""

from qstash import Receiver
from scheduler_api.core.tenants.secrets import Secrets
from scheduler_api.dialects.qstash.credentials import CURRENT_KEY, NEXT_KEY
from tests.clients.receivers import Arrival
from tests.dialects.conformance.adaptor import BODY, Client, Status

MESSAGE = {"Upstash-Delay": "60s", "Upstash-Retries": "2"}
SCHEDULE = {"Upstash-Cron": "* * * * *", "Scheduler-Max-Runs": "1"}


class QStash:
    """Adapts the QStash API to the conformance suite.

    A webhook is a message. QStash cannot edit messages, so an editable webhook is a
    schedule with one run.
    """

    retries = 2

    def headers(self, token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}"}

    def accept(self, client: Client, url: str) -> str:
        status, answer = client.call(
            "POST", f"/v2/publish/{url}", data=BODY.encode(), headers=MESSAGE
        )
        assert status == 201, status
        return str(answer["messageId"])

    def accept_editable(self, client: Client, url: str) -> str:
        status, answer = client.call(
            "POST", f"/v2/schedules/{url}", data=BODY.encode(), headers=SCHEDULE
        )
        assert status == 200, status
        return str(answer["scheduleId"])

    def status(self, client: Client, webhook: str) -> Status:
        if client.call("GET", f"/v2/messages/{webhook}")[0] == 404:
            return Status.ABSENT
        _, page = client.call("GET", f"/v2/logs?messageId={webhook}")
        states = {entry["state"] for entry in page["logs"]}
        if "DELIVERED" in states:
            return Status.DELIVERED
        return Status.DEAD if "FAILED" in states else Status.PENDING

    def url(self, client: Client, webhook: str) -> str:
        return str(client.call("GET", f"/v2/messages/{webhook}")[1]["url"])

    def edit(self, client: Client, webhook: str, url: str) -> int:
        headers = SCHEDULE | {"Upstash-Schedule-Id": webhook}
        return client.call(
            "POST", f"/v2/schedules/{url}", data=BODY.encode(), headers=headers
        )[0]

    def cancel(self, client: Client, webhook: str) -> int:
        return client.call("DELETE", f"/v2/messages/{webhook}")[0]

    def replay(self, client: Client, webhook: str) -> int:
        _, page = client.call("GET", f"/v2/dlq?messageId={webhook}")
        [letter] = page["messages"]
        return client.call("POST", f"/v2/dlq/retry/{letter['dlqId']}")[0]

    def check_request(self, arrival: Arrival, secrets: Secrets, url: str) -> None:
        body = arrival.body.decode()
        assert body == BODY
        receiver = Receiver(secrets[CURRENT_KEY], secrets[NEXT_KEY])
        receiver.verify(signature=arrival.signature, body=body, url=url)


ADAPTOR = QStash()
