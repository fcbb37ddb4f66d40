"""What a Jiter destination receives, and when it is tried again. Pure.

The receiver's middleware signs what `JSON.stringify` makes of the parsed body, so the
body must be a fixed point of parsing and stringifying: compact, raw UTF-8, JavaScript's
own escapes.
"""

import orjson
from scheduler_api.core.delivery import retry
from scheduler_api.core.delivery.request import (
    Outgoing,
    Reply,
    fetched,
    identity,
    warning,
)
from scheduler_api.core.delivery.signing import hmac_sha256_base64
from scheduler_api.core.ids import to_number
from scheduler_api.core.model import Begun
from scheduler_api.core.tenants.accounts import SigningKeys
from scheduler_api.core.timestamps import to_iso
from scheduler_api.dialects import json_text, outbound_defaults
from scheduler_api.dialects.jiter.settings import JiterSettings

RETRY_DELAYS_MS = (3_000, 5_000, 10_000)
CONTENT_TYPE = ("Content-Type", "application/json")
TIMESTAMP = "X-Jiter-Request-Timestamp"
SIGNATURE = "X-Jiter-Signature"
LEGACY_SIGNATURE = "Jiter-Signature"

is_success = retry.is_success
group_of, expand = outbound_defaults.group_of, outbound_defaults.expand
response_cap_bytes, kept_headers = (
    outbound_defaults.response_cap_bytes,
    outbound_defaults.kept_headers,
)
contact, follow_ups = outbound_defaults.contact, outbound_defaults.follow_ups


def render(
    begun: Begun, *, signing: SigningKeys, now_ms: int, settings: JiterSettings
) -> Outgoing:
    """The POST of this attempt, signed for now.

    Raises: UnreadableRecord, if its content was not fetched.
    """
    content = fetched(begun)
    payload = content.body
    body = body_bytes(payload, scheduled_ms=begun.wanted_ms)
    stamp = str(now_ms)
    signed = {
        TIMESTAMP: stamp,
        SIGNATURE: hmac_sha256_base64(signing.jiter, stamp.encode() + b":" + body),
    }
    if settings.jiter_legacy_signature:
        signed[LEGACY_SIGNATURE] = hmac_sha256_base64(signing.jiter, payload)
    signed |= warning(begun)
    return Outgoing(
        method="POST",
        url=content.url,
        headers=(
            CONTENT_TYPE,
            *signed.items(),
            *identity(begun, event_id=public_id(begun.id)),
        ),
        body=body,
        timeout_ms=begun.deadline_ms,
        signed=signed,
    )


def next_delay_ms(begun: Begun, reply: Reply) -> int | None:
    """The wait after a failed attempt: 3, 5 and 10 s, then None."""
    return retry.next_delay_ms(begun.failures, reply, delays_ms=RETRY_DELAYS_MS)


def public_id(event_id: str) -> str:
    """The id by which clients know an event, a cron job, or an execution of one."""
    number, dot, second = event_id.partition(".")
    return f"{to_number(number)}{dot}{second}"


def body_bytes(payload: bytes, *, scheduled_ms: int) -> bytes:
    """`{"payload":…,"scheduledTime":…}` as `JSON.stringify` would write it.

    Args:
        payload: UTF-8, lone surrogates encoded like any other character.
    """
    return b'{"payload":%b,"scheduledTime":"%b"}' % (
        stringify(payload.decode("utf-8", "surrogatepass")),
        to_iso(scheduled_ms).encode(),
    )


def stringify(text: str) -> bytes:
    """A JSON string, byte for byte as `JSON.stringify` writes it.

    orjson writes the same but refuses lone surrogates, which JavaScript escapes.
    """
    try:
        return orjson.dumps(text)
    except orjson.JSONEncodeError:
        return json_text.dump(text)
