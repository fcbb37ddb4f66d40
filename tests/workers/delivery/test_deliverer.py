"""Tests of attempts that fail when little or no time is left for a retry."""

import asyncio
import pytest
from collections.abc import Mapping
from scheduler_api.core.delivery.causes import SENTENCES, Cause, cause_of
from scheduler_api.core.model import Content, Outcome
from scheduler_api.core.store import codec
from scheduler_api.core.store.content_encryption import UnknownKey
from scheduler_api.core.store.leases import Settlement
from scheduler_api.core.tenants.secrets import Secrets
from scheduler_api.dialects.outbound import SECRETS
from scheduler_api.dialects.qstash.parsing.message import Callback, Message, to_options
from scheduler_api.settings import Settings
from tests import attempts
from tests.workers.http_client.sending import answered
from typing import Any, cast
from workers.delivery.deliverer import Deliverer
from workers.http_client.client import Result

SECOND_MS = 1_000
TOOK_MS = 40
MESSAGE = Message(
    retries=3,
    retry_delay="2000",
    failure_callback=Callback("https://callback.example/"),
)


class FakeHttpClient:
    """A client that gets a 500 response to every request."""

    async def send(self, *_: Any, **__: Any) -> Result:
        return answered(500, total_ms=TOOK_MS)


class FakeKeyRing:
    """A key ring with new secrets for every call."""

    async def of(self, _: str) -> Secrets:
        return Secrets({name: make() for name, make in SECRETS.items()})


def settle(
    left_ms: int | None,
    *,
    options: Mapping[str, object] = to_options(MESSAGE),
    dialect: str = "qstash",
) -> Settlement:
    content = Content("https://receiver.example/", b"", options)
    begun = attempts.begun(dialect, content, schedule="7", left_ms=left_ms)
    settings = Settings(redis_url="redis://localhost", secret_key="k" * 32)
    http_client, key_ring = cast(Any, FakeHttpClient()), cast(Any, FakeKeyRing())
    unused = cast(Any, None)
    deliverer = Deliverer(unused, http_client, key_ring, unused, settings=settings)
    settlement = asyncio.run(deliverer.deliver(begun, may_write=lambda: True))
    assert settlement is not None
    return settlement


@pytest.mark.parametrize("left_ms", [None, 2 * SECOND_MS + TOOK_MS])
def test_a_retry_that_begins_before_the_end_is_planned(left_ms: int | None):
    settlement = settle(left_ms)

    assert (settlement.outcome, settlement.delay_ms) == (Outcome.RETRY, 2 * SECOND_MS)
    assert settlement.follow_ups == ()


def test_an_event_without_time_for_a_retry_is_dead_and_has_a_failure_callback():
    settlement = settle(2 * SECOND_MS + TOOK_MS - 1)

    assert (settlement.outcome, settlement.reason) == (Outcome.DEAD, "end")
    [callback] = settlement.follow_ups
    assert callback.content.url == "https://callback.example/"


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        ({"options": {"unknown": 1}}, "unreadable"),
        ({"dialect": "unknown"}, "undeliverable"),
    ],
)
def test_an_event_that_cannot_be_sent_is_dead_and_has_a_cause(
    damage: dict[str, Any], code: str
):
    settlement = settle(None, **damage)

    assert (settlement.outcome, settlement.reason) == (Outcome.DEAD, code)
    entry = codec.decode_attempt("7", b"1", b"a 9 0 " + settlement.log_entry)
    found = cause_of(entry)
    assert found == Cause(code, SENTENCES[code])


class ForeignContent:
    """A store whose content was encrypted with an unknown key."""

    async def fetch(self, _: Any) -> Any:
        raise UnknownKey("content: no SECRET_KEY has the id 00000000")


def test_s24_an_event_whose_key_this_worker_lacks_waits_for_another_worker():
    begun = attempts.begun("jiter")
    settings = Settings(redis_url="redis://localhost", secret_key="k" * 32)
    unused = cast(Any, None)
    deliverer = Deliverer(
        cast(Any, ForeignContent()), unused, unused, unused, settings=settings
    )

    settlement = asyncio.run(deliverer.deliver(begun, may_write=lambda: True))

    assert settlement is not None
    assert (settlement.outcome, settlement.reason) == (Outcome.RETRY, "")
    assert settlement.delay_ms > 0
