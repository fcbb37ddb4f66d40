"""Renders the requests of Jiter and decides about retries. Pure.

The middleware of receivers parses the body, writes it again with `JSON.stringify`, and
verifies the signature of the resulting text. So the body must be exactly as
`JSON.stringify` writes it: compact, raw UTF-8, with JavaScript's escapes.
"""

import orjson
from collections.abc import Sequence
from functools import partial
from scheduler_api.core.delivery import retry
from scheduler_api.core.delivery.request import (
    Answer,
    Decision,
    Outgoing,
    content_of,
    duplicate_warning,
    identity_headers,
)
from scheduler_api.core.delivery.signing import hmac_sha256_base64
from scheduler_api.core.model import Begun, Draft
from scheduler_api.core.settings.engine import EngineSettings
from scheduler_api.core.tenants.secrets import Secrets
from scheduler_api.core.tenants.url_groups import Group
from scheduler_api.core.timestamps import to_iso
from scheduler_api.dialects import json_text
from scheduler_api.dialects.jiter.credentials import SIGNING_SECRET
from scheduler_api.dialects.jiter.ids import public_id
from scheduler_api.dialects.jiter.settings import JiterSettings

RETRY_DELAYS_MS = (3_000, 5_000, 10_000)
CONTENT_TYPE = ("Content-Type", "application/json")
TIMESTAMP = "X-Jiter-Request-Timestamp"
SIGNATURE = "X-Jiter-Signature"
LEGACY_SIGNATURE = "Jiter-Signature"

_next_delay_ms = partial(retry.planned_delay_ms, delays_ms=RETRY_DELAYS_MS)


class JiterOutbound:
    """The outbound half of Jiter."""

    def __init__(self, settings: EngineSettings) -> None:
        self._response_cap_bytes = settings.response_log_bytes
        self._sends_legacy_signature = settings.of(JiterSettings).legacy_signature

    def render(self, begun: Begun, *, secrets: Secrets, now_ms: int) -> Outgoing:
        """Return the POST of this attempt, signed at `now_ms`."""
        content = content_of(begun)
        # The header has room for one signature: the old secret signs until it ends.
        payload, secret = content.body, secrets.at(SIGNING_SECRET, now_ms)[0]
        body = body_bytes(payload, scheduled_ms=begun.wanted_ms)
        timestamp = str(now_ms)
        signed = {
            TIMESTAMP: timestamp,
            SIGNATURE: hmac_sha256_base64(secret, timestamp.encode() + b":" + body),
        }
        if self._sends_legacy_signature:
            signed[LEGACY_SIGNATURE] = hmac_sha256_base64(secret, payload)
        signed |= duplicate_warning(begun)
        return Outgoing(
            url=content.url,
            headers=(
                CONTENT_TYPE,
                *signed.items(),
                *identity_headers(begun, event_id=public_id(begun.id)),
            ),
            body=body,
            timeout_ms=begun.deadline_ms,
            response_cap_bytes=self._response_cap_bytes,
            signed=signed,
        )

    def expand(self, _begun: Begun, _group: Group) -> Sequence[Draft]:
        """Return nothing: Jiter has no groups."""
        return ()

    def conclude(self, begun: Begun, answer: Answer) -> Decision:
        """Retry a failure after 3, 5 and 10 s."""
        return retry.decide(begun, answer, _next_delay_ms)


def body_bytes(payload: bytes, *, scheduled_ms: int) -> bytes:
    """Return `{"payload":…,"scheduledTime":…}` as `JSON.stringify` would write it.

    Args:
        payload: the payload as `request_schemas.Payload` encodes it.
    """
    return b'{"payload":%b,"scheduledTime":"%b"}' % (
        stringify(payload.decode("utf-8", "surrogatepass")),
        to_iso(scheduled_ms).encode(),
    )


def stringify(text: str) -> bytes:
    """Return the text as a JSON string, exactly as `JSON.stringify` writes it.

    orjson writes the same text as JavaScript, but refuses a text with lone surrogates.
    `json_text.dump` escapes lone surrogates, as JavaScript does.
    """
    try:
        return orjson.dumps(text)
    except orjson.JSONEncodeError:
        return json_text.dump(text)
