"""Messages, as a QStash client would publish them, and when the engine began them."""

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

# As a message says it: 50 retries, one each second.
RETRIES = {"r": 50, "rd": "1000"}
A_BATCH = 100


def accept(
    cell: Cell, labels: Sequence[str], urls: Sequence[str], gates: Sequence[Gates]
) -> list[Accepted]:
    """Messages for now, accepted in batches and in this order."""
    at = to_iso(cell.events.cell.now_ms())
    drafts = [
        Draft(
            Content(
                url,
                json.dumps({"payload": label, "scheduledTime": at}).encode(),
                RETRIES,
            ),
            DEADLINE_MS,
            id=_id_of(label),
            gates=through,
            journal=True,
        )
        for label, url, through in zip(labels, urls, gates, strict=True)
    ]
    cell.owner = Owner(cell.owner.tenant, "qstash")
    answers = cell.events.create_many(cell.owner, drafts, at_once=A_BATCH)
    return [
        Accepted(answer.id, label, answer.wanted_ms)
        for answer, label in zip(answers, labels, strict=True)
    ]


def _id_of(label: str) -> str:
    """No number at its end: the receiver takes that for a fire time."""
    return f"{label.replace('-', '')}x"


def begun(cell: Cell) -> list[tuple[float, str]]:
    """When attempts were begun, in ms, and of which event; by the owner's journal."""
    told = cell.client.xrange(keys.journal(cell.prefix, str(cell.owner)))
    entries = cast(list[tuple[bytes, dict[bytes, bytes]]], told)
    return [
        (float(at.split(b"-")[0]), said[b"e"].decode())
        for at, said in entries
        if said[b"k"] == b"begun"
    ]


def most_in_a_second(times_ms: Sequence[float]) -> int:
    """The most of them in any second; they ascend."""
    return max(
        bisect_left(times_ms, first + 1_000) - n for n, first in enumerate(times_ms)
    )


def out_of_turn(wanted_ms: Sequence[float]) -> float:
    """How much older one was at most than another that went before it, in ms."""
    newest = accumulate(wanted_ms, max)
    return max(
        (before - at for before, at in zip(newest, wanted_ms, strict=True)), default=0
    )
