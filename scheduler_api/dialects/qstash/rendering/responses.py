"""Renders messages and log entries for QStash clients.

Fields without a value are left out.

Source: https://upstash.com/docs/qstash/api
"""

import base64
import orjson
from flask import Response
from scheduler_api.core.delivery.attempt_fields import body_marks, error_fields
from scheduler_api.core.delivery.causes import cause_of
from scheduler_api.core.model import Attempt, Event
from scheduler_api.dialects.qstash.parsing.ids import dlq_id
from scheduler_api.dialects.qstash.parsing.message import (
    Headers,
    Message,
    header_map,
    message_id,
    readable_headers,
    schedule_id,
)

Json = dict[str, object]

IGNORED = "Scheduler-Ignored"
MIMETYPE = "application/json"


def respond(body: object, status: int = 200, *, ignored: str = "") -> Response:
    """Return a JSON response.

    Args:
        ignored: the names of headers and parameters that had no effect.
    """
    response = Response(orjson.dumps(body), status=status, mimetype=MIMETYPE)
    return _with_ignored(response, ignored)


def empty(*, ignored: str = "") -> Response:
    """Return a 200 without a body; clients read no body after such calls.

    Args:
        ignored: see `respond`.
    """
    return _with_ignored(Response(status=200, mimetype=MIMETYPE), ignored)


def _with_ignored(response: Response, ignored: str) -> Response:
    if ignored:
        response.headers[IGNORED] = ignored
    return response


def render_published(event_id: str, *, url: str, deduplicated: bool) -> Json:
    """Return the response to a publisher as JSON."""
    published: Json = {"messageId": message_id(event_id), "url": url}
    return published | {"deduplicated": True} if deduplicated else published


def render_message(event: Event, message: Message, *, key: bytes) -> Json:
    """Return a message as JSON.

    Args:
        key: the tenant's redaction key.
    """
    body = message.redaction.redact_body(event.content.body, key=key)
    return drop_none(
        {
            "messageId": message_id(event.id),
            "url": event.content.url,
            **settings_fields(message),
            "header": redacted_headers(message, readable_headers(message), key=key),
            **body_fields(body),
            "maxRetries": message.retries,
            "retryDelayExpression": message.retry_delay,
            "notBefore": event.wanted_ms,
            "createdAt": event.created_ms,
            "scheduleId": schedule_id(event.schedule, message),
            **_held_fields(event),
            **callback_fields(message, key=key),
        }
    )


def render_dead_letter(
    event: Event, message: Message, attempt: Attempt | None, *, key: bytes
) -> Json:
    """Return a message that failed for good, with the last response, as JSON.

    Args:
        attempt: the last attempt. If the destination did not respond, `responseStatus`
            is 0.
        key: the tenant's redaction key.
    """
    result = {} if attempt is None else _result(attempt)
    response = body_fields(b"" if attempt is None else attempt.response)
    headers = () if attempt is None else attempt.headers
    return drop_none(
        {
            **render_message(event, message, key=key),
            "dlqId": dlq_id(event.wanted_ms, event.id),
            **result,
            "responseStatus": (attempt and attempt.status) or 0,
            "responseHeader": redacted_headers(message, headers, key=key),
            "responseBody": response.get("body"),
            "responseBodyBase64": response.get("bodyBase64"),
        }
    )


def render_log_entry(
    event: Event,
    message: Message,
    attempt: Attempt | None,
    *,
    time_ms: int,
    state: str,
    key: bytes,
    body_max_bytes: int,
    is_last: bool,
) -> Json:
    """Return a log entry, which reports one state that a message entered, as JSON.

    Some fields have other names than in `render_message`, because the SDKs expect this.

    Args:
        attempt: the attempt whose outcome the entry reports; None for other entries.
        key: the tenant's redaction key.
        body_max_bytes: the maximum size of the message's body in the entry; a larger
            body is left out.
        is_last: whether this is the last state of the message so far. Only this entry
            says whether the message waits for its destination.
    """
    body = message.redaction.redact_body(event.content.body, key=key)
    callbacks = callback_fields(message, key=key)
    outcome = {} if attempt is None else _outcome(attempt, message, key=key)
    return drop_none(
        {
            "time": time_ms,
            "messageId": message_id(event.id),
            "state": state,
            "url": event.content.url,
            **settings_fields(message),
            "header": redacted_headers(message, readable_headers(message), key=key),
            "body": _base64(body) if 0 < len(body) <= body_max_bytes else None,
            "timeout": message.timeout_ms,
            "maxRetries": message.retries,
            "retryDelayExpr": message.retry_delay,
            "retryDelayExpression": message.retry_delay,
            "scheduleId": schedule_id(event.schedule, message),
            "callback": callbacks.get("callback"),
            "failureCallback": callbacks.get("failureCallback"),
            "callbackHeaders": callbacks.get("callbackHeader"),
            "failureCallbackHeaders": callbacks.get("failureCallbackHeader"),
            **outcome,
            **(_held_fields(event) if is_last else {}),
        }
    )


def settings_fields(message: Message) -> Json:
    """Return the fields that messages, log entries and schedules have in common.

    Values may be None.
    """
    flow = message.flow_control
    return {
        "method": message.method,
        "queueName": message.queue,
        "topicName": message.topic,
        "endpointName": message.endpoint,
        "callerIP": message.caller_ip,
        "label": message.labels[0] if message.labels else None,
        "labels": list(message.labels) or None,
        "flowControlKey": flow and flow.key,
        "parallelism": flow and flow.parallelism,
        "rate": flow and flow.rate,
        "period": flow and flow.period_s,
    }


def callback_fields(message: Message, *, key: bytes) -> Json:
    """Return the fields of both callbacks, with the message's redaction applied."""
    fields: Json = {}
    for name, callback in (
        ("callback", message.callback),
        ("failureCallback", message.failure_callback),
    ):
        if callback is None:
            continue
        fields[name] = callback.url
        headers = redacted_headers(message, readable_headers(callback), key=key)
        fields[f"{name}Header"] = headers
    return drop_none(fields)


def redacted_headers(
    message: Message, headers: Headers, *, key: bytes
) -> dict[str, list[str]] | None:
    """Return headers by name, with redaction applied; None if `headers` is empty."""
    return header_map(message.redaction.redact_headers(headers, key=key)) or None


def body_fields(body: bytes) -> Json:
    """Return `body` if the bytes are UTF-8, else `bodyBase64`; omit an empty body."""
    if not body:
        return {}
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"bodyBase64": _base64(body)}


def drop_none(fields: Json) -> Json:
    """Return the fields whose value is not None."""
    return {name: value for name, value in fields.items() if value is not None}


def _held_fields(event: Event) -> Json:
    """Return for which destination a message waits, and since when, if it does."""
    if event.held is None:
        return {}
    return {"heldBy": event.held.by, "heldSince": event.held.since_ms}


def _outcome(attempt: Attempt, message: Message, *, key: bytes) -> Json:
    headers = redacted_headers(message, attempt.headers, key=key)
    return {
        **_result(attempt),
        "possibleDuplicate": attempt.possible_duplicate or None,
        "nextDeliveryTime": attempt.next_ms,
        "responseStatus": attempt.status,
        "responseBody": _base64(attempt.response) if attempt.response else None,
        # The SDKs read `responseHeader`, but the documentation says `responseHeaders`.
        "responseHeader": headers,
        "responseHeaders": headers,
    }


def _result(attempt: Attempt) -> Json:
    """Return why an attempt failed, and what is missing of the response body."""
    return {
        **error_fields(cause_of(attempt)),
        **body_marks(
            incomplete=attempt.body_incomplete, truncated=attempt.body_truncated
        ),
    }


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
