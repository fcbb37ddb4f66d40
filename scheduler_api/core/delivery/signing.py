"""Signatures of requests. Pure."""

import base64
from collections.abc import Sequence
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from functools import lru_cache

WEBHOOK_SECRET = "whsec_"


def hmac_sha256_base64(secret: str, message: bytes) -> str:
    """Return the HMAC-SHA256 of a message in base64; `secret` is encoded as UTF-8."""
    return _hmac_base64(secret.encode(), message)


def standard_webhook(
    secrets: Sequence[str], body: bytes, *, message_id: str, now_ms: int
) -> dict[str, str]:
    """Return the signature headers of an attempt, as in Standard Webhooks.

    Args:
        secrets: each is `whsec_` and the key in base64; each gives one signature.
        message_id: the same for all attempts of an event; contains no dot.

    Source: https://github.com/standard-webhooks/standard-webhooks
    """
    stamp = str(now_ms // 1000)
    signed = b"%b.%b.%b" % (message_id.encode(), stamp.encode(), body)
    keys = (base64.b64decode(each.removeprefix(WEBHOOK_SECRET)) for each in secrets)
    signatures = (_hmac_base64(key, signed) for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(f"v1,{each}" for each in signatures),
    }


def _hmac_base64(key: bytes, message: bytes) -> str:
    signature = _keyed(key).copy()
    signature.update(message)
    return base64.b64encode(signature.finalize()).decode()


@lru_cache(maxsize=1024)
def _keyed(key: bytes) -> HMAC:
    """Return an HMAC to copy; cached, because a new one hashes the key twice."""
    return HMAC(key, SHA256())
