"""Signatures over what is sent: keys and texts are given, nothing is read here."""

import base64
import hashlib
import hmac


def hmac_sha256_base64(secret: str, message: bytes) -> str:
    """HMAC-SHA256 under the UTF-8 bytes of a secret, in base64 with padding."""
    digest = hmac.digest(secret.encode(), message, hashlib.sha256)
    return base64.b64encode(digest).decode()
