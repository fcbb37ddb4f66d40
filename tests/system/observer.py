"""Access to a running system: create events, read them, and tally them at the end."""

import http.client
import json
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from redis.backoff import ConstantBackoff
from redis.retry import Retry
from scheduler_api.core.cron.expression import FULL
from scheduler_api.core.fsck import walk
from scheduler_api.core.model import (
    Attempt,
    Content,
    Draft,
    Event,
    Owner,
    Schedule,
    ScheduleOptions,
    State,
    Verdict,
)
from scheduler_api.core.queries.events import Queries
from scheduler_api.core.schedules.planning import DEFAULT_OPTIONS
from scheduler_api.core.schedules.schedules import Schedules
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.connection import StoreClient
from scheduler_api.core.store.content_encryption import content_cipher
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.reads import read_event, read_events
from scheduler_api.core.store.records import EVENT
from scheduler_api.core.timestamps import to_iso
from scheduler_api.settings import Settings
from tests.system.arrivals import Receiver
from tests.system.processes import wait_until
from tests.system.report import Tally
from typing import cast

DEADLINE_MS = 10_000
BATCH_SIZE = 500
CREATED_WITHIN_MS = 1_000


@dataclass(frozen=True)
class Accepted:
    """An accepted event, and how many requests the event should cause."""

    id: str
    label: str
    at_ms: int
    sends: int = 1


@dataclass(frozen=True)
class Answer:
    """A response of the web process."""

    status: int
    retry_after: str | None
    body: dict[str, object]


class Observer:
    """Gives access to a system's store and web process, and runs a receiver.

    Subclasses and callers create the tenant and set its `token` and `owner`.
    """

    token: str
    owner: Owner

    # The address of the web process.
    web_host = "127.0.0.1"

    def __init__(self, settings: Settings, *, receiver_host: str = "127.0.0.1") -> None:
        self.settings = settings
        self.prefix = settings.prefix
        self.client = StoreClient.from_url(
            settings.redis_url,
            retry=Retry(ConstantBackoff(0.05), 100),
            socket_timeout=10,
        )
        cell = Cell(self.client, self.prefix, cipher=content_cipher(settings))
        self.events = EventStore(cell, caps=settings.caps)
        self.schedules = Schedules(self.events.cell, grace_ms=settings.missed_grace_ms)
        self.receiver = Receiver(receiver_host)
        self.random = Random(1)
        self._in_flight: set[tuple[str, str]] = set()

    def close(self) -> None:
        """Close the receiver and the connection to the store."""
        self.receiver.close()
        self.client.close()

    def create(
        self,
        label: str,
        *,
        at_ms: int,
        query: str = "",
        url: str = "",
        deadline_ms: int = DEADLINE_MS,
        sends: int = 1,
    ) -> Accepted:
        """Create an event in the store directly.

        Args:
            query: how the receiver responds (see `receiver.py`).
            url: the destination; the receiver by default.
            sends: how many requests the event should cause.
        """
        url = url or self.receiver.url(query)
        event = self.events.create(self.owner, _draft(url, label, at_ms, deadline_ms))
        return Accepted(event.id, label, at_ms, sends)

    def earliest_start_ms(self, events: int) -> int:
        """A time in ms by which a test can create this many events one by one."""
        return self.events.cell.now_ms() + 1_000 + 5 * events

    def create_at(
        self, times_ms: Mapping[str, int], *, query: str = "", url: str = ""
    ) -> list[Accepted]:
        """Create events, whose labels are keys, in the store; many per round trip.

        Args:
            query: how the receiver responds (see `receiver.py`).
            url: the destination; the receiver by default.
        """
        url = url or self.receiver.url(query)
        drafts = [_draft(url, label, at, DEADLINE_MS) for label, at in times_ms.items()]
        created = self.events.create_many(self.owner, drafts)
        assert {event.verdict for event in created} == {Verdict.OK}
        return [
            Accepted(event.id, label, at_ms)
            for event, (label, at_ms) in zip(created, times_ms.items(), strict=True)
        ]

    def create_many(
        self, count: int, *, over_s: float, query: str = ""
    ) -> list[Accepted]:
        """Create events that are scheduled at random times within a future span.

        Args:
            over_s: the length of the span.
        """
        start_ms = self.events.cell.now_ms() + CREATED_WITHIN_MS + count
        times_ms = {
            f"event-{number}": start_ms + self.random.randrange(int(over_s * 1000) + 1)
            for number in range(count)
        }
        return self.create_at(times_ms, query=query)

    def create_schedule(
        self, expression: str, options: ScheduleOptions = DEFAULT_OPTIONS
    ) -> Schedule:
        """Create a schedule in UTC whose events go to the receiver."""
        return self.schedules.create(
            self.owner,
            Content(self.receiver.url(), b"tick"),
            expression=expression,
            tz="UTC",
            grammar=FULL,
            deadline_ms=DEADLINE_MS,
            options=options,
        )

    def delete_schedule(self, schedule: Schedule) -> None:
        """Delete a schedule, as it is now."""
        self.schedules.delete(self.schedules.get(self.owner, schedule.id))

    def post(self, label: str, *, in_ms: int, query: str = "") -> Answer:
        """Create an event through the web process."""
        at_ms = time.time_ns() // 1_000_000 + in_ms
        fields = {
            "payload": label,
            "destination": self.receiver.url(query),
            "scheduledTime": to_iso(at_ms),
        }
        return self.request("POST", "/api/events", fields)

    def request(self, method: str, path: str, body: object = None) -> Answer:
        """Send a request to the web process.

        Raises: OSError, http.client.HTTPException.
        """
        connection = http.client.HTTPConnection(
            self.web_host, self.settings.port, timeout=15
        )
        headers = {"content-type": "application/json", "x-api-key": self.token}
        try:
            connection.request(method, path, body and json.dumps(body), headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
            return Answer(response.status, response.headers["retry-after"], answer)
        finally:
            connection.close()

    def is_healthy(self) -> bool:
        """Whether `/healthz` answers 200."""
        with suppress(OSError, http.client.HTTPException):
            return self.request("GET", "/healthz").status == 200
        return False

    def is_ready(self) -> bool:
        """Whether `/readyz` answers 200."""
        with suppress(OSError, http.client.HTTPException):
            return self.request("GET", "/readyz").status == 200
        return False

    def event(self, accepted: Accepted) -> Event:
        """The current state of an event."""
        return read_event(self.events.cell, self.owner, accepted.id)

    def attempts(self, accepted: Accepted) -> list[Attempt]:
        """An event's attempts, oldest first."""
        return Queries(self.events.cell).attempts(accepted.id)

    def begun(self) -> set[tuple[str, str]]:
        """The event id and token of each attempt in flight."""
        leased = keys.leased(self.prefix)
        members = cast(list[bytes], self.client.zrange(leased, 0, -1))
        ids = [member.decode().removeprefix("~") for member in members]
        pipe = self.client.pipeline(transaction=False)
        for event_id in ids:
            pipe.hget(keys.event(self.prefix, event_id), EVENT.code("token"))
        pairs = zip(ids, pipe.execute(), strict=True)
        return {(event_id, token.decode()) for event_id, token in pairs if token}

    def record_in_flight(self) -> set[str]:
        """Record all attempts in flight; to be called after a worker was killed.

        For each recorded attempt, `Tally.is_sound` accepts one duplicate request.

        Returns: the event ids of the attempts that were not recorded before.
        """
        interrupted = self.begun() - self._in_flight
        self._in_flight |= interrupted
        return {event_id for event_id, _ in interrupted}

    def pending(self) -> int:
        """The number of members of the sets `due` and `leased`."""
        pipe = self.client.pipeline()
        pipe.zcard(keys.due(self.prefix))
        pipe.zcard(keys.leased(self.prefix))
        return sum(pipe.execute())

    def wait_drained(self, *, within_s: float = 60) -> float:
        """Wait until no event is pending; return how many seconds the wait took."""
        return wait_until(lambda: self.pending() == 0, within_s=within_s)

    def tally(
        self, accepted: Sequence[Accepted], *, tail: Collection[str] = ()
    ) -> Tally:
        """Compare the accepted events with the requests that arrived.

        Args:
            tail: the labels of events that the system accepted or delivered in a time
                whose writes the store has lost.
        """
        self.receiver.sync()
        times_ms, unwarned = self.receiver.times_ms(), self.receiver.count_unwarned()
        arrived = [event for event in accepted if event.label in times_ms]
        lost = [event.label for event in accepted if event.label not in times_ms]
        late_ms = sorted(times_ms[event.label][0] - event.at_ms for event in arrived)
        extra = {
            event.label: max(0, len(times_ms[event.label]) - event.sends)
            for event in arrived
        }
        without = [unwarned[event.label] - event.sends for event in arrived]
        kept = [event for event in accepted if event.label not in tail]
        return Tally(
            accepted=len(accepted),
            lost=lost,
            in_tail=len(set(lost) & set(tail)),
            repeated_in_tail=sum(extra.get(label, 0) for label in {*tail}),
            duplicates=sum(extra.values()),
            unwarned=sum(count for count in without if count > 0),
            in_flight=len(self._in_flight),
            early=sum(1 for late in late_ms if late < 0),
            late_ms=late_ms,
            undelivered=self.undelivered(kept),
            fsck=[str(fault) for fault in walk.check(self.events.cell)],
        )

    def undelivered(self, accepted: Sequence[Accepted]) -> list[str]:
        """The events that are not recorded as delivered, with their states."""
        found = []
        for start in range(0, len(accepted), BATCH_SIZE):
            batch = accepted[start : start + BATCH_SIZE]
            ids = [expected.id for expected in batch]
            events = read_events(self.events.cell, self.owner, ids)
            for expected, event in zip(batch, events, strict=True):
                state = event.state if event else "missing"
                if state is not State.DELIVERED:
                    found.append(f"{expected.label} is {state}")
        return found


def _draft(url: str, label: str, at_ms: int, deadline_ms: int) -> Draft:
    content = Content(url, label.encode())
    return Draft(content, deadline_ms, at_ms=at_ms, must_be_future=True)
