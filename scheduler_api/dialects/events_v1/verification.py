"""Verifies the signature of a delivery as libraries of Standard Webhooks do. Pure.

Source: https://github.com/standard-webhooks/standard-webhooks
"""

import base64
import re
from collections.abc import Sequence
from scheduler_api.core.delivery.signing import WEBHOOK_SECRET
from scheduler_api.core.delivery.verification import (
    Difference,
    Key,
    Part,
    Received,
    Signed,
    Verdict,
    failed,
    judge,
    missing,
    quoted,
    read_digest,
)
from scheduler_api.core.tenants.secrets import Secrets
from scheduler_api.dialects.events_v1.credentials import SIGNING_SECRET
from scheduler_api.dialects.verification import Verification, present_and_replaced

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
VERSION = "v1,"
# Deliveries have at most five.
MAX_SIGNATURES = 20
TOLERANCE_MS = 300_000

_SECONDS = re.compile(r"[0-9]{1,12}")


def keys_of(secrets: Secrets) -> list[Key]:
    """Return the secret, and those that it has replaced."""
    return present_and_replaced(secrets, SIGNING_SECRET, decode=_decode)


def _decode(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(WEBHOOK_SECRET))


def verify(received: Received, keys: Sequence[Key], now_ms: int) -> Verdict:
    """Compare the signatures with id, timestamp and body; list all differences."""
    values = [received.headers.get(name) for name in (SIGNATURE, ID, TIMESTAMP)]
    if None in values:
        return missing((SIGNATURE, ID, TIMESTAMP)[values.index(None)])
    signatures, message_id, stamp = map(str, values)
    if not _SECONDS.fullmatch(stamp):
        return failed(Part.FORMAT, f"{TIMESTAMP} is not a time in s: {quoted(stamp)}.")
    digests = _digests(signatures)
    if isinstance(digests, Difference):
        return Verdict((digests,))
    signed = Signed(
        prefix=f"{message_id}.{stamp}.".encode(),
        digests=digests,
        at_ms=int(stamp) * 1000,
        names=f"one of the headers {ID} and {TIMESTAMP}",
    )
    return judge(received.body, signed, keys, now_ms=now_ms, tolerance_ms=TOLERANCE_MS)


def _digests(signatures: str) -> list[bytes] | Difference:
    """Return the digests in the header, or what is wrong with all of them."""
    entries = signatures.split()[:MAX_SIGNATURES]
    texts = [each.removeprefix(VERSION) for each in entries if each.startswith(VERSION)]
    if not texts:
        return Difference(
            Part.ALGORITHM if "," in signatures else Part.FORMAT,
            f"{SIGNATURE} has no signature of the version v1, which begins with"
            f" {VERSION!r}: {quoted(signatures)}.",
        )
    digests = [digest for digest in map(read_digest, texts) if digest is not None]
    if digests:
        return digests
    return Difference(
        Part.FORMAT,
        f"{SIGNATURE} has no HMAC-SHA256 in base64: {quoted(signatures)}.",
    )


VERIFICATION = Verification(
    signature_header=SIGNATURE, keys=keys_of, verify=verify, decode=_decode
)
