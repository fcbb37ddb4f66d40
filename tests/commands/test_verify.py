"""Tests of the command that verifies signatures."""

import json
import pytest
import time
from click.testing import CliRunner, Result
from collections.abc import Callable
from functools import partial
from pathlib import Path
from scheduler_api.cli import main
from scheduler_api.core.delivery.signing import standard_webhook
from scheduler_api.dialects.qstash.signing import jwt

URL, BODY = "https://example.com/orders", b'{"a":1}'
KEY, NEXT, SECRET = "sig_current", "sig_next", "whsec_c2VjcmV0LXNlY3JldA=="
VARIABLES = {
    "QSTASH_CURRENT_SIGNING_KEY": KEY,
    "QSTASH_NEXT_SIGNING_KEY": NEXT,
    "SCHEDULER_API_SIGNING_SECRET": SECRET,
}
LONG_AGO_MS = 600_000
Signed = Callable[[], list[str]]


def verify(*words: str, body: bytes = BODY, **environ: str) -> Result:
    return CliRunner().invoke(
        main, ["verify", *words], input=body, env=VARIABLES | environ
    )


def qstash(key: str = KEY, *, ago_ms: int = 0, url: str = URL) -> list[str]:
    """Options with the signature of a delivery to `URL`, and the URL to verify."""
    now_ms = int(time.time() * 1000) - ago_ms
    token = jwt(key, BODY, url=URL, jti="1", now_ms=now_ms)
    return ["-H", f"Upstash-Signature: {token}", "--url", url]


def webhook(*, ago_ms: int = 0) -> list[str]:
    """Options with the signature of a delivery as in Standard Webhooks."""
    now_ms = int(time.time() * 1000) - ago_ms
    headers = standard_webhook([SECRET], BODY, message_id="m", now_ms=now_ms)
    return [word for pair in headers.items() for word in ("-H", ": ".join(pair))]


@pytest.mark.parametrize(
    ("signed", "words", "key"),
    [
        (qstash, "", "QSTASH_CURRENT_SIGNING_KEY"),
        (partial(qstash, NEXT), "", "QSTASH_NEXT_SIGNING_KEY"),
        (partial(qstash, "sig_x"), "--key sig_y --key sig_x", "key 2"),
        (webhook, "", "SCHEDULER_API_SIGNING_SECRET"),
        (webhook, f"--key {SECRET}", "key 1"),
    ],
)
def test_a_valid_signature_names_its_key(signed: Signed, words: str, key: str):
    result = verify(*signed(), *words.split())

    assert (result.exit_code, result.output) == (
        0,
        f"The signature is valid; it was made with {key}.\n",
    )


@pytest.mark.parametrize(
    ("signed", "body", "part", "sentence"),
    [
        (partial(qstash, "sig_x"), BODY, "key", "with QSTASH_CURRENT_SIGNING_KEY or"),
        (partial(qstash, url=f"{URL}?a"), BODY, "url", f"went to '{URL}?a'"),
        (qstash, b"x", "body", "The body (1 bytes) is not the one"),
        (qstash, BODY + b"\n", "body", "without the white space at its ends"),
        (partial(qstash, ago_ms=LONG_AGO_MS), BODY, "time", "The token expired 3"),
        (
            lambda: ["-H", "upstash-signature: x", "--url", URL],
            BODY,
            "format",
            "no JWT",
        ),
        (lambda: ["-H", "X: x"], BODY, "header", "The request has no signature"),
        (webhook, b'{"a": 1}', "body", "compact JSON"),
        (webhook, b"x", "key", "was not made with SCHEDULER_API_SIGNING_SECRET"),
        (partial(webhook, ago_ms=LONG_AGO_MS), BODY, "time", "receivers allow 300 s"),
        (lambda: webhook()[2:], BODY, "header", "has no header webhook-id"),
    ],
)
def test_what_differs_is_said(signed: Signed, body: bytes, part: str, sentence: str):
    result = verify(*signed(), body=body)

    assert result.exit_code == 1
    assert result.output.startswith(f"{part}: ")
    assert len(result.output.splitlines()) == 1
    assert sentence in result.output


def test_the_json_is_that_of_the_receiver():
    found = json.loads(verify(*qstash(), "--json", body=b"x").output)

    assert (found["valid"], found["dialect"], found["differs"]) == (
        *(False, "qstash"),
        ["body"],
    )
    assert "is not the one that was signed" in found["explanation"][0]


def test_headers_and_body_come_from_files(tmp_path: Path):
    headers, body = tmp_path / "headers", tmp_path / "body"
    lines = [word for word in webhook() if word != "-H"]
    headers.write_text("\r\n".join(["POST / HTTP/1.1", *lines, ""]))
    body.write_bytes(BODY)

    assert verify("-H", f"@{headers}", str(body), body=b"").exit_code == 0


@pytest.mark.parametrize(
    ("signed", "words", "message"),
    [
        (lambda: qstash()[:2], "", "give the URL of the request with --url"),
        (webhook, "--key whsec_x", "key 1 is no secret of Scheduler v1"),
        (qstash, "/nowhere", "No such file"),
    ],
)
def test_wrong_use_says_what_is_missing(signed: Signed, words: str, message: str):
    result = verify(*signed(), *words.split())

    assert result.exit_code == 2
    assert message in result.output


def test_without_a_key_it_says_how_to_give_one():
    result = verify(*webhook(), SCHEDULER_API_SIGNING_SECRET="")

    assert result.exit_code == 2
    assert "--key, or set SCHEDULER_API_SIGNING_SECRET" in result.output
