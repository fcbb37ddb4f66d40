"""Fixtures that start the web application on a real store."""

import pytest
import redis
from collections.abc import Callable, Iterator
from functools import cache
from scheduler_api.dialects.qstash.endpoints import signing_keys
from scheduler_api.settings import Settings
from tests.dialects.engine import Web, new_web, settings_with
from typing import Any
from werkzeug.routing import Rule


@pytest.fixture(scope="session", autouse=True)
def fast_start() -> Iterator[None]:
    """Applications start in a third of the time, because most tests start one.

    The digest of the same settings is calculated once. Code that builds URLs is
    compiled when a rule builds its first URL.
    """
    compile_builder = Rule._compile_builder

    def compile_later(rule: Rule, append_unknown: bool = True) -> Callable[..., Any]:
        compiled = cache(lambda: compile_builder(rule, append_unknown))

        def build(*args: Any, **values: Any) -> Any:
            return compiled()(*args, **values)

        return build

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rule, "_compile_builder", compile_later)
        patch.setattr(Settings, "digest", cache(Settings.digest))
        yield


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rotation of keys does not wait for the caches of workers."""
    monkeypatch.setattr(signing_keys, "SECRETS_CACHED_S", 0)


@pytest.fixture
def store_url(valkey: str) -> Iterator[str]:
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
    yield valkey


@pytest.fixture
def make_web(store_url: str) -> Callable[..., Web]:
    """A function that returns an application with a new tenant.

    The function passes its arguments to `settings_with`.
    """

    def make(kind: type | None = None, **changes: Any) -> Web:
        return new_web(settings_with(kind, changes, redis_url=store_url))

    return make
