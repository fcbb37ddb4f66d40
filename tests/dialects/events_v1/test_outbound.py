"""What a callback is, and when it is tried again."""

import base64
import json
import pytest
import time
from dataclasses import dataclass, replace
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import Begun, Outcome
from scheduler_api.core.tenants.accounts import Secrets
from scheduler_api.dialects.events_v1 import rendering
from scheduler_api.dialects.events_v1.credentials import SIGNING_SECRET
from scheduler_api.dialects.events_v1.outbound import EventsV1Outbound
from scheduler_api.dialects.events_v1.settings import EventsV1Settings
from scheduler_api.settings import Settings
from standardwebhooks import Webhook
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
    plain = attempts.begun("events_v1", content, id="7.1700000000", schedule="7")
    return replace(plain, content_key="t:7:r", **changes)


def render(of: Begun, settings: Settings = SETTINGS):
    # Receivers look at the clock, so a time of the module's import would grow too old.
    now_ms = time.time_ns() // 1_000_000
    return EventsV1Outbound(settings).render(of, secrets=SECRETS, now_ms=now_ms)


@dataclass
class Reply:
    status: int | None = 500
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    error: str | None = None
    started_ms: int = NOW_MS
    total_ms: float = 10


def test_the_body_is_the_context_itself():
    sent = render(begun())

    assert (sent.method, sent.url) == ("POST", "https://example.com/hook?x=%2F")
    assert json.loads(sent.body) == CONTEXT
    assert "\u2028😀".encode() in sent.body
    assert dict(sent.headers)["Content-Type"] == "application/json"
    assert sent.timeout_ms == 10_000


def test_without_a_context_the_body_is_an_empty_object():
    assert render(begun(None)).body == b"{}"
    assert rendering.context_of(begun(None).content) is None


def test_a_lone_surrogate_is_sent_as_an_escape():
    assert render(begun({"x": "\ud83d"})).body == b'{"x":"\\ud83d"}'


def test_s19_the_signature_covers_id_time_and_body():
    sent = render(begun())

    headers = dict(sent.headers)
    assert Webhook(SECRET).verify(sent.body, headers) == CONTEXT
    assert headers["webhook-id"] == f"{EVENT_ID}_1700000000"
    assert "." not in headers["webhook-id"]
    assert headers["Scheduler-Event-Id"] == headers["webhook-id"]
    again = dict(render(begun(attempt=2, failures=1)).headers)
    assert again["webhook-id"] == headers["webhook-id"]
    assert again["Scheduler-Attempt"] == "2"


def test_signatures_can_be_switched_off():
    unsigned = EventsV1Settings(signature=False)
    sent = render(begun(), replace(SETTINGS, dialects=(unsigned,)))

    assert not [name for name, _ in sent.headers if name.startswith("webhook-")]


def test_an_attempt_after_a_lost_one_says_so():
    sent = render(begun(attempt=2))

    assert dict(sent.headers)["Scheduler-Possible-Duplicate"] == "true"
    assert sent.signed["Scheduler-Possible-Duplicate"] == "true"


def test_a_failure_is_tried_again_after_3_5_and_10_seconds():
    decisions = [V1.conclude(begun(failures=n), Reply()) for n in range(4)]

    waits = [each.delay_ms for each in decisions]
    assert waits == [3_000, 5_000, 10_000, 0]
    assert decisions[-1].outcome is Outcome.DEAD


def test_r18_a_receiver_may_ask_for_more_time():
    reply = Reply(status=503, headers=(("Retry-After", "7"),))

    assert V1.conclude(begun(), reply).delay_ms == 7_000


def test_content_that_was_not_fetched_cannot_be_sent():
    with pytest.raises(UnreadableRecord):
        render(begun(content=None))


def test_a_log_line_about_a_failure_names_the_owner_of_the_event():
    assert V1.conclude(begun(), Reply()).contact == "user@example.com"
