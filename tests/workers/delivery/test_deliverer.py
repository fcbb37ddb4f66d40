"""What a deliverer makes of an attempt that failed shortly before its end."""

import asyncio
import pytest
from scheduler_api.core.model import Content, Outcome
from scheduler_api.core.store.leases import Settlement
from scheduler_api.core.tenants.accounts import Secrets
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
    failure_callback=Callback("https://told.example/"),
)


class HttpClient:
    """Everybody answers 500."""

    async def send(self, *_: Any, **__: Any) -> Result:
        return answered(500, total_ms=TOOK_MS)


class Keys:
    """Everybody has the same keys."""

    async def of(self, _: str) -> Secrets:
        return Secrets({name: make() for name, make in SECRETS.items()})


def settle(left_ms: int | None) -> Settlement:
    content = Content("https://receiver.example/", b"", to_options(MESSAGE))
    begun = attempts.begun("qstash", content, schedule="7", left_ms=left_ms)
    settings = Settings(redis_url="redis://localhost", secret_key="k" * 32)
    nobody = cast(Any, None)
    deliverer = Deliverer(
        nobody, cast(Any, HttpClient()), cast(Any, Keys()), nobody, settings=settings
    )
    settled = asyncio.run(deliverer.deliver(begun, may_write=lambda: True))
    assert settled is not None
    return settled


@pytest.mark.parametrize("left_ms", [None, 2 * SECOND_MS + TOOK_MS])
def test_a_retry_before_the_end_is_planned(left_ms: int | None):
    settled = settle(left_ms)

    assert (settled.outcome, settled.delay_ms) == (Outcome.RETRY, 2 * SECOND_MS)
    assert settled.follow_ups == ()


def test_where_no_retry_can_begin_before_the_end_the_failure_is_told():
    settled = settle(2 * SECOND_MS + TOOK_MS - 1)

    assert (settled.outcome, settled.reason) == (Outcome.DEAD, "end")
    assert [each.content.url for each in settled.follow_ups] == [
        "https://told.example/"
    ]
