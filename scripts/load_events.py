"""Measures many events of Scheduler v1: list queries, memory, and claims."""

import click
import http.client
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from load_client import post, send
from scheduler_api.core.model import Content, Draft, Owner
from scheduler_api.core.store import keys
from scheduler_api.core.store.claims import ClaimTimeouts, claim
from statistics import median
from tests.system.cell import Cell
from typing import Any
from urllib.parse import quote

CONNECTIONS = 32
REPEATS = 30
OWNERS, TAGS, COUNTRIES = 1_000, 10, 5
CLAIMS, CLAIMED = 100, 100
BATCH = 10_000
FAR_MS = 10**13
TIMEOUTS = ClaimTimeouts(
    offer_ms=3_000, lease_ms=15_000, grace_ms=15_000, missed_grace_ms=60_000
)


@dataclass(frozen=True)
class ListQuery:
    """A query of the list of events, with a name for the output."""

    name: str
    query: dict[str, Any]
    offset: int = 0

    @property
    def path(self) -> str:
        query = quote(json.dumps(self.query))
        return f"/v1/events?query={query}&limit=100&offset={self.offset}"


def measure(cell: Cell, *, count: int) -> None:
    """Create events; measure and print memory, list queries and claims."""
    cell.owner = Owner(cell.owner.tenant, "events_v1")
    before = used_bytes(cell)
    _create(cell, count)
    click.echo(
        f"{(used_bytes(cell) - before) / count:.0f} bytes of memory for each event"
    )
    for list_query in _list_queries(count):
        click.echo(_measure_query(cell, list_query))
    for size in (1_000, 100_000, 1_000_000):
        click.echo(_measure_claims(cell, size))


def _create(cell: Cell, count: int) -> None:
    headers = {"X-API-Key": cell.token, "Content-Type": "application/json"}
    requests = (
        post("/v1/events", json.dumps(body).encode(), headers)
        for body in _bodies(cell.receiver.url(), count)
    )
    took_s = 0.0
    # The requests are sent in batches, because `send` keeps all responses in memory.
    while batch := list(islice(requests, BATCH)):
        sent = send(iter(batch), port=cell.settings.port, connections=CONNECTIONS)
        failed = [response for response in sent.responses if response.status != 201]
        assert not failed, failed[0]
        took_s += sent.took_s
    click.echo(f"{count} events created over HTTP, {count / took_s:.0f} a second")


def _bodies(url: str, count: int) -> Iterator[dict[str, Any]]:
    for n in range(count):
        yield {
            "eventOwner": f"owner{n % OWNERS}@example.com",
            "endDate": "2999-09-02T05:11:59.708Z",
            "interval": "0 0 1 1 *",
            "callbackUrl": url,
            "context": {"user": n, "country": f"c{n % COUNTRIES}"},
            "tags": ["prod", f"tag{n % TAGS}"],
        }


def _list_queries(count: int) -> list[ListQuery]:
    user = {"path": ["user"], "value": f"{count // 2}", "type": "Number"}
    country = {"path": ["country"], "value": "c1", "type": "String"}
    tags, owner = ["tag1", "tag2"], ["owner1@example.com"]
    return [
        ListQuery("no filter", {}),
        ListQuery("no filter, in the middle", {}, count // 2),
        ListQuery("owner (0.1 %)", {"eventOwner": owner}),
        ListQuery("tag (10 %)", {"tags": tags[:1]}),
        ListQuery("tag (all)", {"tags": ["prod"]}),
        ListQuery("two tags (20 %)", {"tags": tags}),
        ListQuery("context number (one)", {"context": [user]}),
        ListQuery("context text (20 %)", {"context": [country]}),
        ListQuery("tag and context text", {"tags": tags[:1], "context": [country]}),
        ListQuery(
            "tag (all) and context text", {"tags": ["prod"], "context": [country]}
        ),
        ListQuery(
            "owner, tag and context",
            {
                "eventOwner": owner,
                "tags": tags,
                "context": [country],
            },
        ),
        ListQuery("two tags, in the middle", {"tags": tags}, count // 10),
    ]


def _measure_query(cell: Cell, list_query: ListQuery) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", cell.settings.port)
    took_ms, total = [], 0
    for _ in range(REPEATS):
        started_s = time.perf_counter()
        connection.request("GET", list_query.path, headers={"X-API-Key": cell.token})
        response = connection.getresponse()
        body = json.loads(response.read())
        took_ms.append((time.perf_counter() - started_s) * 1000)
        assert response.status == 200, body
        total = body["meta"]["total"]
    connection.close()
    times = f"median {median(took_ms):.1f}, longest {max(took_ms):.1f} ms"
    return f"{list_query.name}: {total} found, {times}"


def _measure_claims(cell: Cell, size: int) -> str:
    _fill(cell, size)
    us = claim_us(cell, CLAIMS)
    return f"{size} in due: a claim of {CLAIMED} events takes {us:.0f} µs"


def claim_us(cell: Cell, claims: int) -> float:
    """Measure claims of a hundred due events; return the store's time for a claim.

    No ticker may run meanwhile. The claimed events are cancelled afterwards.
    """
    drafts = _hundred(cell)
    spent_us = 0
    for _ in range(claims):
        accepted = cell.events.create_many(cell.owner, drafts)
        started_us = _functions_us(cell)
        claimed = claim(cell.events.cell, room=2 * CLAIMED, timeouts=TIMEOUTS)
        spent_us += _functions_us(cell) - started_us
        assert len(claimed.ids) == CLAIMED, claimed
        cell.events.cancel(cell.owner, [event.id for event in accepted])
    return spent_us / claims


def create_us(cell: Cell, rounds: int) -> float:
    """Measure the creation of future events; return the store's time for an event.

    The events are cancelled afterwards.
    """
    drafts = _hundred(cell, delay_ms=86_400_000)
    spent_us = 0
    for _ in range(rounds):
        started_us = _functions_us(cell)
        accepted = cell.events.create_many(cell.owner, drafts)
        spent_us += _functions_us(cell) - started_us
        cell.events.cancel(cell.owner, [event.id for event in accepted])
    return spent_us / rounds / len(drafts)


def _hundred(cell: Cell, delay_ms: int = 0) -> list[Draft]:
    content = Content(cell.receiver.url(), b"x")
    return [Draft(content, deadline_ms=10_000, delay_ms=delay_ms)] * CLAIMED


def _fill(cell: Cell, size: int) -> None:
    """Fill the set `due` up to a size, with members due in the far future."""
    due = keys.due(cell.prefix)
    existing = cell.client.zcard(due)
    for start in range(existing, size, BATCH):
        members = range(start, min(start + BATCH, size))
        cell.client.zadd(due, {f"far{n}": FAR_MS + n for n in members})


def used_bytes(cell: Cell) -> int:
    """Return the memory that the store uses."""
    return int(cell.client.info("memory")["used_memory"])


def _functions_us(cell: Cell) -> int:
    """Return the time that the store has spent in function calls so far."""
    stats = cell.client.info("commandstats")
    return int(stats["cmdstat_fcall"]["usec"])
