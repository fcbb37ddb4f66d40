"""Test of 200 schedules that fire every second, for 30 s of real time."""

import pytest
from collections.abc import Callable
from dataclasses import replace
from scheduler_api.core.ids import to_id
from scheduler_api.core.store import keys
from scheduler_api.core.timestamps import to_iso
from tests.system.cell import Cell
from tests.system.observer import Accepted
from tests.system.processes import wait_until
from uuid import UUID

pytestmark = pytest.mark.slow

SCHEDULES, SECONDS = 200, 30
SECOND_MS, HOUR_MS = 1_000, 3_600_000


def create(cell: Cell) -> str:
    """Create a v1 event that fires every second; return its public id."""
    body = {
        "eventOwner": "user@example.com",
        "endDate": to_iso(cell.events.cell.now_ms() + HOUR_MS),
        "interval": "* * * * * *",
        "callbackUrl": cell.receiver.url(),
    }
    answer = cell.request("POST", "/v1/events", body)
    assert answer.status == 201, answer
    event = answer.body["data"]
    assert isinstance(event, dict)
    return str(event["eventId"])


def callback(event_id: str, second: int) -> Accepted:
    """The expected callback of a v1 event at this second of Unix time."""
    internal = to_id(UUID(event_id).int & (1 << 62) - 1)
    return Accepted(f"{internal}.{second}", f"{event_id}_{second}", second * SECOND_MS)


def test_r14_two_hundred_every_second_schedules_send_each_callback_once_and_never_early(
    new_cell: Callable[..., Cell],
):
    cell = new_cell()
    cell.owner = replace(cell.owner, dialect="events_v1")
    cell.start("web", "ticker", "worker")
    event_ids = [create(cell) for _ in range(SCHEDULES)]
    first = cell.events.cell.now_ms() // SECOND_MS + 1
    seconds = range(first, first + SECONDS)
    expected = [callback(event_id, s) for event_id in event_ids for s in seconds]
    missing = {call.label for call in expected}

    def all_arrived() -> bool:
        newest = cell.receiver.arrivals[-10 * SCHEDULES :]
        missing.difference_update(arrival.label for arrival in newest)
        return not missing

    wait_until(all_arrived, within_s=SECONDS + 60)
    cell["ticker"].terminate()
    wait_until(lambda: cell.client.zcard(keys.leased(cell.prefix)) == 0)

    tally = cell.tally(expected)
    print(tally)
    assert tally.is_sound
    assert tally.duplicates == 0
