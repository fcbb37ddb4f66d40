"""Encodes the results of attempts for the logs of their events."""

from scheduler_api.core.delivery.attempt_fields import kept_start
from scheduler_api.core.delivery.causes import public_detail
from scheduler_api.core.delivery.request import Headers
from scheduler_api.core.store import codec
from scheduler_api.core.store.content_encryption import ContentCipher
from typing import Any
from workers.http_client.client import Result


def encode(
    result: Result,
    *,
    signed: dict[str, str] | None = None,
    headers: Headers = (),
    max_body_bytes: int,
    cipher: ContentCipher | None = None,
) -> bytes:
    """Return the log entry of an attempt.

    Args:
        signed: parts of the request that cannot be computed again; None: there are
            none.
        headers: the response headers to keep.
        max_body_bytes: how much of the response body to keep.
        cipher: encrypts the entry.
    """
    truncated = result.body_truncated or len(result.body) > max_body_bytes
    is_entire = not (truncated or result.body_incomplete)
    values: dict[str, Any] = {
        "started_ms": result.started_ms,
        "status": result.status,
        "connect_ms": result.connect_ms,
        "first_byte_ms": result.first_byte_ms,
        "total_ms": result.total_ms,
        "signed": signed or None,
    }
    if result.error is not None:
        detail = public_detail(result.error, result.detail)
        values |= {"error": result.error, "detail": detail or None}
    if not is_entire:
        values["body_incomplete"] = result.body_incomplete
        values["body_truncated"] = truncated
    return codec.encode_attempt(
        values,
        headers=headers,
        response=kept_start(result.body, max_bytes=max_body_bytes, is_entire=is_entire),
        cipher=cipher,
    )
