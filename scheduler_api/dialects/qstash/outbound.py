"""What a QStash destination receives, and when it is tried again. Pure.

Source: https://upstash.com/docs/qstash/howto/receiving
"""

from dataclasses import replace
from scheduler_api.core.delivery import retry
from scheduler_api.core.delivery.request import (
    Answer,
    Outgoing,
    Reply,
    fetched,
    warning,
)
from scheduler_api.core.delivery.signing import qstash_jwt
from scheduler_api.core.model import Begun, Content, Draft, FollowUp
from scheduler_api.core.settings.engine import EngineSettings
from scheduler_api.core.tenants.accounts import SigningKeys
from scheduler_api.core.tenants.url_groups import Group
from scheduler_api.dialects import outbound_defaults
from scheduler_api.dialects.qstash import callbacks, retry_delay
from scheduler_api.dialects.qstash.parsing.message import (
    Headers,
    Message,
    from_options,
    message_id,
    schedule_id,
    to_endpoint,
    to_gates,
    to_options,
)
from scheduler_api.dialects.qstash.parsing.redaction import key_of

USER_AGENT = ("User-Agent", "Upstash-QStash")
NON_RETRYABLE_STATUS = 489
NON_RETRYABLE_HEADER = "upstash-nonretryable-error"

is_success = retry.is_success
contact = outbound_defaults.contact


def render(
    begun: Begun, *, signing: SigningKeys, now_ms: int, settings: EngineSettings
) -> Outgoing:
    """The request of this attempt, signed for now.

    `Upstash-Retried` counts retries, so an attempt that was interrupted and is made
    again carries the same number.

    Raises: UnreadableRecord.
    """
    content = fetched(begun)
    message = from_options(content.options)
    signature = qstash_jwt(
        signing.qstash_current,
        content.body,
        url=content.url,
        jti=f"jwt_{begun.id}_{begun.attempt}_{now_ms}",
        now_ms=now_ms,
    )
    return Outgoing(
        method=message.method,
        url=content.url,
        headers=(
            *message.sent_headers,
            USER_AGENT,
            ("Upstash-Message-Id", message_id(begun.id)),
            ("Upstash-Retried", str(begun.failures)),
            ("Upstash-Signature", signature),
            *_origin(begun, message),
            *warning(begun).items(),
        ),
        body=content.body,
        timeout_ms=begun.deadline_ms,
        signed=warning(begun),
    )


def group_of(begun: Begun) -> str:
    """The url group's name that stands where a URL would, which has a colon in it.

    Raises: UnreadableRecord.
    """
    url = fetched(begun).url
    return "" if ":" in url else url


def expand(begun: Begun, group: Group) -> list[Draft]:
    """The message of a schedule's run, for each endpoint of its url group.

    Raises: UnreadableRecord.
    """
    content = fetched(begun)
    said = from_options(content.options)
    said = replace(said, schedule_id=schedule_id(begun.schedule, said), delay_ms=0)
    return [
        Draft(
            Content(
                endpoint.url,
                content.body,
                to_options(to_endpoint(said, group=group.name, endpoint=endpoint)),
            ),
            begun.deadline_ms,
            journal=True,
            id=f"{begun.id}.{endpoint.key}",
            gates=to_gates(said),
        )
        for endpoint in group.endpoints
    ]


def next_delay_ms(begun: Begun, reply: Reply) -> int | None:
    """The wait after this attempt has failed, None to give up.

    What the receiver asks for goes before the publisher's expression, and that before
    the default.

    Raises: UnreadableRecord.
    """
    message = from_options(fetched(begun).options)
    over = begun.failures >= message.retries
    if over or reply.error in retry.HOPELESS or _is_non_retryable(reply):
        return None
    ended_ms = reply.started_ms + int(reply.total_ms)
    asked_ms = retry_delay.asked_ms(reply.headers, now_ms=ended_ms)
    if asked_ms is not None:
        return asked_ms
    return retry_delay.planned_ms(begun.failures, message.retry_delay)


def response_cap_bytes(begun: Begun, *, settings: EngineSettings) -> int:
    """How much of the response is read: a callback tells more than the log keeps.

    Raises: UnreadableRecord.
    """
    message = from_options(fetched(begun).options)
    told = message.callback is not None or message.failure_callback is not None
    most = callbacks.RESPONSE_MAX_BYTES if told else 0
    return max(most, settings.response_log_bytes)


def kept_headers(reply: Reply, *, settings: EngineSettings) -> Headers:
    """Those of a failure, as they are told of nothing else.

    As many as fit into the bytes that the log keeps of a body; one that is too long
    is left out whole.
    """
    if is_success(reply):
        return ()
    kept, left = [], settings.response_log_bytes
    for name, value in reply.headers:
        length = len(name.encode()) + len(value.encode())
        if length <= left:
            kept.append((name, value))
            left -= length
    return tuple(kept)


def follow_ups(
    begun: Begun, answer: Answer, *, dead: bool, settings: EngineSettings
) -> tuple[FollowUp, ...]:
    """The callbacks that tell of this attempt, and of the message's failure.

    Raises: UnreadableRecord.
    """
    key = key_of(begun.owner.tenant, secret_key=settings.secret_key)
    return callbacks.follow_ups(begun, answer, dead=dead, redaction_key=key)


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
