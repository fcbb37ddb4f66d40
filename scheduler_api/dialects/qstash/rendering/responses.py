"""How messages and their logs look to QStash clients; absent fields are left out.

Source: https://upstash.com/docs/qstash/api
"""

import base64
import orjson
from flask import Response
from scheduler_api.core.model import INTERRUPTED, Attempt, AttemptKind, Event
from scheduler_api.dialects.qstash.parsing.ids import dlq_id
from scheduler_api.dialects.qstash.parsing.message import (
    Callback,
    Headers,
    Message,
    header_map,
    message_id,
    schedule_id,
)

Shown = dict[str, object]

JSON = "application/json"
DELIVERED = "DELIVERED"


def respond(body: object, status: int = 200) -> Response:
    """A JSON response."""
    return Response(orjson.dumps(body), status=status, mimetype=JSON)


def done() -> Response:
    """What is answered where clients read no body."""
    return Response(status=200, mimetype=JSON)


def published(event_id: str, *, url: str, deduplicated: bool) -> Shown:
    """What a publisher is told about a message."""
    shown: Shown = {"messageId": message_id(event_id), "url": url}
    return shown | {"deduplicated": True} if deduplicated else shown


def message(of: Event, said: Message, *, key: bytes) -> Shown:
    """A message.

    Args:
        key: of the marks that stand for what is hidden.
    """
    body = said.redaction.shown_body(of.content.body, key=key)
    return given(
        {
            "messageId": message_id(of.id),
            "url": of.content.url,
            **sending(said),
            "header": shown_headers(said, said.sent_headers, key=key),
            **body_fields(body),
            "maxRetries": said.retries,
            "retryDelayExpression": said.retry_delay,
            "notBefore": of.wanted_ms,
            "createdAt": of.created_ms,
            **origin(of, said),
            **callbacks(said, key=key),
        }
    )


def dead_letter(
    of: Event, said: Message, attempt: Attempt | None, *, key: bytes
) -> Shown:
    """A message that gave up, with the last answer; its status is 0 without any."""
    response = "" if attempt is None else attempt.response
    told = body_fields(response.encode("utf-8", "surrogatepass"))
    headers = () if attempt is None else attempt.headers
    return given(
        {
            **message(of, said, key=key),
            "dlqId": dlq_id(of.wanted_ms, of.id),
            "responseStatus": (attempt and attempt.status) or 0,
            "responseHeader": shown_headers(said, headers, key=key),
            "responseBody": told.get("body"),
            "responseBodyBase64": told.get("bodyBase64"),
        }
    )


def log_entry(
    of: Event,
    said: Message,
    attempt: Attempt | None,
    *,
    time_ms: int,
    state: str,
    key: bytes,
    body_max_bytes: int,
) -> Shown:
    """What happened to a message at one moment; some names are not a message's."""
    body = said.redaction.shown_body(of.content.body, key=key)
    told = callbacks(said, key=key)
    return given(
        {
            "time": time_ms,
            "messageId": message_id(of.id),
            "state": state,
            "url": of.content.url,
            **sending(said),
            "header": shown_headers(said, said.sent_headers, key=key),
            "body": _base64(body) if 0 < len(body) <= body_max_bytes else None,
            "timeout": said.timeout_ms,
            "maxRetries": said.retries,
            "retryDelayExpr": said.retry_delay,
            "retryDelayExpression": said.retry_delay,
            **origin(of, said),
            "callback": told.get("callback"),
            "failureCallback": told.get("failureCallback"),
            "callbackHeaders": told.get("callbackHeader"),
            "failureCallbackHeaders": told.get("failureCallbackHeader"),
            **({} if attempt is None else _outcome(attempt, said, state, key=key)),
        }
    )


def sending(said: Message) -> Shown:
    """How a message or the messages of a schedule are sent and told apart."""
    flow = said.flow_control
    return {
        "method": said.method,
        "queueName": said.queue,
        "topicName": said.topic,
        "endpointName": said.endpoint,
        "callerIP": said.caller_ip,
        "label": said.labels[0] if said.labels else None,
        "labels": list(said.labels) or None,
        "flowControlKey": flow and flow.key,
        "parallelism": flow and flow.parallelism,
        "rate": flow and flow.rate,
        "period": flow and flow.period_s,
    }


def origin(of: Event, said: Message) -> Shown:
    """The schedule that a message was made by."""
    return {"scheduleId": schedule_id(of.schedule, said)}


def callbacks(said: Message, *, key: bytes) -> Shown:
    """Both callbacks; what a message hides of its headers it hides of theirs."""
    shown: Shown = {}
    for name, callback in (
        ("callback", said.callback),
        ("failureCallback", said.failure_callback),
    ):
        if callback is None:
            continue
        shown[name] = callback.url
        shown[f"{name}Header"] = shown_headers(said, _sent(callback), key=key)
    return given(shown)


def shown_headers(
    said: Message, headers: Headers, *, key: bytes
) -> dict[str, list[str]] | None:
    """Headers without what a message hides, None if there are none."""
    return header_map(said.redaction.shown_headers(headers, key=key)) or None


def body_fields(body: bytes) -> Shown:
    """A body: text if it is some, else in base64; nothing if it is empty."""
    if not body:
        return {}
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"bodyBase64": _base64(body)}


def given(fields: Shown) -> Shown:
    """The fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}


def _sent(callback: Callback) -> Headers:
    if callback.content_type is None:
        return callback.headers
    return (("Content-Type", callback.content_type), *callback.headers)


def _outcome(attempt: Attempt, said: Message, state: str, *, key: bytes) -> Shown:
    response = attempt.response.encode("utf-8", "surrogatepass")
    headers = shown_headers(said, attempt.headers, key=key)
    refused = state != DELIVERED and attempt.status is not None
    answered = f"the destination answered {attempt.status}" if refused else None
    lost = INTERRUPTED if attempt.kind is AttemptKind.INTERRUPTED else None
    return {
        "error": attempt.error or answered or lost,
        "possibleDuplicate": attempt.possible_duplicate or None,
        "nextDeliveryTime": attempt.next_ms,
        "responseStatus": attempt.status,
        "responseBody": _base64(response) if response else None,
        # The SDKs read the one, the docs tell the other.
        "responseHeader": headers,
        "responseHeaders": headers,
    }


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
