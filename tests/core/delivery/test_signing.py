"""Signatures over what is sent."""

import base64
import hashlib
import json
import jwt
import pytest
from datetime import UTC, datetime
from hypothesis import given
from hypothesis import strategies as st
from scheduler_api.core.delivery.signing import (
    hmac_sha256_base64,
    qstash_jwt,
    standard_webhook,
)
from standardwebhooks import Webhook

NOW_MS = 1_700_000_000_999
KEY = "sig_" + "k" * 28
URL = "https://example.com/a//b?c=%2F&d=\u00fc"


def token(body: bytes = b"body", key: str = KEY, now_ms: int = NOW_MS) -> str:
    return qstash_jwt(key, body, url=URL, jti="jwt_1", now_ms=now_ms)


def claims_of(signed: str) -> dict[str, object]:
    payload = signed.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert isinstance(claims, dict)
    return claims


def test_signature_is_that_of_rfc_4231() -> None:
    """Its second test case."""
    signature = hmac_sha256_base64("Jefe", b"what do ya want for nothing?")

    digest = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert signature == base64.b64encode(bytes.fromhex(digest)).decode()


def test_secret_counts_as_its_utf8_bytes() -> None:
    signatures = {hmac_sha256_base64(secret, b"x") for secret in ("é", "e\u0301", "e")}

    assert len(signatures) == 3


def test_every_byte_of_the_message_counts() -> None:
    signatures = {hmac_sha256_base64("k", m) for m in (b"", b"\x00", b"a", b"a\n")}

    assert len(signatures) == 4


def test_s19_jwt_has_the_claims_that_both_sdks_check() -> None:
    digest = hashlib.sha256(b"body").digest()

    assert claims_of(token()) == {
        "iss": "Upstash",
        "sub": URL,
        "iat": 1_699_999_995,
        "exp": 1_700_000_295,
        "nbf": 0,
        "jti": "jwt_1",
        "body": base64.urlsafe_b64encode(digest).decode(),
    }


def test_jwt_of_an_empty_body_has_the_hash_of_no_bytes_with_padding() -> None:
    empty = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU="

    assert claims_of(token(b""))["body"] == empty


def test_jwt_is_compact_and_without_padding() -> None:
    signed = token()

    assert signed.count(".") == 2
    assert "=" not in signed
    assert jwt.get_unverified_header(signed) == {"alg": "HS256", "typ": "JWT"}


def test_s20_jwt_is_refused_when_a_bit_of_it_changes() -> None:
    header, payload, signature = token().split(".")
    other = token(b"other").split(".")[1]

    for forged in (
        f"{header}.{other}.{signature}",
        f"{header}.{payload}.{signature[:-2]}",
        f"{header}.{payload}.",
    ):
        with pytest.raises(jwt.InvalidTokenError):
            jwt.decode(forged, KEY, ["HS256"], options={"verify_exp": False})
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token(), KEY + "x", ["HS256"], options={"verify_exp": False})


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=32, max_size=40),
    st.binary(max_size=50),
)
def test_s19_property_pyjwt_reads_every_jwt(key: str, body: bytes) -> None:
    signed = token(body, key)

    read = jwt.decode(signed, key, ["HS256"], options={"verify_exp": False})
    assert read == claims_of(signed)


def test_s19_signature_is_that_of_the_standards_own_example() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

    headers = standard_webhook(
        secret,
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
def test_the_standards_own_library_takes_the_signature(body: bytes) -> None:
    secret = "whsec_" + base64.b64encode(bytes(range(32))).decode()
    now_ms = int(datetime.now(UTC).timestamp() * 1000)

    headers = standard_webhook(secret, body, message_id="7_1", now_ms=now_ms)

    assert Webhook(secret).verify(body, headers) == json.loads(body)
