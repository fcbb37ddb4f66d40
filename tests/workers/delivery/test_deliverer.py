"""Tests of attempts that fail when little or no time is left for a retry."""

import asyncio
import itertools
import pytest
from collections.abc import Mapping
from dataclasses import replace
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
from workers.delivery.freezes import Freezes
from workers.delivery.own_faults import OwnFaults
from workers.delivery.suspicion import Suspicion
from workers.http_client.client import Request, Result
from workers.http_client.failures import Failure

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


class DeadEnd:
    """A client that reaches the receivers whose URLs contain `up`, and no other."""

    async def send(self, request: Request, **_: Any) -> Result:
        if "up" in request.url:
            return answered(200)
        return replace(
            answered(500), status=None, error=Failure.UNREACHABLE, dispatched=False
        )


class FakeKeyRing:
    """A key ring with new secrets for every call."""

    async def of(self, _: str) -> Secrets:
        return Secrets({name: make() for name, make in SECRETS.items()})


def make_deliverer(
    http_client: object = None, *, own_faults: OwnFaults | None = None
) -> Deliverer:
    settings = Settings(redis_url="redis://localhost", secret_key="k" * 32)
    unused = cast(Any, None)
    return Deliverer(
        unused,
        cast(Any, http_client or FakeHttpClient()),
        cast(Any, FakeKeyRing()),
        unused,
        settings=settings,
        own_faults=own_faults,
    )


def settle(
    left_ms: int | None,
    *,
    options: Mapping[str, object] = to_options(MESSAGE),
    dialect: str = "qstash",
) -> Settlement:
    content = Content("https://receiver.example/", b"", options)
    begun = attempts.begun(dialect, content, schedule="7", left_ms=left_ms)
    settlement = asyncio.run(make_deliverer().deliver(begun, may_write=lambda: True))
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


def last_attempts(*hosts: str, suspicion: Suspicion) -> list[Outcome]:
    """Make the last attempts of events at the same time, one at each host."""
    own_faults = OwnFaults(suspicion, Freezes(clock=lambda: 0.0))
    deliverer = make_deliverer(DeadEnd(), own_faults=own_faults)
    options = to_options(Message(retries=0))

    async def attempt(host: str) -> Outcome:
        begun = attempts.begun(
            "qstash",
            Content(f"http://{host}/", b"", options),
            origin=f"d:1:{host}",
            id=host,
        )
        return (await deliverer.deliver(begun, may_write=lambda: True)).outcome

    async def attempt_all() -> list[Outcome]:
        return await asyncio.gather(*map(attempt, hosts))

    return asyncio.run(attempt_all())


def test_r20_the_first_failures_of_a_sick_worker_make_no_event_dead():
    outcomes = last_attempts("a", "b", "c", "d", "e", suspicion=Suspicion())

    assert outcomes == [Outcome.UNSENT] * 5


def test_a_last_attempt_counts_as_soon_as_another_one_has_a_response():
    stopped = Suspicion(clock=lambda: 0.0)

    outcomes = last_attempts("a", "b", "up", suspicion=stopped)

    assert outcomes == [Outcome.DEAD, Outcome.DEAD, Outcome.DELIVERED]


def test_a_last_attempt_counts_if_there_is_no_other():
    ticks = itertools.count()

    outcomes = last_attempts("a", suspicion=Suspicion(clock=lambda: float(next(ticks))))

    assert outcomes == [Outcome.DEAD]
