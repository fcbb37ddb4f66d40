"""Publish QStash messages, and read when their attempts began."""

import json
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from scheduler_api.core.model import Content, Draft, Gates, Owner
from scheduler_api.core.store import keys
from scheduler_api.core.timestamps import to_iso
from tests.system.cell import Cell
from tests.system.observer import DEADLINE_MS, Accepted
from typing import cast

# Options of a message: 50 retries, one per second.
RETRIES: dict[str, object] = {"r": 50, "rd": "1000"}
BATCH_SIZE = 100


def publish(
    cell: Cell,
    labels: Sequence[str],
    urls: Sequence[str],
    gates: Sequence[Gates],
    *,
    options: dict[str, object] = RETRIES,
) -> list[Accepted]:
    """Create messages in this order, all due now.

    Sets the dialect of `cell.owner` to QStash.

    Args:
        options: the options of all messages, as QStash stores them.
    """
    at = to_iso(cell.events.cell.now_ms())
    drafts = [
        Draft(
            Content(
                url,
                json.dumps({"payload": label, "scheduledTime": at}).encode(),
                options,
            ),
            DEADLINE_MS,
            id=_id_of(label),
            gates=message_gates,
            journal=True,
        )
        for label, url, message_gates in zip(labels, urls, gates, strict=True)
    ]
    cell.owner = Owner(cell.owner.tenant, "qstash")
    created = cell.events.create_many(cell.owner, drafts, batch_size=BATCH_SIZE)
    return [
        Accepted(message.id, label, message.wanted_ms)
        for message, label in zip(created, labels, strict=True)
    ]


def _id_of(label: str) -> str:
    """An event id that ends with a letter.

    If the id ended with a number, the receiver would take this number for a fire time.
    """
    return f"{label.replace('-', '')}x"


def begin_times(cell: Cell) -> list[tuple[float, str]]:
    """Time in ms and event id of each begun attempt, from the journal of the tenant."""
    journal = cell.client.xrange(keys.journal(cell.prefix, str(cell.owner)))
    entries = cast(list[tuple[bytes, dict[bytes, bytes]]], journal)
    return [
        (float(entry_id.split(b"-")[0]), fields[b"e"].decode())
        for entry_id, fields in entries
        if fields[b"k"] == b"begun"
    ]


def max_per_second(times_ms: Sequence[float]) -> int:
    """The largest number of these ascending times within any second."""
    return max(
        bisect_left(times_ms, first + 1_000) - n for n, first in enumerate(times_ms)
    )


def max_overtaking_ms(wanted_ms: Sequence[float]) -> float:
    """The largest time in ms by which an event overtook an event scheduled earlier.

    If an event scheduled for 5 ms arrives before an event scheduled for 2 ms, the first
    event has overtaken the second event by 3 ms.

    Args:
        wanted_ms: the scheduled times of the events, in order of arrival.
    """
    newest = accumulate(wanted_ms, max)
    return max(
        (before - at for before, at in zip(newest, wanted_ms, strict=True)), default=0
    )
