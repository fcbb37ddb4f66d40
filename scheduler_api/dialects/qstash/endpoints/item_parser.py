"""Parses the items of a batch into drafts of events."""

import logging
from collections.abc import Iterator, Sequence
from scheduler_api.core import logfmt
from scheduler_api.core.errors import NotFound, UnreadableRecord
from scheduler_api.core.headers import from_text
from scheduler_api.core.model import Draft
from scheduler_api.core.tenants.url_groups import Group
from scheduler_api.dialects.qstash.parsing.addressing import Addressing
from scheduler_api.dialects.qstash.parsing.drafts import Drafts, Limits, ParsedMessage
from scheduler_api.dialects.qstash.parsing.header_values import BadValue
from scheduler_api.dialects.qstash.parsing.ignored_names import ignored_fields
from scheduler_api.dialects.qstash.parsing.message import Message, canonical
from scheduler_api.dialects.qstash.parsing.request_headers import (
    DEFAULTS,
    NO_WORKFLOWS,
    WORKFLOW,
)
from scheduler_api.dialects.qstash.parsing.targets import Target, parse_target
from scheduler_api.web.refusal import Refusal
from typing import NamedTuple

UNREADABLE = "the url group is damaged, please ask the operator"
# As many headers as a request may have.
ITEM_HEADERS_MAX = 500

log = logging.getLogger("scheduler.web")


class Item(NamedTuple):
    """A parsed item of a batch.

    A message to a URL has one draft, a message to a url group one for each endpoint. An
    invalid item has only an error.
    """

    drafts: Sequence[Draft] = ()
    to_group: bool = False
    ignored: tuple[str, ...] = ()
    ignored_fields: tuple[str, ...] = ()
    error: str | None = None


class ItemParser:
    """Parses the items of one batch.

    Args:
        max_group_messages: the maximum number of messages that the batch may send to
            the endpoints of url groups.
        check_steps: see `header_values.check_retry_delay`.
    """

    def __init__(
        self,
        limits: Limits,
        drafts: Drafts,
        addressing: Addressing,
        *,
        caller_ip: str | None,
        max_group_messages: int,
        check_steps: int,
    ) -> None:
        self._limits = limits
        self._drafts = drafts
        self._addressing = addressing
        self._caller_ip = caller_ip
        self._max_group_messages = max_group_messages
        self._check_steps = check_steps
        self._group_messages_left = max_group_messages
        # By the name of the url group: parsing its default headers may take 2 ms.
        self._defaults: dict[str, Message] = {}

    def parse(self, item: object, *, now_ms: int) -> Item:
        """Return what an item describes, or its error."""
        try:
            if isinstance(item, BadValue):
                raise item
            if not isinstance(item, dict):
                raise BadValue("item", "should be an object")
            parsed = self._parse(item, now_ms)
            fields = ignored_fields(item)
            return parsed._replace(ignored_fields=fields) if fields else parsed
        except (BadValue, NotFound) as err:
            return Item(error=str(err))
        except UnreadableRecord as err:
            log.error(logfmt.line("record.unreadable", problem=err))
            return Item(error=UNREADABLE)

    def _parse(self, item: dict[str, object], now_ms: int) -> Item:
        target = parse_target(_text(item, "destination") or "")
        destination = self._addressing.resolve(target.destination)
        group = destination if isinstance(destination, Group) else None
        message = self._parse_message(item, target, group)
        body = (_text(item, "body") or "").encode()
        if len(body) > self._limits.body_limit_bytes:
            fault = f"should have at most {self._limits.body_limit_bytes} bytes"
            raise BadValue("body", fault)
        if group is None:
            url = str(destination)
            draft = self._drafts.draft(message, url=url, body=body, now_ms=now_ms)
            return Item((draft,), ignored=message.ignored)
        self._group_messages_left -= len(group.endpoints)
        if self._group_messages_left < 0:
            limit = f"{self._max_group_messages} messages to url groups"
            raise BadValue("destination", f"would exceed the batch's limit of {limit}")
        drafts = self._drafts.for_group(message, group, body=body, now_ms=now_ms)
        return Item(drafts, to_group=True, ignored=message.ignored)

    def _parse_message(
        self, item: dict[str, object], target: Target, group: Group | None
    ) -> ParsedMessage:
        headers = item.get("headers")
        if headers is not None and not isinstance(headers, dict):
            raise BadValue("headers", "should be an object")
        pairs = (headers or {}).items()
        if len(pairs) > ITEM_HEADERS_MAX:
            raise BadValue("headers", f"should be at most {ITEM_HEADERS_MAX}")
        if not all(name.strip() for name, _ in pairs):
            raise BadValue("headers", "should have names")
        if not all(isinstance(value, str) for _, value in pairs):
            raise BadValue("headers", "should have texts as values")
        return self._drafts.read(
            tuple((name, from_text(value)) for name, value in pairs),
            query=target.configuration,
            # The official Go client sends an empty name if there is no queue.
            queue=_text(item, "queue") or None,
            caller_ip=self._caller_ip,
            base=DEFAULTS if group is None else self._defaults_of(group),
            check_steps=self._check_steps,
        )

    def _defaults_of(self, group: Group) -> Message:
        if group.name not in self._defaults:
            self._defaults[group.name] = self._drafts.defaults(group)
        return self._defaults[group.name]


def _text(item: dict[str, object], name: str) -> str | None:
    value = item.get(name)
    if value is not None and not isinstance(value, str):
        raise BadValue(name, "should be a text")
    return value


def refuse_workflows(items: Sequence[object]) -> None:
    """Refuse a batch that starts a workflow, before anything is stored.

    Raises: Refusal.
    """
    for item in items:
        for name in _names_in(item):
            if name.lower().startswith(WORKFLOW):
                raise Refusal(400, f"{canonical(name[:80])} {NO_WORKFLOWS}")


def _names_in(item: object) -> Iterator[str]:
    """Yield the names of the headers and of the parameters of an item."""
    if not isinstance(item, dict):
        return
    headers, destination = item.get("headers"), item.get("destination")
    if isinstance(headers, dict):
        yield from headers
    if isinstance(destination, str) and "?" in destination:
        yield from (name for name, _ in parse_target(destination).configuration)
