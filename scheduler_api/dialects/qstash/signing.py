"""Signs deliveries with a JWT that the SDKs of receivers can verify. Pure.

Source: https://upstash.com/docs/qstash/features/security
"""

import base64
import hashlib
import hmac
import orjson

LIFETIME_S = 300
# The Python SDK refuses a token issued in the future. Tokens are therefore backdated,
# so that receivers whose clock is slow accept them.
BACKDATED_S = 5

_HEADER = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=")


def jwt(key: str, body: bytes, *, url: str, jti: str, now_ms: int) -> str:
    """Return a JWT for one attempt, with a hash of the body as a claim.

    Args:
        key: the signing key, as text; its UTF-8 bytes are the key of the HMAC.
        url: the exact destination, including the query.
        jti: the id of the token, unique for each attempt.
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
