"""Many events of Scheduler v1: how fast they are found, how large they are, and what
claims cost beside them.
"""

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
ASKED = 30
OWNERS, TAGS, COUNTRIES = 1_000, 10, 5
CLAIMS, CLAIMED = 100, 100
AT_ONCE = 10_000
FAR_MS = 10**13
TIMEOUTS = ClaimTimeouts(
    offer_ms=3_000, lease_ms=15_000, grace_ms=15_000, missed_grace_ms=60_000
)


@dataclass(frozen=True)
class Question:
    """A list that is asked for, by its name for people."""

    name: str
    query: dict[str, Any]
    offset: int = 0

    @property
    def path(self) -> str:
        query = quote(json.dumps(self.query))
        return f"/v1/events?query={query}&limit=100&offset={self.offset}"


def measure(cell: Cell, *, count: int) -> None:
    """Creates events, and tells all that is to be known of them."""
    cell.owner = Owner(cell.owner.tenant, "events_v1")
    before = used_bytes(cell)
    _create(cell, count)
    click.echo(
        f"{(used_bytes(cell) - before) / count:.0f} bytes of memory for each event"
    )
    for question in _questions(count):
        click.echo(_ask(cell, question))
    for size in (1_000, 100_000, 1_000_000):
        click.echo(_claims(cell, size))


def _create(cell: Cell, count: int) -> None:
    headers = {"X-API-Key": cell.token, "Content-Type": "application/json"}
    requests = (
        post("/v1/events", json.dumps(body).encode(), headers)
        for body in _bodies(cell.receiver.url(), count)
    )
    took_s = 0.0
    # A part at a time: all answers of a part are kept.
    while batch := list(islice(requests, AT_ONCE)):
        made = send(iter(batch), port=cell.settings.port, connections=CONNECTIONS)
        assert all(answer.status == 201 for answer in made.answers), made.answers[0]
        took_s += made.took_s
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


def _questions(count: int) -> list[Question]:
    user = {"path": ["user"], "value": f"{count // 2}", "type": "Number"}
    country = {"path": ["country"], "value": "c1", "type": "String"}
    tags, owner = ["tag1", "tag2"], ["owner1@example.com"]
    return [
        Question("no filter", {}),
        Question("no filter, in the middle", {}, count // 2),
        Question("owner (0.1 %)", {"eventOwner": owner}),
        Question("tag (10 %)", {"tags": tags[:1]}),
        Question("tag (all)", {"tags": ["prod"]}),
        Question("two tags (20 %)", {"tags": tags}),
        Question("context number (one)", {"context": [user]}),
        Question("context text (20 %)", {"context": [country]}),
        Question("tag and context text", {"tags": tags[:1], "context": [country]}),
        Question(
            "tag (all) and context text", {"tags": ["prod"], "context": [country]}
        ),
        Question(
            "owner, tag and context",
            {
                "eventOwner": owner,
                "tags": tags,
                "context": [country],
            },
        ),
        Question("two tags, in the middle", {"tags": tags}, count // 10),
    ]


def _ask(cell: Cell, question: Question) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", cell.settings.port)
    took_ms, total = [], 0
    for _ in range(ASKED):
        started_s = time.perf_counter()
        connection.request("GET", question.path, headers={"X-API-Key": cell.token})
        answer = connection.getresponse()
        body = json.loads(answer.read())
        took_ms.append((time.perf_counter() - started_s) * 1000)
        assert answer.status == 200, body
        total = body["meta"]["total"]
    connection.close()
    times = f"median {median(took_ms):.1f}, longest {max(took_ms):.1f} ms"
    return f"{question.name}: {total} found, {times}"


def _claims(cell: Cell, size: int) -> str:
    _fill(cell, size)
    each_us = claim_us(cell, CLAIMS)
    return f"{size} in due: a claim of {CLAIMED} events takes {each_us:.0f} µs"


def claim_us(cell: Cell, claims: int) -> float:
    """A claim of a hundred due events beside what is in `due`, by the store's clock.

    No ticker may run; what is claimed is cancelled.
    """
    drafts = _hundred(cell)
    spent_us = 0
    for _ in range(claims):
        accepted = cell.events.create_many(cell.owner, drafts)
        started_us = _script_us(cell)
        claimed = claim(cell.events.cell, room=2 * CLAIMED, timeouts=TIMEOUTS)
        spent_us += _script_us(cell) - started_us
        assert len(claimed.ids) == CLAIMED, claimed
        cell.events.cancel(cell.owner, [each.id for each in accepted])
    return spent_us / claims


def create_us(cell: Cell, rounds: int) -> float:
    """Storing an event for later, by the store's clock; each is cancelled again."""
    drafts = _hundred(cell, delay_ms=86_400_000)
    spent_us = 0
    for _ in range(rounds):
        started_us = _script_us(cell)
        accepted = cell.events.create_many(cell.owner, drafts)
        spent_us += _script_us(cell) - started_us
        cell.events.cancel(cell.owner, [each.id for each in accepted])
    return spent_us / rounds / len(drafts)


def _hundred(cell: Cell, delay_ms: int = 0) -> list[Draft]:
    content = Content(cell.receiver.url(), b"x")
    return [Draft(content, deadline_ms=10_000, delay_ms=delay_ms)] * CLAIMED


def _fill(cell: Cell, size: int) -> None:
    """Members far ahead, that no claim looks at."""
    due = keys.due(cell.prefix)
    there = cell.client.zcard(due)
    for start in range(there, size, AT_ONCE):
        members = range(start, min(start + AT_ONCE, size))
        cell.client.zadd(due, {f"far{n}": FAR_MS + n for n in members})


def used_bytes(cell: Cell) -> int:
    """Memory that the store has taken for data and itself."""
    return int(cell.client.info("memory")["used_memory"])


def _script_us(cell: Cell) -> int:
    """Time that the store has spent on scripts."""
    stats = cell.client.info("commandstats")
    return int(stats["cmdstat_fcall"]["usec"])
