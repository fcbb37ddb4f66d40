"""Counts failed events by destination, and sends the counts (the failure digest)."""

import asyncio
import logging
import orjson
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from scheduler_api.core import logfmt
from scheduler_api.core.delivery.destinations import BadDestination, parse
from scheduler_api.core.errors import NotFound, UnreadableRecord
from scheduler_api.core.model import Owner, State
from scheduler_api.core.settings.engine import EngineSettings
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.reads import read_event
from typing import cast
from workers import posts

log = logging.getLogger("scheduler.chores")

UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Failures:
    """How many events to one destination failed; `destination` is its origin."""

    tenant: str
    dialect: str
    destination: str
    failed: int


def collect(cell: Cell, *, since_ms: int, until_ms: int) -> list[Failures]:
    """Count the dead letters of a period by owner and destination."""
    counts: Counter[tuple[Owner, str]] = Counter()
    for member in cast(set[bytes], cell.client.smembers(keys.owners(cell.prefix))):
        owner = Owner.parse(member.decode())
        for state in (State.DEAD, State.CLEARED):
            index = keys.finished(cell.prefix, str(owner), state)
            ids = cast(
                list[bytes], cell.client.zrangebyscore(index, since_ms, until_ms)
            )
            counts.update((owner, _origin(cell, owner, id_.decode())) for id_ in ids)
    return [
        Failures(owner.tenant, owner.dialect, origin, failed)
        for (owner, origin), failed in sorted(
            counts.items(), key=lambda item: (str(item[0][0]), item[0][1])
        )
    ]


def _origin(cell: Cell, owner: Owner, event_id: str) -> str:
    try:
        return str(parse(read_event(cell, owner, event_id).content.url).origin)
    except (UnreadableRecord, BadDestination, NotFound):
        return UNREADABLE


def post(failures: Sequence[Failures], settings: EngineSettings) -> None:
    """POST the digest as JSON, without retries.

    The address policy of deliveries also applies to the URL of the digest.
    """
    body = orjson.dumps({"failures": [asdict(entry) for entry in failures]})
    result = asyncio.run(posts.post(settings.failure_digest_url, body, settings))
    if not posts.is_accepted(result):
        log.error(
            logfmt.line("digest.not_sent", status=result.status, error=result.error)
        )
