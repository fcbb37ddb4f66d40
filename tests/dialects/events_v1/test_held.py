"""Tests of what a client sees of callbacks that wait for their destination."""

from tests.dialects.breakers import open_origin
from tests.dialects.events_v1.conftest import Api
from tests.dialects.events_v1.test_runs import run, runs

HOOK = "https://example.com/hook"


def test_the_history_names_the_destination_that_holds_a_callback(api: Api):
    event_id = api.create(callbackUrl=HOOK)["eventId"]
    now_ms = api.cell.now_ms()
    open_origin(api.worker(now_ms), api.owner.tenant, HOOK)
    run(api, event_id)
    before = runs(api, event_id)
    assert not api.fire(event_id, now_ms=api.cell.now_ms())

    [held] = runs(api, event_id)
    assert (held["state"], held["heldBy"]) == ("waiting", "https://example.com")
    assert held["heldSince"].endswith("Z")
    assert "heldBy" not in before[0]


def test_an_edit_does_not_change_what_holds_an_older_callback(api: Api):
    event_id = api.create(callbackUrl=HOOK)["eventId"]
    open_origin(api.worker(api.cell.now_ms()), api.owner.tenant, HOOK)
    run(api, event_id)
    api.fire(event_id, now_ms=api.cell.now_ms())
    url = "https://other.example/"
    api.data("PATCH", f"/v1/events/{event_id}", {"callbackUrl": url})

    [held] = runs(api, event_id)
    assert held["heldBy"] == "https://example.com"


def test_a_resumed_event_names_the_destination_that_holds_its_callbacks(api: Api):
    event_id = api.create(callbackUrl=HOOK)["eventId"]
    path = f"/v1/events/{event_id}"
    api.data("POST", f"{path}/pause")
    open_origin(api.worker(api.cell.now_ms()), api.owner.tenant, HOOK)
    with api.app.test_client() as client:
        response = client.post(
            f"{path}/resume", headers={"X-API-Key": api.tenant.token}
        )

    assert response.status_code == 200
    assert response.headers["Scheduler-Held-By"] == "https://example.com"
