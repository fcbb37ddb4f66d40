"""Signatures over what is sent: keys and texts are given, nothing is read here."""

import base64
import hashlib
import hmac
import orjson

WEBHOOK_SECRET = "whsec_"
JWT_LIFETIME_S = 300
# A receiver whose clock is behind ours must not see a token from the future: Python's
# SDK refuses it even for a second.
JWT_BACKDATED_S = 5

_JWT_HEADER = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=")


def hmac_sha256_base64(secret: str, message: bytes) -> str:
    """HMAC-SHA256 under the UTF-8 bytes of a secret, in base64 with padding."""
    digest = hmac.digest(secret.encode(), message, "sha256")
    return base64.b64encode(digest).decode()


def standard_webhook(
    secret: str, body: bytes, *, message_id: str, now_ms: int
) -> dict[str, str]:
    """The headers of one attempt, as every library for Standard Webhooks checks them.

    Args:
        message_id: the same for all attempts of an event, without a dot.

    Source: https://github.com/standard-webhooks/standard-webhooks
    """
    key = base64.b64decode(secret.removeprefix(WEBHOOK_SECRET))
    stamp = str(now_ms // 1000)
    signed = b"%b.%b.%b" % (message_id.encode(), stamp.encode(), body)
    digest = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{digest}",
    }


def qstash_jwt(key: str, body: bytes, *, url: str, jti: str, now_ms: int) -> str:
    """The signed claims of one attempt, as the receivers of both SDKs check them.

    The key is its UTF-8 text. Of the body the claims hold a hash, with padding.

    Args:
        url: the exact destination, query included.
        jti: never the same for two attempts.

    Source: https://upstash.com/docs/qstash/features/security
    """
    issued_s = now_ms // 1000 - JWT_BACKDATED_S
    claims = orjson.dumps(
        {
            "iss": "Upstash",
            "sub": url,
            "exp": issued_s + JWT_LIFETIME_S,
            "nbf": 0,
            "iat": issued_s,
            "jti": jti,
            "body": base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode(),
        }
    )
    signed = _JWT_HEADER + b"." + base64.urlsafe_b64encode(claims).rstrip(b"=")
    signature = hmac.digest(key.encode(), signed, "sha256")
    token = signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")
    return token.decode()
