"""Tests of reading and rotating signing keys, through the HTTP API."""

import pytest
import redis
import time
from collections.abc import Callable
from scheduler_api.core.store import keys
from scheduler_api.core.tenants.accounts import SECRETS_CACHED_S
from scheduler_api.dialects.qstash.credentials import CURRENT_KEY, NEXT_KEY
from scheduler_api.dialects.qstash.endpoints import signing_keys
from typing import Any

Make = Callable[..., Any]
DAY_MS = 86_400_000


def get(api: Any) -> Any:
    status, pair = api.call("GET", "/v2/keys")
    assert (status, set(pair)) == (200, {"current", "next"})
    return pair


def rotate(api: Any, query: str = "") -> Any:
    status, answer = api.call("POST", f"/v2/keys/rotate{query}")
    assert status == 200, answer
    assert {name: answer[name] for name in ("current", "next")} == get(api)
    return answer


def age_rotation(api: Any, by_ms: int) -> None:
    """Move the time of the last rotation `by_ms` milliseconds into the past."""
    client: redis.Redis = api.cell.client
    client.hincrby(
        keys.tenant(api.cell.prefix, api.owner.tenant), "qstash.rotated", -by_ms
    )


def test_the_keys_are_those_that_sign_deliveries(api: Any) -> None:
    secrets = api.tenants.secrets(api.owner.tenant)

    assert get(api) == {
        "current": secrets[CURRENT_KEY],
        "next": secrets[NEXT_KEY],
    }


def test_the_old_and_the_new_pair_share_the_new_current_key(api: Any) -> None:
    old = get(api)
    new = rotate(api)

    assert new["current"] == old["next"]
    assert new["next"] not in old.values()
    assert new["rotated"] == "both"
    assert "breaks" not in new


def test_a_second_rotation_within_the_grace_replaces_only_next(api: Any) -> None:
    first = rotate(api)
    age_rotation(api, DAY_MS - 60_000)
    second = rotate(api)

    assert second["current"] == first["current"]
    assert second["next"] != first["next"]
    assert second["rotated"] == "next"
    assert "breaks" not in second


def test_every_rotation_starts_a_new_grace_period(api: Any) -> None:
    rotate(api)
    age_rotation(api, DAY_MS - 60_000)
    second = rotate(api)
    age_rotation(api, DAY_MS - 60_000)

    assert rotate(api)["current"] == second["current"]


def test_a_rotation_after_the_grace_replaces_both_keys(api: Any) -> None:
    first = rotate(api)
    age_rotation(api, DAY_MS)
    second = rotate(api)

    assert second["current"] == first["next"]
    assert second["rotated"] == "both"


def test_a_forced_rotation_replaces_both_keys_and_reports_what_breaks(api: Any) -> None:
    first = rotate(api)
    second = rotate(api, "?force=true")

    assert second["current"] == first["next"]
    assert second["breaks"].startswith("pairs handed out before 20")


def test_a_rotation_answers_when_no_worker_uses_the_old_keys_any_more(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing_keys, "SECRETS_CACHED_S", SECRETS_CACHED_S)
    started_s = time.monotonic()
    rotate(api)

    assert time.monotonic() - started_s >= SECRETS_CACHED_S


def test_the_grace_period_is_a_setting(make_api: Make) -> None:
    api = make_api(rotation_grace_ms=0)

    assert rotate(api)["next"] == rotate(api)["current"]


@pytest.mark.parametrize("query", ["?force=yes", "?force", "?forse=true", "?force=&x"])
def test_bad_parameters_rotate_nothing(api: Any, query: str) -> None:
    before = get(api)

    assert api.call("POST", f"/v2/keys/rotate{query}")[0] == 400
    assert get(api) == before


def test_the_jiter_secret_is_unchanged(api: Any) -> None:
    before = api.tenants.secrets(api.owner.tenant)["jiter.signing"]
    rotate(api)

    assert api.tenants.secrets(api.owner.tenant)["jiter.signing"] == before


def test_other_tenants_keys_are_unchanged(make_api: Make) -> None:
    mine, other = make_api(), make_api()
    before = get(other)
    rotate(mine)

    assert get(other) == before
