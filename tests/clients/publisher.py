"""One interface to the sync and async variants of QStash's Python client."""

import asyncio
from qstash import Receiver
from qstash.log import Log, LogState
from tests.clients.receivers import Arrival
from tests.system.processes import wait_until
from typing import Any


class BlockingClient:
    """Wraps the async client: calls block, like those of the sync client."""

    def __init__(self, inner: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._inner = inner
        self._loop = loop

    def __getattr__(self, name: str) -> "BlockingClient":
        return BlockingClient(getattr(self._inner, name), self._loop)

    def __call__(self, *args: Any, **options: Any) -> Any:
        call = self._inner(*args, **options)
        return asyncio.run_coroutine_threadsafe(call, self._loop).result(60)


class Publisher:
    """A QStash client of one tenant, and a verifier for the tenant's signatures."""

    def __init__(self, client: Any, environ: dict[str, str]) -> None:
        self.message = client.message
        self.schedule = client.schedule
        self.log = client.log
        self.signing_key = client.signing_key
        self.url_group = client.url_group
        self.dlq = client.dlq
        self.queue = client.queue
        self.flow_control = client.flow_control
        self.environ = environ
        # The verifier keeps these keys after a rotation, like a destination whose
        # settings were not updated.
        self.receiver = Receiver(
            current_signing_key=environ["QSTASH_CURRENT_SIGNING_KEY"],
            next_signing_key=environ["QSTASH_NEXT_SIGNING_KEY"],
        )

    def verify(self, arrival: Arrival, url: str) -> None:
        self.receiver.verify(
            signature=arrival.signature, body=arrival.body.decode(), url=url
        )

    def logs(self, message_id: str, *, until: LogState) -> list[Log]:
        """Wait for a log entry in state `until`; return all entries, oldest first."""

        def entries() -> list[Log]:
            newest_first = self.log.list(filter={"message_id": message_id}).logs
            return list(reversed(newest_first))

        wait_until(lambda: until in states(entries()))
        return entries()


def states(entries: list[Log]) -> list[LogState]:
    return [entry.state for entry in entries]
