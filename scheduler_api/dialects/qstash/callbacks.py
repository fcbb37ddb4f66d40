"""Creates callbacks: messages that report the result of an attempt. Pure.

A message may request a callback after each attempt, and a failure callback after the
last attempt if the message has failed. Callbacks are not themselves reported.

Source: https://upstash.com/docs/qstash/features/callbacks
"""

import base64
import orjson
from scheduler_api.core.delivery.attempt_fields import (
    body_marks,
    error_fields,
    kept_start,
)
from scheduler_api.core.delivery.causes import cause
from scheduler_api.core.delivery.request import Answer, content_of
from scheduler_api.core.model import Begun, Content, FollowUp
from scheduler_api.dialects.qstash.parsing.ids import dlq_id
from scheduler_api.dialects.qstash.parsing.message import (
    Callback,
    Message,
    from_options,
    header_map,
    message_id,
    readable_headers,
    schedule_id,
    to_options,
)
from scheduler_api.dialects.qstash.parsing.redaction import key_of

RESPONSE_MAX_BYTES = 1_048_576
CONTENT_TYPE = "application/json"


def follow_ups(
    begun: Begun, answer: Answer, *, dead: bool, secret_key: str
) -> tuple[FollowUp, ...]:
    """Return the callbacks that report an attempt.

    Args:
        dead: whether the message has failed for good with this attempt.

    Raises: UnreadableRecord.
    """
    message = from_options(content_of(begun).options)
    if message.callback is None and message.failure_callback is None:
        return ()
    key = key_of(begun.owner.tenant, secret_key=secret_key)
    callback = callback_content(begun, answer, redaction_key=key)
    failure = None
    if dead:
        letter = dlq_id(begun.wanted_ms, begun.id)
        failure = failure_callback_content(
            begun, answer, dlq_id=letter, redaction_key=key
        )
    contents = ((f"{begun.id}.c{begun.attempt}", callback), (f"{begun.id}.f", failure))
    return tuple(
        _follow_up(event_id, content, begun)
        for event_id, content in contents
        if content
    )


def _follow_up(event_id: str, content: Content, begun: Begun) -> FollowUp:
    """Return the event of a callback.

    If the callback has no timeout, the timeout of the reported message is used.
    """
    message = from_options(content.options)
    return FollowUp(
        event_id,
        content,
        deadline_ms=message.timeout_ms or begun.deadline_ms,
        delay_ms=message.delay_ms,
    )


def callback_content(
    begun: Begun, answer: Answer, *, redaction_key: bytes
) -> Content | None:
    """Return the callback for this attempt, None if the message requests none.

    Raises: UnreadableRecord.
    """
    message = from_options(content_of(begun).options)
    if message.callback is None:
        return None
    body = _body(begun, message, answer, redaction_key)
    return _content(message, message.callback, body)


def failure_callback_content(
    begun: Begun, answer: Answer, *, dlq_id: str, redaction_key: bytes
) -> Content | None:
    """Return the failure callback, None if the message requests none.

    Args:
        dlq_id: the id of the dead letter.

    Raises: UnreadableRecord.
    """
    message = from_options(content_of(begun).options)
    if message.failure_callback is None:
        return None
    body = _body(begun, message, answer, redaction_key) | {"dlqId": dlq_id}
    return _content(message, message.failure_callback, body)


def _content(message: Message, callback: Callback, body: dict[str, object]) -> Content:
    """Return a callback's content, with the redaction of the reported message."""
    options = to_options(
        Message(
            method=callback.method,
            headers=callback.headers,
            content_type=callback.content_type or CONTENT_TYPE,
            retries=callback.retries_for(message),
            retry_delay=callback.retry_delay,
            timeout_ms=callback.timeout_ms,
            delay_ms=callback.delay_ms,
            redaction=message.redaction,
        )
    )
    return Content(callback.url, orjson.dumps(body), options)


def _body(
    begun: Begun, message: Message, answer: Answer, redaction_key: bytes
) -> dict[str, object]:
    source = content_of(begun)
    hidden = message.redaction
    truncated = answer.body_truncated or len(answer.body) > RESPONSE_MAX_BYTES
    response = kept_start(
        answer.body,
        max_bytes=RESPONSE_MAX_BYTES,
        is_entire=not (truncated or answer.body_incomplete),
    )
    body = {
        "status": answer.status or 0,
        **error_fields(cause(answer.status, answer.error, answer.detail)),
        "header": header_map(answer.headers),
        "body": _base64(response),
        **body_marks(incomplete=answer.body_incomplete, truncated=truncated),
        "retried": begun.failures,
        "maxRetries": message.retries,
        "sourceMessageId": message_id(begun.id),
        "url": source.url,
        "method": message.method,
        "sourceHeader": header_map(
            hidden.redact_headers(readable_headers(message), key=redaction_key)
        ),
        "sourceBody": _base64(hidden.redact_body(source.body, key=redaction_key)),
        "notBefore": begun.wanted_ms,
        "createdAt": begun.created_ms,
        "callerIP": message.caller_ip,
        "topicName": message.topic,
        "endpointName": message.endpoint,
        "scheduleId": schedule_id(begun.schedule, message),
    }
    return {name: value for name, value in body.items() if value is not None}


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
