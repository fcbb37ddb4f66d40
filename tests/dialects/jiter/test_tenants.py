"""Keys, and what one tenant can know of another: nothing (S-27, S-29)."""

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
def test_no_route_answers_to_a_wrong_key(
    api: Any, method: str, path: str, key: str
) -> None:
    assert api.call(method, path, headers={"x-api-key": key}) == UNAUTHORIZED


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_no_route_answers_without_a_key(api: Any, method: str, path: str) -> None:
    with api.app.test_client() as client:
        answer = client.open(path, method=method)

    assert (answer.status_code, answer.get_json()) == UNAUTHORIZED


def test_key_elsewhere_is_no_key(api: Any) -> None:
    with api.app.test_client() as client:
        answer = client.get(
            f"/api/events?x-api-key={api.token}",
            headers={"Authorization": f"Bearer {api.token}"},
        )

    assert answer.status_code == 401


@pytest.mark.parametrize("name", ["x-api-key", "X-API-KEY", "X-Api-Key"])
def test_header_name_may_be_in_any_case(api: Any, name: str) -> None:
    with api.app.test_client() as client:
        answer = client.get("/api/events", headers={name: api.token})

    assert answer.status_code == 200


def test_every_route_of_the_dialect_is_among_the_tested(api: Any) -> None:
    rules = {
        (method, rule.rule.replace("<event_id>", "1").replace("<cron_id>", "1").lower())
        for rule in api.app.url_map.iter_rules()
        if rule.rule.startswith("/api")
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }

    assert rules == {(method, path.lower()) for method, path in ROUTES}


def test_foreign_ids_are_not_found_and_nothing_happens_to_them(make_api: Make) -> None:
    mine, other = make_api(), make_api()
    event, job = mine.create(), mine.create_cron()

    for method, path in ROUTES:
        if not path.endswith("1"):
            continue
        foreign = job if "cron" in path else event
        target = f"{path[:-1]}{foreign['id']}"
        body = {"payload": "stolen", "status": "Cancelled"} if method == "PUT" else None
        assert other.call(method, target, body)[0] == 404

    assert mine.call("GET", "/api/events") == (200, [event])
    assert mine.call("GET", f"/api/cronjobs/{job['id']}") == (200, job)


def test_lists_show_only_ones_own(make_api: Make) -> None:
    mine, other = make_api(), make_api()
    event, job = mine.create(), mine.create_cron()
    own = other.past(ago_ms=1000)
    other.attempt(own, "delivered", status=200)

    assert [e["id"] for e in mine.call("GET", "/api/events")[1]] == [event["id"]]
    assert [e["id"] for e in other.call("GET", "/api/events")[1]] == [own]
    assert [j["id"] for j in mine.call("GET", "/api/cronjobs")[1]] == [job["id"]]
    assert other.call("GET", "/api/cronjobs") == (200, [])


def test_org_is_the_tenant_of_the_key(make_api: Make) -> None:
    orgs = [make_api().create()["org"] for _ in range(2)]

    assert orgs == ["1", "2"]


def test_events_of_another_dialect_are_not_shown(api: Any) -> None:
    owner = Owner(api.owner.tenant, "qstash")
    at_ms = api.cell.now_ms() + 60_000
    content = Content("http://example.com", b"\xff")
    foreign = api.store.create(
        owner, Draft(content, 1, at_ms=at_ms, must_be_future=True)
    )

    assert foreign.id == to_id(1)
    assert api.call("GET", "/api/events") == (200, [])
    assert api.call("GET", "/api/events/1")[0] == 404
