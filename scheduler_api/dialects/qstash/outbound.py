"""Builds the requests that deliver QStash messages, and decides on retries. Pure.

Source: https://upstash.com/docs/qstash/howto/receiving
"""

from collections.abc import Sequence
from dataclasses import replace
from scheduler_api.core.delivery import retry
from scheduler_api.core.delivery.attempt_fields import TRUNCATED
from scheduler_api.core.delivery.request import (
    Answer,
    BodyWanted,
    Decision,
    Headers,
    Outgoing,
    Reply,
    content_of,
    duplicate_warning,
)
from scheduler_api.core.model import Begun, Content, Draft, Outcome
from scheduler_api.core.settings.engine import EngineSettings
from scheduler_api.core.tenants.secrets import Secrets
from scheduler_api.core.tenants.url_groups import Group
from scheduler_api.dialects.qstash import callbacks, retry_delay
from scheduler_api.dialects.qstash.credentials import CURRENT_KEY
from scheduler_api.dialects.qstash.parsing.forwarded_headers import DELIVERY_HEADERS
from scheduler_api.dialects.qstash.parsing.message import (
    FlowControl,
    Message,
    from_options,
    message_id,
    schedule_id,
    to_endpoint,
    to_gates,
    to_options,
)
from scheduler_api.dialects.qstash.settings import QstashSettings
from scheduler_api.dialects.qstash.signing import jwt

USER_AGENT = ("User-Agent", "Upstash-QStash")
NON_RETRYABLE_STATUS = 489
NON_RETRYABLE_HEADER = "upstash-nonretryable-error"


class QstashOutbound:
    """Implements the outbound half of the QStash dialect."""

    def __init__(self, settings: EngineSettings) -> None:
        self._response_log_bytes = settings.response_log_bytes
        self._secret_key = settings.secret_key
        region = settings.of(QstashSettings).region
        self._region = (("Upstash-Region", region.upper()),) if region else ()

    def render(self, begun: Begun, *, secrets: Secrets, now_ms: int) -> Outgoing:
        """Return the signed request of an attempt, or the url group to expand.

        `Upstash-Retried` and `Upstash-Retries` are the number of failed attempts so
        far. An interrupted attempt does not count as failed, so the next attempt has
        the same number.
        """
        content = content_of(begun)
        # A URL contains a colon, but the name of a url group does not.
        if ":" not in content.url:
            return Outgoing(group=content.url)
        message = from_options(content.options)
        signature = jwt(
            secrets[CURRENT_KEY],
            content.body,
            url=content.url,
            jti=f"jwt_{begun.id}_{begun.attempt}_{now_ms}",
            now_ms=now_ms,
        )
        return Outgoing(
            method=message.method,
            url=content.url,
            headers=(
                *_publishers_headers(message),
                USER_AGENT,
                ("Upstash-Message-Id", message_id(begun.id)),
                *_retry_headers(message, retried=str(begun.failures)),
                ("Upstash-Signature", signature),
                *self._region,
                *_flow_headers(message.flow_control),
                *_origin(begun, message),
                *duplicate_warning(begun).items(),
            ),
            body=content.body,
            timeout_ms=begun.deadline_ms,
            response_cap_bytes=self._response_cap_bytes(message),
            body_wanted=_body_wanted(message),
            signed=duplicate_warning(begun),
        )

    def _response_cap_bytes(self, message: Message) -> int:
        """Return how many bytes of a response the log and the callbacks need."""
        if not _has_callback(message):
            return self._response_log_bytes
        return max(callbacks.RESPONSE_MAX_BYTES, self._response_log_bytes)

    def expand(self, begun: Begun, group: Group) -> Sequence[Draft]:
        """Return a draft for each endpoint of the url group that a schedule names."""
        content = content_of(begun)
        message = from_options(content.options)
        message = replace(
            message, schedule_id=schedule_id(begun.schedule, message), delay_ms=0
        )
        return [
            Draft(
                Content(
                    endpoint.url,
                    content.body,
                    to_options(
                        to_endpoint(message, group=group.name, endpoint=endpoint)
                    ),
                ),
                begun.deadline_ms,
                journal=True,
                id=f"{begun.id}.{endpoint.key}",
                gates=to_gates(message),
            )
            for endpoint in group.endpoints
        ]

    def conclude(self, begun: Begun, answer: Answer) -> Decision:
        """Return whether to retry, and the callbacks that report the attempt."""
        decision = retry.decide(begun, answer, _next_delay_ms)
        delivered = decision.outcome is Outcome.DELIVERED
        return Decision(
            decision.outcome,
            delay_ms=decision.delay_ms,
            reason=decision.reason,
            headers=() if delivered else self._logged_headers(answer),
            follow_ups=callbacks.follow_ups(
                begun,
                answer,
                dead=decision.outcome is Outcome.DEAD,
                secret_key=self._secret_key,
            ),
        )

    def _logged_headers(self, reply: Reply) -> Headers:
        """Return the response headers to log, in their order.

        If they exceed the limit, the longest ones are cut or left out.
        """
        logged, left = {}, self._response_log_bytes
        for at in sorted(
            range(len(reply.headers)), key=lambda at: len("".join(reply.headers[at]))
        ):
            name, value = reply.headers[at]
            left -= len(name.encode())
            kept = _start_of(value, max_bytes=left)
            if kept is None:
                break
            logged[at] = name, kept
            left -= len(kept.encode())
        return tuple([logged[at] for at in sorted(logged)])


def _start_of(value: str, *, max_bytes: int) -> str | None:
    """Return a value, or its start and a mark; None if there is no room for it."""
    raw = value.encode()
    if len(raw) <= max_bytes:
        return value
    room = max_bytes - len(TRUNCATED)
    return f"{raw[:room].decode(errors='ignore')}{TRUNCATED}" if room > 0 else None


def _body_wanted(message: Message) -> BodyWanted:
    """A failure callback has the body of a failure only."""
    if message.callback is not None:
        return BodyWanted.ALWAYS
    if message.failure_callback is not None:
        return BodyWanted.IF_FAILED
    return BodyWanted.NEVER


def _has_callback(message: Message) -> bool:
    return message.callback is not None or message.failure_callback is not None


def _next_delay_ms(begun: Begun, reply: Reply) -> int | None:
    """Return the wait before the next retry in ms, None if there is no retry.

    A wait that the receiver requests has priority over the publisher's expression, and
    the expression has priority over the default.
    """
    message = from_options(content_of(begun).options)
    if begun.failures >= message.retries or _is_non_retryable(reply):
        return None
    ended_ms = reply.started_ms + int(reply.total_ms)
    requested_ms = retry_delay.requested_ms(reply.headers, now_ms=ended_ms)
    if requested_ms is not None:
        return requested_ms
    return retry_delay.configured_ms(begun.failures, message.retry_delay)


def _publishers_headers(message: Message) -> Headers:
    """Return the publisher's headers; drop those that this server sets.

    Older versions stored some of them.
    """
    return tuple(
        pair for pair in message.sent_headers if pair[0].lower() not in DELIVERY_HEADERS
    )


def _retry_headers(message: Message, *, retried: str) -> Headers:
    """Return how often the message was retried, and how retries are configured.

    Receivers tell the last attempt by `Upstash-Max-Retries`.
    """
    headers = (
        ("Upstash-Retried", retried),
        ("Upstash-Retries", retried),
        ("Upstash-Max-Retries", str(message.retries)),
    )
    if message.retry_delay is None:
        return headers
    return (*headers, ("Upstash-Retry-Delay", message.retry_delay))


def _flow_headers(flow: FlowControl | None) -> Headers:
    if flow is None:
        return ()
    limits = (
        ("parallelism", flow.parallelism),
        ("rate", flow.rate),
        ("period", flow.period_s),
    )
    value = ",".join(f"{name}={limit}" for name, limit in limits if limit is not None)
    return (
        ("Upstash-Flow-Control-Key", flow.sent_key),
        ("Upstash-Flow-Control-Value", value),
    )


def _origin(begun: Begun, message: Message) -> list[tuple[str, str]]:
    origin = (
        ("Upstash-Topic-Name", message.topic),
        ("Upstash-Schedule-Id", schedule_id(begun.schedule, message)),
        ("Upstash-Caller-Ip", message.caller_ip),
    )
    return [(name, value) for name, value in origin if value is not None]


def _is_non_retryable(reply: Reply) -> bool:
    return reply.status == NON_RETRYABLE_STATUS and any(
        name.lower() == NON_RETRYABLE_HEADER and value.strip().lower() == "true"
        for name, value in reply.headers
    )
