"""Signatures over what is sent."""

import base64
from scheduler_api.core.signing import hmac_sha256_base64


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
