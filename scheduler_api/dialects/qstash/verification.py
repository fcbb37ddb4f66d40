"""Verifies the signature of a delivery as the receivers of QStash's SDKs do. Pure.

Source: https://upstash.com/docs/qstash/features/security
"""

import base64
import hashlib
import orjson
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from scheduler_api.core.delivery.destinations import BadDestination, parse
from scheduler_api.core.delivery.verification import (
    Difference,
    Key,
    Part,
    Received,
    Verdict,
    body_difference,
    failed,
    missing,
    quoted,
    read_base64,
    seconds,
    unknown_key,
)
from scheduler_api.core.tenants.secrets import Secrets
from scheduler_api.dialects.qstash.credentials import CURRENT_KEY, NEXT_KEY
from scheduler_api.dialects.verification import Verification, read_attempt
from typing import Any

SIGNATURE = "Upstash-Signature"
ISSUER = "Upstash"
ALGORITHM = "HS256"
TIMES = ("exp", "nbf", "iat")
# No time in a claim is later.
LAST_S = 1e12


@dataclass(frozen=True)
class Token:
    """A JWT whose form is right; nothing in it is verified yet."""

    algorithm: str
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


def keys_of(secrets: Secrets) -> list[Key]:
    """Return the keys that receivers accept."""
    return [
        Key("the current key", secrets[CURRENT_KEY].encode()),
        Key("the next key", secrets[NEXT_KEY].encode()),
    ]


def attempt(headers: Mapping[str, str]) -> int | None:
    """Return the number of failed attempts so far, plus one."""
    failed_before = read_attempt(headers, "Upstash-Retried")
    return None if failed_before is None else failed_before + 1


def verify(received: Received, keys: Sequence[Key], now_ms: int) -> Verdict:
    """Compare the token with the request; list all differences."""
    text = received.headers.get(SIGNATURE.lower())
    if text is None:
        return missing(SIGNATURE)
    token = _read_token(text)
    if token is None:
        return failed(
            Part.FORMAT,
            f"{SIGNATURE} is no JWT, which has three parts with dots between them:"
            f" {quoted(text[:40])}.",
        )
    if token.algorithm != ALGORITHM:
        return failed(
            Part.ALGORITHM,
            f"The token says that its algorithm is {quoted(token.algorithm)}: only"
            f" {ALGORITHM} is accepted.",
        )
    fitting = (each for each in keys if each.signs(token.signed, token.signature))
    key = next(fitting, None)
    differences = [] if key else [unknown_key(keys, "the token")]
    differences += _claims_that_differ(token.claims)
    differences += _url_differs(received.url, token.claims.get("sub"))
    differences += _body_differs(received.body, token.claims.get("body"))
    differences += _not_now(token.claims, now_ms)
    return Verdict(tuple(differences), key.name if key else None)


def _read_token(text: str) -> Token | None:
    parts = text.split(".")
    if len(parts) != 3:
        return None
    header, claims = map(_read_object, parts[:2])
    if header is None or claims is None:
        return None
    signed = f"{parts[0]}.{parts[1]}".encode()
    signature = read_base64(parts[2], url_safe=True)
    if signature is None:
        return None
    return Token(str(header.get("alg")), claims, signed, signature)


def _read_object(part: str) -> dict[str, Any] | None:
    raw = read_base64(part, url_safe=True)
    try:
        value = orjson.loads(raw or b"")
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _claims_that_differ(claims: Mapping[str, Any]) -> list[Difference]:
    found = []
    issuer = claims.get("iss")
    if issuer != ISSUER:
        sentence = f"The issuer (iss) is {quoted(str(issuer))}, expected {ISSUER!r}."
        found.append(Difference(Part.CLAIM, sentence))
    for name in TIMES:
        if _time_ms(claims, name) is None and (name != "iat" or name in claims):
            sentence = f"The token has no time in the claim {name}."
            found.append(Difference(Part.CLAIM, sentence))
    return found


def _url_differs(url: str, signed: object) -> list[Difference]:
    if isinstance(signed, str) and _normalized(signed) == _normalized(url):
        return []
    return [
        Difference(
            Part.URL,
            f"The URL (sub) differs: the token is for {quoted(str(signed))}, but the"
            f" request went to {quoted(url)}.",
        )
    ]


def _normalized(url: str) -> tuple[str, ...]:
    """Return the parts of a URL by which two of them are the same destination."""
    try:
        destination = parse(url)
    except BadDestination:
        return (url,)
    return str(destination.origin), destination.target


def _body_differs(body: bytes, signed: object) -> list[Difference]:
    if not isinstance(signed, str):
        return [Difference(Part.CLAIM, "The token has no hash in the claim body.")]
    expected = signed.rstrip("=")
    if _hash(body) == expected:
        return []
    hashes = f" The hash is {_hash(body)}, expected {quoted(expected)}."
    found = body_difference(
        body, lambda variant: _hash(variant) == expected, expected=hashes
    )
    if found is None:
        sentence = f"The body ({len(body)} bytes) is not the one that was signed."
        found = Difference(Part.BODY, f"{sentence}{hashes}")
    return [found]


def _hash(body: bytes) -> str:
    digest = hashlib.sha256(body).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _not_now(claims: Mapping[str, Any], now_ms: int) -> list[Difference]:
    """Return that the token has expired, or is not valid yet."""
    found, ends_ms = list[Difference](), _time_ms(claims, "exp")
    if ends_ms is not None and now_ms >= ends_ms:
        ago = seconds(now_ms - ends_ms)
        sentence = f"The token expired {ago} ago (exp): it is old, or a clock is wrong."
        found.append(Difference(Part.TIME, sentence))
    begins_ms = max(_time_ms(claims, name) or 0 for name in ("nbf", "iat"))
    if now_ms < begins_ms:
        wait = seconds(begins_ms - now_ms)
        sentence = f"The token is valid only in {wait} (nbf, iat): a clock is wrong."
        found.append(Difference(Part.TIME, sentence))
    return found


def _time_ms(claims: Mapping[str, Any], name: str) -> int | None:
    """Return the time of a claim in epoch ms; None if it is missing or malformed."""
    value = claims.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return int(value * 1000) if abs(value) < LAST_S else None


VERIFICATION = Verification(
    id_header="Upstash-Message-Id",
    signature_header=SIGNATURE,
    attempt=attempt,
    keys=keys_of,
    verify=verify,
    signs_url=True,
)
