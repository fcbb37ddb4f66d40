"""Creates drafts of events from the headers that publishers send. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from scheduler_api.core.deduplication import DeduplicationKey
from scheduler_api.core.delivery.destinations import AddressPolicy
from scheduler_api.core.delivery.retry_expression import MAX_STEPS
from scheduler_api.core.headers import from_stored
from scheduler_api.core.model import Content, Draft
from scheduler_api.core.tenants.url_groups import Group
from scheduler_api.dialects.qstash.parsing.header_values import BadValue
from scheduler_api.dialects.qstash.parsing.ids import (
    message_key_name,
    schedule_key_name,
)
from scheduler_api.dialects.qstash.parsing.ignored_names import ignored_names
from scheduler_api.dialects.qstash.parsing.message import (
    Headers,
    Message,
    content_hash,
    to_endpoint,
    to_gates,
    to_options,
)
from scheduler_api.dialects.qstash.parsing.request_headers import (
    CRON,
    DEFAULTS,
    WORKFLOW,
    HeaderLimits,
    from_headers,
)
from scheduler_api.dialects.qstash.parsing.targets import check_callbacks
from scheduler_api.dialects.qstash.settings import QstashSettings
from scheduler_api.settings import Settings
from typing import Any

DAY_MS = 86_400_000
# Parsed headers are cached, because most publishers send the same headers with each
# message. Parsing is slow: only storing the message takes more time.
CACHED_MESSAGES = 1_024
CACHED_MAX_LENGTH = 4_096


@dataclass(frozen=True)
class Limits:
    """Limits and defaults for all messages."""

    headers: HeaderLimits
    default_timeout_ms: int
    deduplication_ms: int
    body_limit_bytes: int
    address_policy: AddressPolicy

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """Return the limits in the settings."""
        own = settings.of(QstashSettings)
        return cls(
            headers=HeaderLimits(
                delay_ms=own.delay_limit_days * DAY_MS,
                timeout_ms=own.timeout_limit_ms,
                retries=own.retries_limit,
            ),
            default_timeout_ms=own.timeout_ms,
            deduplication_ms=own.deduplication_ms,
            body_limit_bytes=settings.body_limit_bytes,
            address_policy=AddressPolicy.of(settings),
        )


@dataclass(frozen=True)
class ParsedMessage:
    """A message, and the same message in the format of an event's options.

    Many events share one instance from the cache, so callers must not change `options`.
    `ignored` are the names of headers and parameters without effect.
    """

    message: Message
    options: dict[str, object]
    ignored: tuple[str, ...] = ()


class Drafts:
    """Parses headers into messages, and makes drafts of events from messages."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._read_cached = lru_cache(CACHED_MESSAGES)(self._read)

    def read(
        self,
        headers: Headers,
        *,
        query: Headers = (),
        queue: str | None = None,
        caller_ip: str | None = None,
        base: Message = DEFAULTS,
        check_steps: int = MAX_STEPS,
    ) -> ParsedMessage:
        """Parse headers and query parameters; see `from_headers` for the arguments.

        Raises: BadValue.
        """
        if base is not DEFAULTS:
            return self._read(
                *(headers, query, queue, caller_ip), check_steps=check_steps, base=base
            )
        length = sum(len(name) + len(value) for name, value in (*headers, *query))
        read = self._read if length > CACHED_MAX_LENGTH else self._read_cached
        return read(*(headers, query, queue, caller_ip), check_steps=check_steps)

    def _read(
        self,
        headers: Headers,
        query: Headers,
        queue: str | None,
        caller_ip: str | None,
        *,
        check_steps: int,
        base: Message = DEFAULTS,
    ) -> ParsedMessage:
        message = from_headers(
            headers,
            query=query,
            base=base,
            queue=queue,
            caller_ip=caller_ip,
            limits=self._limits.headers,
            check_steps=check_steps,
        )
        check_callbacks(message, policy=self._limits.address_policy)
        ignored = ignored_names(headers, query)
        return ParsedMessage(message, to_options(message), ignored)

    def defaults(self, group: Group) -> Message:
        """Return a message with the settings in a url group's default headers.

        Raises: BadValue.
        """
        # Older versions stored headers of schedules and workflows, without effect.
        headers = tuple(
            pair
            for pair in default_headers(group.defaults)
            if not pair[0].lower().startswith((CRON, WORKFLOW))
        )
        return self.read(headers).message if headers else DEFAULTS

    def for_group(
        self, parsed: ParsedMessage, group: Group, *, body: bytes, now_ms: int
    ) -> list[Draft]:
        """Return the drafts of a message to a url group, one for each endpoint.

        Args:
            now_ms: see `draft`.

        Raises: BadValue.
        """
        drafts = []
        for endpoint in group.endpoints:
            message = to_endpoint(parsed.message, group=group.name, endpoint=endpoint)
            copy = ParsedMessage(message, to_options(message))
            drafts.append(self.draft(copy, url=endpoint.url, body=body, now_ms=now_ms))
        return drafts

    def draft(
        self, parsed: ParsedMessage, *, url: str, body: bytes, now_ms: int
    ) -> Draft:
        """Return a draft of a message to a URL.

        Args:
            now_ms: the current time. A message whose `Upstash-Not-Before` is earlier is
                due at once. A time too far in the future is refused.

        Raises: BadValue.
        """
        message = parsed.message
        at_ms = message.not_before_ms
        max_delay_ms = self._limits.headers.delay_ms
        if at_ms is not None and at_ms - now_ms > max_delay_ms:
            fault = f"should be at most {max_delay_ms // 1000}s from now"
            raise BadValue("Upstash-Not-Before", fault)
        is_past = at_ms is not None and at_ms <= now_ms
        name = _deduplication_name(message, url=url, body=body)
        return Draft(
            Content(url, body, parsed.options),
            message.timeout_ms or self._limits.default_timeout_ms,
            at_ms=None if is_past else at_ms,
            delay_ms=message.delay_ms if at_ms is None else 0,
            journal=True,
            deduplication=DeduplicationKey(name, self._limits.deduplication_ms)
            if name
            else None,
            gates=to_gates(message),
        )


def schedule_deduplication_name(message: Message, *, url: str, body: bytes) -> str:
    """Return the deduplication name of a request for a schedule.

    Return '' if the request is not deduplicated. If requests are compared by content,
    the cron expression, the time zone and the name of the schedule are part of the
    content.
    """
    name = _deduplication_name(message, url=url, body=body)
    if not name or message.deduplication_id is not None:
        return name and schedule_key_name(name)
    fields = (name, message.cron or "", message.tz or "", message.schedule_id or "")
    return schedule_key_name(hashlib.sha256("\0".join(fields).encode()).hexdigest())


def _deduplication_name(message: Message, *, url: str, body: bytes) -> str:
    """Return the deduplication name of a message; '' means no deduplication."""
    if message.deduplication_id is not None:
        scoped_id = message.deduplication_id + _group_scope(message, url)
        return message_key_name(scoped_id)
    if message.content_based:
        # A message to an endpoint of a url group is never a duplicate of a message that
        # was published to the endpoint's URL without the group.
        scope = _group_scope(message, url) or url
        return "c" + content_hash(message, url=scope, body=body)
    return ""


def _group_scope(message: Message, url: str) -> str:
    """Return a text that identifies an endpoint of a url group.

    Return '' if the message was not sent to a url group. The text begins with NUL,
    which deduplication ids cannot contain.
    """
    return "" if message.topic is None else f"\0{message.topic}\0{url}"


def default_headers(defaults: Mapping[str, Any]) -> Headers:
    """Return the default headers of a url group as pairs of name and value."""
    headers: dict[str, list[str]] = defaults.get("headers", {})
    return tuple(
        (name, from_stored(value)) for name in headers for value in headers[name]
    )
