"""The two forms of a token: by itself, and together with its tenant's id."""

import base64
import binascii
import hashlib
import json
import secrets

USER, PASSWORD = "UserID", "Password"
# A longer text cannot be a token with an id, so it is not decoded.
MAX_LENGTH = 1_000


def new_token() -> str:
    """Return a random token of 256 bits."""
    return f"sched_{secrets.token_urlsafe(32)}"


def with_user(tenant_id: str, token: str) -> str:
    """Return base64 of a JSON object with the tenant's id and the token.

    Some clients decode their token and read the id. The result has neither `+` nor `/`,
    since the object is ASCII without `>`, `?` and `~`; it may end with `=`.
    """
    pair = json.dumps({USER: tenant_id, PASSWORD: token}, separators=(",", ":"))
    return base64.b64encode(pair.encode()).decode()


def digest(token: str) -> str:
    """Return the digest under which a token is stored, the same for both forms.

    The id beside a token is ignored, so it never decides whose request this is.
    """
    text = _password(token)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _password(token: str) -> str:
    """Return the token inside a token with an id; return any other text as it is."""
    if len(token) > MAX_LENGTH:
        return token
    try:
        bare = token.rstrip("=")
        padding = "=" * (-len(bare) % 4)
        pair = json.loads(base64.b64decode(bare + padding, validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return token
    password = pair.get(PASSWORD) if isinstance(pair, dict) else None
    return password if isinstance(password, str) else token
