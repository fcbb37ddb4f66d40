"""Tests of the JWT that signs a delivery."""

import base64
import hashlib
import json
import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scheduler_api.dialects.qstash import signing

NOW_MS = 1_700_000_000_999
KEY = "sig_" + "k" * 28
URL = "https://example.com/a//b?c=%2F&d=\u00fc"


def token(body: bytes = b"body", key: str = KEY, now_ms: int = NOW_MS) -> str:
    return signing.jwt(key, body, url=URL, jti="jwt_1", now_ms=now_ms)


def claims_of(signed: str) -> dict[str, object]:
    payload = signed.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert isinstance(claims, dict)
    return claims


def test_s19_a_jwt_has_the_claims_that_both_sdks_check() -> None:
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


def test_a_jwt_of_an_empty_body_has_a_padded_hash_of_no_bytes() -> None:
    empty = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU="

    assert claims_of(token(b""))["body"] == empty


def test_a_jwt_is_compact_and_without_padding() -> None:
    signed = token()

    assert signed.count(".") == 2
    assert "=" not in signed
    assert jwt.get_unverified_header(signed) == {"alg": "HS256", "typ": "JWT"}


def test_s20_a_changed_jwt_is_refused() -> None:
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
def test_s19_property_pyjwt_decodes_every_jwt(key: str, body: bytes) -> None:
    signed = token(body, key)

    decoded = jwt.decode(signed, key, ["HS256"], options={"verify_exp": False})
    assert decoded == claims_of(signed)
