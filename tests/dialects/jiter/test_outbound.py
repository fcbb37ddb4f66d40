"""Tests of the HTTP request to a destination, and of its retries."""

import base64
import hashlib
import hmac
import json
import pytest
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from hypothesis import given
from hypothesis import strategies as st
from scheduler_api.core.delivery.request import Outgoing
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import Begun, Content, Outcome
from scheduler_api.core.tenants.secrets import Secrets
from scheduler_api.dialects.jiter.credentials import SIGNING_SECRET
from scheduler_api.dialects.jiter.outbound import JiterOutbound, body_bytes, stringify
from scheduler_api.dialects.jiter.settings import JiterSettings
from scheduler_api.settings import Settings
from tests import attempts

SECRETS = Secrets({SIGNING_SECRET: "sécret"})
WANTED_MS = 1_700_000_000_123
SCHEDULED = '"scheduledTime":"2023-11-14T22:13:20.123Z"}'
CONTENT = Content("https://example.com/a//b?c=%2F", "né\u2028".encode())
BEGUN = attempts.begun("jiter", CONTENT, wanted_ms=WANTED_MS)
SETTINGS = Settings(redis_url="redis://localhost", secret_key="k" * 32)
JITER = JiterOutbound(SETTINGS)


@dataclass(frozen=True)
class Reply:
    """The result of an attempt."""

    status: int | None = 500
    error: str | None = None
    detail: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    started_ms: int = WANTED_MS
    total_ms: float = 0


def _render(begun: Begun = BEGUN, *, now_ms: int = 5, legacy: bool = True) -> Outgoing:
    settings = replace(SETTINGS, dialects=(JiterSettings(legacy_signature=legacy),))
    return JiterOutbound(settings).render(begun, secrets=SECRETS, now_ms=now_ms)


def _delay_ms(failures: int, reply: Reply) -> int | None:
    decision = JITER.conclude(replace(BEGUN, failures=failures), reply)
    return decision.delay_ms if decision.outcome is Outcome.RETRY else None


def _is_delivered(reply: Reply) -> bool:
    return JITER.conclude(BEGUN, reply).outcome is Outcome.DELIVERED


def _hmac(message: bytes) -> str:
    digest = hmac.new("sécret".encode(), message, hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def _as_javascript(text: str) -> bytes:
    """Encode a text as JSON, as JavaScript's `JSON.stringify` does.

    Lone surrogates are escaped. Other characters outside ASCII are not escaped.
    """
    dumped = json.dumps(text, ensure_ascii=False)
    return re.sub(
        "[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", dumped
    ).encode()


def test_s21_the_old_secret_signs_until_the_new_one_does():
    begun = attempts.begun("jiter", Content("https://example.com/", b"x"))
    replaced = Secrets({SIGNING_SECRET: "new"}, {SIGNING_SECRET: [(100, "old")]})

    for now_ms, secret in ((99, "old"), (100, "new")):
        request = JITER.render(begun, secrets=replaced, now_ms=now_ms)
        only = JITER.render(
            begun, secrets=Secrets({SIGNING_SECRET: secret}), now_ms=now_ms
        )
        assert request.headers == only.headers


def test_the_request_is_a_post_to_the_unchanged_url() -> None:
    outgoing = _render()

    assert outgoing.method == "POST"
    assert outgoing.url == "https://example.com/a//b?c=%2F"
    assert outgoing.timeout_ms == 10_000


def test_the_body_has_payload_and_scheduled_time_in_this_order() -> None:
    expected = '{"payload":"né\u2028",' + SCHEDULED

    assert _render().body == expected.encode()


def test_the_signature_covers_the_timestamp_and_the_body() -> None:
    outgoing = _render(now_ms=1_700_000_000_999)

    assert dict(outgoing.headers) == {
        "Content-Type": "application/json",
        "X-Jiter-Request-Timestamp": "1700000000999",
        "X-Jiter-Signature": _hmac(b"1700000000999:" + outgoing.body),
        "Jiter-Signature": _hmac("né\u2028".encode()),
        "Scheduler-Event-Id": "7",
        "Scheduler-Attempt": "1",
    }


def test_each_attempt_has_its_own_signature_of_the_same_body() -> None:
    first, second = _render(now_ms=1), _render(replace(BEGUN, attempt=2), now_ms=2)

    assert first.body == second.body
    assert first.signed != second.signed


def test_the_legacy_signature_can_be_switched_off() -> None:
    outgoing = _render(legacy=False)

    assert "Jiter-Signature" not in dict(outgoing.headers)
    assert set(outgoing.signed) == {"X-Jiter-Request-Timestamp", "X-Jiter-Signature"}


def test_the_headers_have_the_public_event_id_and_the_attempt_number() -> None:
    event = _render(replace(BEGUN, id="10", attempt=3, failures=2))
    execution = _render(replace(BEGUN, id="z.1700000000", schedule="z"))

    assert dict(event.headers)["Scheduler-Event-Id"] == "36"
    assert dict(event.headers)["Scheduler-Attempt"] == "3"
    assert dict(execution.headers)["Scheduler-Event-Id"] == "35.1700000000"


def test_r12_an_attempt_after_an_interrupted_one_sends_and_logs_a_warning() -> None:
    interrupted, failed = (
        replace(BEGUN, attempt=2),
        replace(BEGUN, attempt=2, failures=1),
    )
    name = "Scheduler-Possible-Duplicate"

    assert (
        dict(_render(interrupted).headers)[name]
        == _render(interrupted).signed[name]
        == "true"
    )
    assert name not in dict(_render(failed).headers)


def test_the_logged_headers_are_sent() -> None:
    outgoing = _render()

    assert outgoing.signed.items() <= dict(outgoing.headers).items()


def test_rendering_without_the_content_is_an_error() -> None:
    with pytest.raises(UnreadableRecord):
        _render(replace(BEGUN, content=None))


@pytest.mark.parametrize(
    ("payload", "written"),
    [
        ("", '""'),
        ("a / b <>&' \x7f", '"a / b <>&\' \x7f"'),
        ("é 漢 😀 \u2028 \u2029 \ufeff", '"é 漢 😀 \u2028 \u2029 \ufeff"'),
        ('" \\', '"\\" \\\\"'),
        ("\b\t\n\f\r", '"\\b\\t\\n\\f\\r"'),
        ("\x00\x01\x0b\x1f", '"\\u0000\\u0001\\u000b\\u001f"'),
        ("\ud83d", '"\\ud83d"'),
        ("a\udc00\ud800é", '"a\\udc00\\ud800é"'),
        ('{"n": 1.0, "n":2}', '"{\\"n\\": 1.0, \\"n\\":2}"'),
    ],
)
def test_the_payload_is_encoded_as_by_json_stringify(
    payload: str, written: str
) -> None:
    stored = payload.encode("utf-8", "surrogatepass")

    body = body_bytes(stored, scheduled_ms=WANTED_MS)

    assert body == ('{"payload":' + written + "," + SCHEDULED).encode()


def test_every_bmp_character_is_encoded_as_by_json_stringify() -> None:
    for start in range(0, 0x10000, 0x100):
        text = "".join(f"{chr(code)} " for code in range(start, start + 0x100))

        assert stringify(text) == _as_javascript(text)


@given(st.text(st.characters(exclude_categories=[]), max_size=40))
def test_property_parsing_the_body_returns_the_payload(payload: str) -> None:
    stored = payload.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")

    body = body_bytes(stored.encode("utf-8", "surrogatepass"), scheduled_ms=WANTED_MS)

    assert json.loads(body)["payload"] == stored
    assert body.startswith(b'{"payload":' + _as_javascript(stored) + b",")


def test_three_retries_after_3_5_and_10_seconds() -> None:
    delays = [_delay_ms(failures, Reply()) for failures in range(5)]

    assert delays == [3_000, 5_000, 10_000, None, None]


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_status_from_200_to_299_is_success(status: int) -> None:
    assert _is_delivered(Reply(status=status))


@pytest.mark.parametrize("status", [None, 100, 199, 300, 301, 307, 400, 404, 410, 500])
def test_any_other_status_is_a_failure_that_is_retried(status: int | None) -> None:
    reply = Reply(status=status)

    assert not _is_delivered(reply)
    assert _delay_ms(0, reply) == 3_000


def test_an_incomplete_response_is_not_a_success() -> None:
    assert not _is_delivered(Reply(status=200, error="timeout"))


def test_retry_after_only_delays_a_retry() -> None:
    def delay_ms(value: str) -> int | None:
        return _delay_ms(1, Reply(429, headers=(("Retry-After", value),)))

    assert delay_ms("60") == 60_000
    assert delay_ms("1") == 5_000


def test_outbound_halves_import_no_web_framework() -> None:
    """A web framework would slow down the start of every worker."""
    code = (
        "import sys, scheduler_api.dialects.outbound as _;"
        "print({'flask', 'marshmallow', 'werkzeug'} & set(sys.modules))"
    )

    response = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert response.stdout == "set()\n"
