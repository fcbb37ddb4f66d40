"""Tests of API keys and of the isolation of tenants (S-27, S-29)."""

import pytest
from collections.abc import Callable
from scheduler_api.core.ids import to_id
from scheduler_api.core.model import Content, Draft, Owner
from typing import Any

Make = Callable[..., Any]
UNAUTHORIZED = (401, {"message": "Please provide a valid API key"})
ROUTES = [
    ("POST", "/api/events"),
    ("GET", "/api/events"),
    ("GET", "/api/events/1"),
    ("PUT", "/api/events/1"),
    ("POST", "/api/events/1/replay"),
    ("POST", "/api/cronjobs"),
    ("GET", "/api/cronJobs"),
    ("GET", "/api/cronjobs/1"),
    ("PUT", "/api/cronjobs/1"),
    ("DELETE", "/api/cronJobs/1"),
    ("POST", "/api/cronjobs/1/run"),
    ("POST", "/api/cronJobs/1/run"),
    ("GET", "/api/cronjobs/1/runs"),
    ("GET", "/api/cronJobs/1/runs"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "key", ["", " ", "x", "sched_", "é", "\xff" * 1000, "{s1}:tn:1", "*", "x" * 10_000]
)
def test_every_route_refuses_a_wrong_key(
    api: Any, method: str, path: str, key: str
) -> None:
    assert api.call(method, path, headers={"x-api-key": key}) == UNAUTHORIZED


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_refuses_a_request_without_a_key(
    api: Any, method: str, path: str
) -> None:
    with api.app.test_client() as client:
        response = client.open(path, method=method)

    assert (response.status_code, response.get_json()) == UNAUTHORIZED


def test_a_key_in_the_query_or_as_a_bearer_token_is_refused(api: Any) -> None:
    with api.app.test_client() as client:
        response = client.get(
            f"/api/events?x-api-key={api.token}",
            headers={"Authorization": f"Bearer {api.token}"},
        )

    assert response.status_code == 401


@pytest.mark.parametrize("name", ["x-api-key", "X-API-KEY", "X-Api-Key"])
def test_the_name_of_the_header_is_case_insensitive(api: Any, name: str) -> None:
    with api.app.test_client() as client:
        response = client.get("/api/events", headers={name: api.token})

    assert response.status_code == 200


def test_all_routes_of_the_dialect_are_tested(api: Any) -> None:
    rules = {
        (method, rule.rule.replace("<event_id>", "1").replace("<cron_id>", "1").lower())
        for rule in api.app.url_map.iter_rules()
        if rule.rule.startswith("/api")
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }

    assert rules == {(method, path.lower()) for method, path in ROUTES}


def test_another_tenant_cannot_read_or_change_anything(make_api: Make) -> None:
    own, other = make_api(), make_api()
    event, job = own.create(), own.create_cron()

    for method, path in ROUTES:
        if not path.endswith("1"):
            continue
        target = job if "cron" in path else event
        target_path = f"{path[:-1]}{target['id']}"
        body = {"payload": "stolen", "status": "Cancelled"} if method == "PUT" else None
        assert other.call(method, target_path, body)[0] == 404

    assert own.call("GET", "/api/events") == (200, [event])
    assert own.call("GET", f"/api/cronjobs/{job['id']}") == (200, job)


def test_lists_contain_only_the_tenant_s_own(make_api: Make) -> None:
    own, other = make_api(), make_api()
    event, job = own.create(), own.create_cron()
    other_event = other.create_past(ago_ms=1000)
    other.attempt(other_event, "delivered", status=200)

    assert [e["id"] for e in own.call("GET", "/api/events")[1]] == [event["id"]]
    assert [e["id"] for e in other.call("GET", "/api/events")[1]] == [other_event]
    assert [j["id"] for j in own.call("GET", "/api/cronjobs")[1]] == [job["id"]]
    assert other.call("GET", "/api/cronjobs") == (200, [])


def test_org_is_the_tenant_of_the_key(make_api: Make) -> None:
    orgs = [make_api().create()["org"] for _ in range(2)]

    assert orgs == ["1", "2"]


def test_events_of_another_dialect_are_not_found(api: Any) -> None:
    owner = Owner(api.owner.tenant, "qstash")
    at_ms = api.cell.now_ms() + 60_000
    content = Content("http://example.com", b"\xff")
    other = api.store.create(owner, Draft(content, 1, at_ms=at_ms, must_be_future=True))

    assert other.id == to_id(1)
    assert api.call("GET", "/api/events") == (200, [])
    assert api.call("GET", "/api/events/1")[0] == 404
