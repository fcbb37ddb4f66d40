"""The JWT of an attempt, as the receivers in the SDKs verify it. Pure.

Source: https://upstash.com/docs/qstash/features/security
"""

import base64
import hashlib
import hmac
import orjson

LIFETIME_S = 300
# The SDK for Python refuses tokens from the future, so allow for receivers whose clock
# is slow.
BACKDATED_S = 5

_HEADER = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=")


def jwt(key: str, body: bytes, *, url: str, jti: str, now_ms: int) -> str:
    """Return the signed claims of an attempt; they contain a hash of the body.

    Args:
        key: used as its UTF-8 bytes.
        url: the exact destination, query included.
        jti: unique per attempt.
    """
    issued_s = now_ms // 1000 - BACKDATED_S
    claims = orjson.dumps(
        {
            "iss": "Upstash",
            "sub": url,
            "exp": issued_s + LIFETIME_S,
            "nbf": 0,
            "iat": issued_s,
            "jti": jti,
            "body": base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode(),
        }
    )
    signed = _HEADER + b"." + base64.urlsafe_b64encode(claims).rstrip(b"=")
    signature = hmac.digest(key.encode(), signed, "sha256")
    token = signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")
    return token.decode()
