"""Tests that this version reads the stores of older versions, and works on with them.

A recording is a store that an older version, or this one, has written.
"""

import pytest
import redis
from itertools import chain
from scheduler_api.app import create_app
from scheduler_api.core.fsck import walk
from scheduler_api.core.store import keys, layout
from scheduler_api.core.store.cell import Cell
from tests.dialects.engine import Engine, settings_with
from tests.dialects.furnished import HOUR_MS
from tests.dialects.older_stores.recording import FOLDER, Recording
from typing import Any

FILES = sorted(FOLDER.glob("*.jsonl"))
PREFIX = "{s1}:"
# Fields that depend on the time of the request.
TIMED = {"nextExecutionDate", "nextRun", "nextScheduleTime"}


@pytest.fixture(params=FILES, ids=lambda file: str(file.stem))
def recording(request: pytest.FixtureRequest) -> Recording:
    return Recording.load(request.param)


@pytest.fixture
def client(recording: Recording, bare_valkey: redis.Redis) -> redis.Redis:
    """A client of a store with the keys of the recording."""
    recording.restore(bare_valkey)
    return bare_valkey


def read(recording: Recording, url: str) -> dict[str, Any]:
    """What the tenant reads now, by path."""
    app = create_app(settings_with(None, {}, redis_url=url))
    token = recording.token
    headers = {"x-api-key": token, "Authorization": f"Bearer {token}"}
    with app.test_client() as web:
        answers = {path: web.get(path, headers=headers) for path in recording.reads}
    return {path: [each.status_code, each.json] for path, each in answers.items()}


def lost(before: Any, now: Any, place: str = "") -> list[str]:
    """The places of fields that are gone or have another value now."""
    match before, now:
        case dict(), dict():
            pairs = [(name, now.get(name)) for name in before.keys() - TIMED]
            found = [lost(before[k], value, f"{place}.{k}") for k, value in pairs]
            return [*chain(*found)]
        case list(), list() if len(before) == len(now):
            found = [
                lost(*pair, f"{place}[]") for pair in zip(before, now, strict=True)
            ]
            return [*chain(*found)]
    return [] if before == now else [place]


def test_a_minor_version_keeps_the_layout(recording: Recording):
    assert recording.layout == layout.LAYOUT


def test_every_field_of_every_answer_is_as_it_was(
    recording: Recording, client: redis.Redis, valkey: str
):
    now = read(recording, valkey)

    assert len(now) > 20
    assert lost(recording.reads, now) == []


@pytest.mark.parametrize("now", [[{"id": "1"}], [{"id": "1", "status": "x"}], [], None])
def test_a_field_that_is_gone_or_different_is_found(now: Any):
    before = {"path": [{"id": "1", "status": "Sent", "nextRun": "today"}]}
    added = {"path": [{"id": "1", "status": "Sent", "nextRun": "tomorrow", "new": 1}]}

    assert lost(before, added) == []
    assert lost(before, {"path": now}) != []


def test_fields_that_only_a_later_version_knows_change_nothing(
    recording: Recording, client: redis.Redis, valkey: str
):
    for name in [*client.scan_iter(f"{PREFIX}[es]:*", _type="HASH")]:
        client.hset(name, "later", "x")

    assert lost(recording.reads, read(recording, valkey)) == []
    assert [*walk.check(Cell(client, PREFIX))] == []


def test_the_store_has_no_fault_and_nothing_is_quarantined(
    client: redis.Redis, valkey: str
):
    cell = Cell(client, PREFIX)

    assert [*walk.check(cell), *walk.quarantined(cell)] == []


def test_its_events_are_delivered(client: redis.Redis):
    engine = Engine(client, PREFIX)
    later_ms = Cell(client, PREFIX).now_ms() + HOUR_MS
    offered = engine.offer(now_ms=later_ms).ids
    begun = engine.worker(later_ms).begin(*offered)
    for each in begun:
        engine.settle(each, "delivered", now_ms=later_ms, status=200)

    assert len(begun) > 3
    assert [*walk.check(engine.cell_at(None))] == []
    assert client.zcard(keys.leased(PREFIX)) == 0
