"""Tests of the functions that sign deliveries."""

import base64
import json
import pytest
from datetime import UTC, datetime
from scheduler_api.core.delivery.signing import hmac_sha256_base64, standard_webhook
from standardwebhooks import Webhook


def test_the_signature_of_the_example_in_rfc_4231_is_correct() -> None:
    # Test case 2 of RFC 4231.
    signature = hmac_sha256_base64("Jefe", b"what do ya want for nothing?")

    digest = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert signature == base64.b64encode(bytes.fromhex(digest)).decode()


def test_a_secret_is_encoded_as_utf8() -> None:
    signatures = {hmac_sha256_base64(secret, b"x") for secret in ("é", "e\u0301", "e")}

    assert len(signatures) == 3


def test_the_signature_depends_on_every_byte_of_the_message() -> None:
    signatures = {hmac_sha256_base64("k", m) for m in (b"", b"\x00", b"a", b"a\n")}

    assert len(signatures) == 4


def test_s19_the_signature_of_the_example_in_the_standard_is_correct() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

    headers = standard_webhook(
        [secret],
        b'{"test": 2432232314}',
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        now_ms=1_614_265_330_999,
    )

    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize("body", [b"{}", '{"é":"😀"}'.encode()])
def test_the_library_of_the_standard_accepts_the_signature(body: bytes) -> None:
    secret = "whsec_" + base64.b64encode(bytes(range(32))).decode()
    now_ms = int(datetime.now(UTC).timestamp() * 1000)

    headers = standard_webhook([secret], body, message_id="7_1", now_ms=now_ms)

    assert Webhook(secret).verify(body, headers) == json.loads(body)
