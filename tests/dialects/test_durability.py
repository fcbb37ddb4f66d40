"""Tests that requests wait until their writes are on disk, or on replicas."""

import pytest
import redis
from collections.abc import Callable, Iterator
from scheduler_api.core.settings.durability import Durability
from scheduler_api.core.store import confirmation
from tests.dialects.engine import Web, new_web, settings_with
from tests.system.processes import wait_until

URL = "https://receiver.example/hook"
EVENT = {"destination": URL, "scheduledTime": "2999-01-01T00:00:00Z", "payload": "{}"}


@pytest.fixture(autouse=True)
def short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that is never confirmed is given up soon."""
    monkeypatch.setattr(confirmation, "TIMEOUT_MS", 50)


@pytest.fixture
def web_on_disk(own_valkey: tuple[str, int]) -> Iterator[Web]:
    """An application whose store writes to its disk."""
    url, _ = own_valkey
    client = redis.Redis.from_url(url)
    client.config_set("appendonly", "yes")
    client.config_set("appendfsync", "always")
    wait_until(lambda: not client.info("persistence")["aof_rewrite_in_progress"])
    yield new_web(settings_with(None, {}, redis_url=url))
    client.close()


def post(web: Web, wait_for: str | None = None) -> tuple[int, str]:
    """Publish in the QStash dialect; return the status and the body."""
    headers = {"Authorization": f"Bearer {web.tenant.token}"}
    if wait_for is not None:
        headers["Scheduler-Wait-For"] = wait_for
    client = web.app.test_client()
    response = client.post(f"/v2/publish/{URL}", headers=headers)
    return response.status_code, response.get_data(as_text=True)


def pending(web: Web) -> int:
    return len(list(web.cell.client.scan_iter("{s1}:e:*")))


def test_a_write_is_answered_when_it_is_on_disk(web_on_disk: Web):
    status, _ = post(web_on_disk, "disk")

    assert status == 201


def test_r08_a_write_that_no_disk_can_confirm_gets_503(make_web: Callable[..., Web]):
    web = make_web()

    status, text = post(web, "disk")

    assert status == 503
    assert text.startswith('{"error":"Stored, but not confirmed:')
    assert pending(web) == 1


def test_r09_a_write_without_enough_replicas_gets_503(make_web: Callable[..., Web]):
    status, text = post(make_web(), "replicas=1")

    assert status == 503
    assert "Stored, but after 0.05 s on 0 of 1 replicas. If you send it" in text


def test_the_setting_applies_unless_the_request_says_otherwise(
    make_web: Callable[..., Web],
):
    web = make_web(wait_for=Durability(replicas=1))

    assert post(web)[0] == 503
    assert post(web, "memory")[0] == 201


def test_a_request_that_only_reads_waits_for_nothing(make_web: Callable[..., Web]):
    web = make_web(wait_for=Durability(replicas=1))
    headers = {"Authorization": f"Bearer {web.tenant.token}"}

    response = web.app.test_client().get("/v2/queues", headers=headers)

    assert response.status_code == 200


@pytest.mark.parametrize("path", ["/v2/publish/" + URL, "/api/events", "/v1/events"])
def test_a_malformed_header_is_refused_before_anything_is_stored(
    make_web: Callable[..., Web], path: str
):
    web = make_web()
    token = web.tenant.token
    headers = {
        "Authorization": f"Bearer {token}",
        "x-api-key": token,
        "Scheduler-Wait-For": "tape",
    }

    response = web.app.test_client().post(path, headers=headers, json=EVENT)

    assert response.status_code == 400
    assert "Scheduler-Wait-For should be memory, disk" in response.get_data(True)
    assert pending(web) == 0
