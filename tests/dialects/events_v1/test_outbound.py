"""Tests of the HTTP request of a callback, and of its retries."""

import base64
import json
import pytest
import time
from dataclasses import dataclass, replace
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import Begun, Outcome
from scheduler_api.core.tenants.secrets import Secrets
from scheduler_api.dialects.events_v1 import rendering
from scheduler_api.dialects.events_v1.credentials import SIGNING_SECRET
from scheduler_api.dialects.events_v1.outbound import EventsV1Outbound
from scheduler_api.dialects.events_v1.settings import EventsV1Settings
from scheduler_api.settings import Settings
from standardwebhooks import Webhook, WebhookVerificationError
from tests import attempts

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
SECRETS = Secrets({SIGNING_SECRET: SECRET})
SETTINGS = Settings(redis_url="redis://store/0", secret_key="0123456789abcdef")
V1 = EventsV1Outbound(SETTINGS)
NOW_MS = 1_800_000_000_000
CONTEXT = {"é": "\u2028😀", "n": [1e-7, 12345678901234567890], "a.b": {"c": None}}
EVENT_ID = "00000000-0000-4000-8000-000000000007"


def begun(context: object = CONTEXT, **changes: object) -> Begun:
    content = rendering.content(
        "https://example.com/hook?x=%2F",
        event_owner="user@example.com",
        context=context,
        tags=["prod"],
    )
    base = attempts.begun("events_v1", content, id="7.1700000000", schedule="7")
    return replace(base, content_key="t:7:r", **changes)


def render(begun_event: Begun, settings: Settings = SETTINGS):
    return EventsV1Outbound(settings).render(
        begun_event, secrets=SECRETS, now_ms=_now_ms()
    )


def _now_ms() -> int:
    """The real time, because receivers refuse signatures with old timestamps."""
    return time.time_ns() // 1_000_000


@dataclass
class Reply:
    status: int | None = 500
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    error: str | None = None
    detail: str = ""
    started_ms: int = NOW_MS
    total_ms: float = 10


def test_the_body_is_the_context():
    request = render(begun())

    assert (request.method, request.url) == ("POST", "https://example.com/hook?x=%2F")
    assert json.loads(request.body) == CONTEXT
    assert "\u2028😀".encode() in request.body
    assert dict(request.headers)["Content-Type"] == "application/json"
    assert request.timeout_ms == 10_000


def test_the_body_without_a_context_is_an_empty_object():
    assert render(begun(None)).body == b"{}"
    assert rendering.context_of(begun(None).content) is None


def test_a_lone_surrogate_is_escaped():
    assert render(begun({"x": "\ud83d"})).body == b'{"x":"\\ud83d"}'


def test_s19_the_signature_covers_id_time_and_body():
    request = render(begun())

    headers = dict(request.headers)
    assert Webhook(SECRET).verify(request.body, headers) == CONTEXT
    assert headers["webhook-id"] == f"{EVENT_ID}_1700000000"
    assert "." not in headers["webhook-id"]
    assert headers["Scheduler-Event-Id"] == headers["webhook-id"]
    again = dict(render(begun(attempt=2, failures=1)).headers)
    assert again["webhook-id"] == headers["webhook-id"]
    assert again["Scheduler-Attempt"] == "2"


def test_s21_receivers_with_the_old_secret_or_the_new_one_verify():
    old, now_ms = "whsec_" + base64.b64encode(b"o" * 32).decode(), _now_ms()
    ended = "whsec_" + base64.b64encode(b"e" * 32).decode()
    replaced = [(now_ms, ended), (now_ms + 1, old)]
    secrets = Secrets({SIGNING_SECRET: SECRET}, {SIGNING_SECRET: replaced})

    request = V1.render(begun(), secrets=secrets, now_ms=now_ms)

    for secret in (old, SECRET):
        assert Webhook(secret).verify(request.body, dict(request.headers)) == CONTEXT
    with pytest.raises(WebhookVerificationError):
        Webhook(ended).verify(request.body, dict(request.headers))


def test_signatures_can_be_switched_off():
    unsigned = EventsV1Settings(signature=False)
    request = render(begun(), replace(SETTINGS, dialects=(unsigned,)))

    assert not [name for name, _ in request.headers if name.startswith("webhook-")]


def test_an_attempt_after_an_interrupted_one_has_a_warning_header():
    request = render(begun(attempt=2))

    assert dict(request.headers)["Scheduler-Possible-Duplicate"] == "true"
    assert request.signed["Scheduler-Possible-Duplicate"] == "true"


def test_a_failure_is_retried_after_3_5_and_10_seconds():
    decisions = [V1.conclude(begun(failures=n), Reply()) for n in range(4)]

    waits = [decision.delay_ms for decision in decisions]
    assert waits == [3_000, 5_000, 10_000, 0]
    assert decisions[-1].outcome is Outcome.DEAD


def test_r18_a_receiver_can_delay_the_retry():
    reply = Reply(status=503, headers=(("Retry-After", "7"),))

    assert V1.conclude(begun(), reply).delay_ms == 7_000


def test_rendering_without_the_content_is_an_error():
    with pytest.raises(UnreadableRecord):
        render(begun(content=None))


def test_the_contact_of_a_failure_is_the_event_owner():
    assert V1.conclude(begun(), Reply()).contact == "user@example.com"
