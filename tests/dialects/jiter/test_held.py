"""Tests of what a client sees of events that wait for their destination."""

from tests.dialects.breakers import open_origin
from tests.dialects.jiter.conftest import MINUTE_MS, Api

HOOK = "https://example.com/hook"


def test_a_held_event_names_its_destination_and_since_when(api: Api) -> None:
    event = api.create(destination=HOOK)
    now_ms = api.cell.now_ms() + MINUTE_MS
    open_origin(api.engine.worker(now_ms), api.owner.tenant, HOOK)
    path = f"/api/events/{event['id']}"
    _, before = api.call("GET", path)
    api.engine.worker(now_ms).begin(*api.engine.offer(now_ms=now_ms).ids)

    _, held = api.call("GET", path)
    [listed] = api.call("GET", "/api/events")[1]
    assert (held["heldBy"], held["status"]) == ("https://example.com", "Pending")
    assert held["heldSince"].endswith("Z")
    assert listed["heldBy"] == held["heldBy"]
    assert "heldBy" not in before
