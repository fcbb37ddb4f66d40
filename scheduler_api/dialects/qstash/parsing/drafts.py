"""From what a publisher said to an event that can be stored. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from scheduler_api.core.deduplication import DeduplicationKey
from scheduler_api.core.delivery.destinations import AddressPolicy
from scheduler_api.core.model import Content, Draft
from scheduler_api.core.tenants.url_groups import Group
from scheduler_api.dialects.qstash.parsing.header_values import BadValue
from scheduler_api.dialects.qstash.parsing.message import (
    Headers,
    Message,
    content_hash,
    to_endpoint,
    to_gates,
    to_options,
)
from scheduler_api.dialects.qstash.parsing.request_headers import (
    DEFAULTS,
    HeaderLimits,
    from_headers,
)
from scheduler_api.dialects.qstash.parsing.targets import check_callbacks
from scheduler_api.settings import Settings
from typing import Any

DAY_MS = 86_400_000
# A publisher says mostly the same about each of its messages: reading that again is
# the dearest part of taking one, apart from storing it.
REMEMBERED = 1_024
REMEMBERED_MAX_LENGTH = 4_096


@dataclass(frozen=True)
class Limits:
    """What holds for every message of a process."""

    headers: HeaderLimits
    default_timeout_ms: int
    deduplication_ms: int
    body_limit_bytes: int
    allow: AddressPolicy

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """The limits that the settings name."""
        return cls(
            headers=HeaderLimits(
                delay_ms=settings.qstash_delay_limit_days * DAY_MS,
                timeout_ms=settings.qstash_timeout_limit_ms,
                retries=settings.qstash_retries_limit,
            ),
            default_timeout_ms=settings.qstash_timeout_ms,
            deduplication_ms=settings.qstash_deduplication_ms,
            body_limit_bytes=settings.body_limit_bytes,
            allow=AddressPolicy.of(settings),
        )


@dataclass(frozen=True)
class Said:
    """A message, also as an event's options; both are shared, nobody changes them."""

    message: Message
    options: dict[str, object]


class Drafts:
    """Reads headers and makes drafts under the limits of a process."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._remembered = lru_cache(REMEMBERED)(self._read)

    def read(
        self,
        headers: Headers,
        *,
        query: Headers = (),
        queue: str | None = None,
        caller_ip: str | None = None,
        base: Message = DEFAULTS,
    ) -> Said:
        """What headers and parameters say, as `from_headers` has it.

        Raises: BadValue.
        """
        if base is not DEFAULTS:
            return self._read(headers, query, queue, caller_ip, base)
        length = sum(len(name) + len(value) for name, value in (*headers, *query))
        if length > REMEMBERED_MAX_LENGTH:
            return self._read(headers, query, queue, caller_ip)
        return self._remembered(headers, query, queue, caller_ip)

    def _read(
        self,
        headers: Headers,
        query: Headers,
        queue: str | None,
        caller_ip: str | None,
        base: Message = DEFAULTS,
    ) -> Said:
        message = from_headers(
            headers,
            query=query,
            base=base,
            queue=queue,
            caller_ip=caller_ip,
            limits=self._limits.headers,
        )
        check_callbacks(message, allow=self._limits.allow)
        return Said(message, to_options(message))

    def defaults(self, group: Group) -> Message:
        """What holds for messages to a url group where nothing else is said.

        Raises: BadValue.
        """
        headers = default_headers(group.defaults)
        return self.read(headers).message if headers else DEFAULTS

    def for_group(
        self, said: Said, group: Group, *, body: bytes, now_ms: int
    ) -> list[Draft]:
        """A message to a url group as events to store, one for each endpoint.

        Raises: BadValue.
        """
        drafts = []
        for endpoint in group.endpoints:
            message = to_endpoint(said.message, group=group.name, endpoint=endpoint)
            each = Said(message, to_options(message))
            drafts.append(self.draft(each, url=endpoint.url, body=body, now_ms=now_ms))
        return drafts

    def draft(self, said: Said, *, url: str, body: bytes, now_ms: int) -> Draft:
        """A message as an event to store.

        Args:
            now_ms: only tells whether a time has passed, which then means at once.

        Raises: BadValue.
        """
        at_ms = said.message.not_before_ms
        most_ms = self._limits.headers.delay_ms
        if at_ms is not None and at_ms - now_ms > most_ms:
            limit = f"should be at most {most_ms // 1000}s from now"
            raise BadValue("Upstash-Not-Before", limit)
        past = at_ms is not None and at_ms <= now_ms
        name = _deduplication_name(said.message, url=url, body=body)
        return Draft(
            Content(url, body, said.options),
            said.message.timeout_ms or self._limits.default_timeout_ms,
            at_ms=None if past else at_ms,
            delay_ms=said.message.delay_ms if at_ms is None else 0,
            journal=True,
            deduplication=DeduplicationKey(name, self._limits.deduplication_ms)
            if name
            else None,
            gates=to_gates(said.message),
        )


def schedule_deduplication_name(message: Message, *, url: str, body: bytes) -> str:
    """As of a message, for the creation of a schedule: its rule is part of its content.

    No message has the deduplication name of a schedule.
    """
    name = _deduplication_name(message, url=url, body=body)
    if not name or message.deduplication_id is not None:
        return name and f"s{name}"
    fields = (name, message.cron or "", message.tz or "", message.schedule_id or "")
    return "s" + hashlib.sha256("\0".join(fields).encode()).hexdigest()


def _deduplication_name(message: Message, *, url: str, body: bytes) -> str:
    """What a message is recognised by if it is published again, '' if it may be."""
    if message.deduplication_id is not None:
        named = message.deduplication_id + _of_endpoint(message, url)
        return "i" + hashlib.sha256(named.encode()).hexdigest()
    if message.content_based:
        # What goes to a group is no duplicate of what goes to one of its endpoints.
        of = _of_endpoint(message, url) or url
        return "c" + content_hash(message, url=of, body=body)
    return ""


def _of_endpoint(message: Message, url: str) -> str:
    """Distinguish the endpoints of a group; ids contain no NUL."""
    return "" if message.topic is None else f"\0{message.topic}\0{url}"


def default_headers(defaults: Mapping[str, Any]) -> Headers:
    """The headers that a group's defaults are."""
    headers: dict[str, list[str]] = defaults.get("headers", {})
    return tuple((name, value) for name in headers for value in headers[name])
