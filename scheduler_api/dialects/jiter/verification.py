"""Verifies a delivery as the middleware of `@jiter/node` does. Pure."""

import re
from collections.abc import Sequence
from scheduler_api.core.delivery.verification import (
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
from scheduler_api.dialects.jiter.credentials import SIGNING_SECRET
from scheduler_api.dialects.jiter.outbound import SIGNATURE, TIMESTAMP
from scheduler_api.dialects.verification import Verification, present_and_replaced

TOLERANCE_MS = 120_000

_MILLISECONDS = re.compile(r"[0-9]{1,15}")


def keys_of(secrets: Secrets) -> list[Key]:
    """Return the secret, and those that it has replaced."""
    return present_and_replaced(secrets, SIGNING_SECRET)


def verify(received: Received, keys: Sequence[Key], now_ms: int) -> Verdict:
    """Compare the signature with the body and the timestamp; list all differences."""
    signature = received.headers.get(SIGNATURE.lower())
    stamp = received.headers.get(TIMESTAMP.lower())
    if signature is None or stamp is None:
        return missing(SIGNATURE if signature is None else TIMESTAMP)
    digest = read_digest(signature)
    if digest is None:
        return failed(
            Part.FORMAT,
            f"{SIGNATURE} is not an HMAC-SHA256 in base64: {quoted(signature)}.",
        )
    if not _MILLISECONDS.fullmatch(stamp):
        return failed(Part.FORMAT, f"{TIMESTAMP} is not a time in ms: {quoted(stamp)}.")

    signed = Signed(
        prefix=stamp.encode() + b":",
        digests=[digest],
        at_ms=int(stamp),
        names=f"the header {TIMESTAMP}",
    )
    return judge(received.body, signed, keys, now_ms=now_ms, tolerance_ms=TOLERANCE_MS)


VERIFICATION = Verification(signature_header=SIGNATURE, keys=keys_of, verify=verify)
