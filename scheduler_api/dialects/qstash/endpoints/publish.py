"""The endpoints that accept messages: publish, enqueue and batch."""

import logging
import redis
import time
from collections.abc import Callable, Iterator, Sequence
from flask import Response, request
from scheduler_api.core import logfmt
from scheduler_api.core.errors import LimitReached, NotFound, StoreFull
from scheduler_api.core.model import Accepted, Draft, Owner, Verdict
from scheduler_api.core.store.events import AT_ONCE
from scheduler_api.core.tenants.url_groups import MOST_ENDPOINTS, Group
from scheduler_api.dialects.qstash.parsing.addressing import Addressing
from scheduler_api.dialects.qstash.parsing.drafts import Drafts, Limits, ParsedMessage
from scheduler_api.dialects.qstash.parsing.header_values import BadValue
from scheduler_api.dialects.qstash.parsing.request_headers import DEFAULTS
from scheduler_api.dialects.qstash.parsing.requests import (
    read_body,
    read_headers,
    read_json,
    too_large,
)
from scheduler_api.dialects.qstash.parsing.targets import (
    Target,
    parse_target,
    read_enqueue_target,
    read_target,
)
from scheduler_api.dialects.qstash.rendering import (
    quota_errors,
    response_schemas,
    responses,
)
from scheduler_api.dialects.qstash.rendering.header_schemas import message_headers
from scheduler_api.dialects.qstash.rendering.responses import Json
from scheduler_api.dialects.qstash.settings import QstashSettings
from scheduler_api.services import Services
from scheduler_api.web.documented import documented, listed
from scheduler_api.web.refusal import Refusal

PUBLISH, ENQUEUE = "/v2/publish/", "/v2/enqueue/"
FULL = "the store is full, please try again later"
AWAY = "the store went away before this was stored, please try again"
UNKNOWN = "the store went away meanwhile: whether this was stored is unknown"

PUBLISHING = documented(
    body={},
    content_type="*/*",
    headers=message_headers(),
    answer={"oneOf": [response_schemas.Published, listed(response_schemas.Published)]},
    statuses=(201, 202),
    errors=(400, 404, 412, 413),
)
BATCH = listed(response_schemas.BatchItem)
BATCH_ANSWER = listed(
    {
        "oneOf": [
            response_schemas.Published,
            response_schemas.BatchItemError,
            listed(response_schemas.Published),
        ]
    }
)

# What an item of a batch comes to: a message, several, or what is wrong with it.
Read = Draft | list[Draft] | str

log = logging.getLogger("scheduler.web")


class Publishing:
    """Views; each is called with the owner that the request's token stands for."""

    def __init__(
        self, services: Services, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = services.store
        settings = services.settings.of(QstashSettings)
        self._owner_limits = settings.owner_limits
        self._groups = services.groups
        self._limits = Limits.of(services.settings)
        self._drafts = Drafts(self._limits)
        self._batch_limit = settings.batch_limit
        self._batch_limit_bytes = settings.batch_limit_bytes
        self._clock = clock

    @PUBLISHING
    def publish(self, owner: Owner, destination: str) -> Response:
        """Accepts a message; when it answers, the message is stored."""
        return self._accept(owner, read_target(request.environ, route=PUBLISH))

    @PUBLISHING
    def enqueue(self, owner: Owner, queue: str, destination: str) -> Response:
        """Accepts a message for a queue."""
        queue, target = read_enqueue_target(request.environ, route=ENQUEUE)
        return self._accept(owner, target, queue=queue)

    def _accept(
        self, owner: Owner, target: Target, *, queue: str | None = None
    ) -> Response:
        """One message, or one for each endpoint of a group: all of them or none."""
        to = self._addressing(owner).resolve(target.destination)
        said = self._drafts.read(
            read_headers(request.environ, query=target.configuration),
            query=target.configuration,
            queue=queue,
            caller_ip=request.remote_addr,
            base=self._drafts.defaults(to) if isinstance(to, Group) else DEFAULTS,
        )
        body = read_body(request, limit_bytes=self._limits.body_limit_bytes)
        now_ms = self._now_ms()
        if isinstance(to, Group):
            drafts = self._drafts.for_group(said, to, body=body, now_ms=now_ms)
        else:
            drafts = [self._drafts.draft(said, url=to, body=body, now_ms=now_ms)]
        accepted = self._store.create_many(owner, drafts, at_once=MOST_ENDPOINTS)
        verdicts = {each.verdict for each in accepted}
        if Verdict.FULL in verdicts:
            raise StoreFull
        for each in accepted:
            if each.verdict is Verdict.LIMIT_REACHED:
                raise LimitReached(each.id)
        shown = list(map(self._told, drafts, accepted))
        _log(owner, accepted)
        duplicate = verdicts == {Verdict.DUPLICATE}
        answer: object = shown if isinstance(to, Group) else shown[0]
        return responses.respond(answer, 202 if duplicate else 201)

    @documented(body=BATCH, answer=BATCH_ANSWER, errors=(400, 413))
    def batch(self, owner: Owner) -> Response:
        """Accepts many messages; what is wrong with one is told in its place."""
        items = read_json(request, limit_bytes=self._batch_limit_bytes)
        if not isinstance(items, list):
            raise Refusal(400, "body should be a list of messages")
        if len(items) > self._batch_limit:
            most = f"at most {self._batch_limit} messages, not {len(items)}"
            raise Refusal(413, f"body should have {most}: split the batch")
        reader = _Items(
            self._limits,
            self._drafts,
            self._addressing(owner),
            caller_ip=request.remote_addr,
            most=self._batch_limit,
        )
        return responses.respond(self._take(owner, items, reader), 200)

    def _take(
        self, owner: Owner, items: list[object], reader: "_Items"
    ) -> list[Json | list[Json]]:
        """Stores what the items describe; the answer to each, in their order.

        If the store goes away, what was stored before is still told.

        Raises: redis.RedisError, if nothing was stored.
        """
        shown: list[Json | list[Json]] = []
        begun: list[Read] = []
        stored = 0
        try:
            for part in _parts(
                reader.read(item, now_ms=self._now_ms()) for item in items
            ):
                begun = part
                accepted = self._store.create_many(
                    owner, list(_drafts_of(part)), at_once=MOST_ENDPOINTS
                )
                stored += sum(each.verdict is Verdict.OK for each in accepted)
                shown += self._told_of_items(part, iter(accepted))
                begun = []
        except redis.RedisError as err:
            if not stored:
                raise
            log.error(
                logfmt.line("batch.cut", owner=owner, told=len(shown)), exc_info=err
            )
            shown += [_failed(e if isinstance(e, str) else UNKNOWN) for e in begun]
            shown += [_failed(AWAY)] * (len(items) - len(shown))
        log.info(
            logfmt.line("batch.accepted", owner=owner, items=len(items), events=stored)
        )
        return shown

    def _told_of_items(
        self, read: Sequence[Read], accepted: Iterator[Accepted]
    ) -> Iterator[Json | list[Json]]:
        for item in read:
            if isinstance(item, str):
                yield _failed(item)
            elif isinstance(item, list):
                yield [self._told(draft, next(accepted)) for draft in item]
            else:
                yield self._told(item, next(accepted))

    def _told(self, draft: Draft, answer: Accepted) -> Json:
        if answer.verdict is Verdict.FULL:
            return _failed(FULL)
        if answer.verdict is Verdict.LIMIT_REACHED:
            return _failed(quota_errors.describe(answer.id, self._owner_limits))
        duplicate = answer.verdict is Verdict.DUPLICATE
        return responses.render_published(
            answer.id, url=draft.content.url, deduplicated=duplicate
        )

    def _addressing(self, owner: Owner) -> Addressing:
        return Addressing(self._groups, owner, policy=self._limits.address_policy)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


class _Items:
    """Reads the items of one batch; `most` messages may be for url groups."""

    def __init__(
        self,
        limits: Limits,
        drafts: Drafts,
        addressing: Addressing,
        *,
        caller_ip: str | None,
        most: int,
    ) -> None:
        self._limits = limits
        self._drafts = drafts
        self._addressing = addressing
        self._caller_ip = caller_ip
        self._most = self._room = most

    def read(self, item: object, *, now_ms: int) -> Read:
        """What an item describes, or what is wrong with it."""
        try:
            if not isinstance(item, dict):
                raise BadValue("item", "should be an object")
            return self._read(item, now_ms)
        except (BadValue, NotFound) as err:
            return str(err)

    def _read(self, item: dict[str, object], now_ms: int) -> Draft | list[Draft]:
        named = _text(item, "destination")
        if named is None:
            raise BadValue("destination", "is missing")
        target = parse_target(named)
        to = self._addressing.resolve(target.destination)
        group = to if isinstance(to, Group) else None
        said = self._said(item, target, group)
        body = (_text(item, "body") or "").encode()
        if len(body) > self._limits.body_limit_bytes:
            raise BadValue("body", too_large(self._limits.body_limit_bytes)[5:])
        if group is None:
            return self._drafts.draft(said, url=str(to), body=body, now_ms=now_ms)
        self._room -= len(group.endpoints)
        if self._room < 0:
            most = f"would have the batch make more than {self._most} messages"
            raise BadValue("destination", f"{most} for url groups")
        return self._drafts.for_group(said, group, body=body, now_ms=now_ms)

    def _said(
        self, item: dict[str, object], target: Target, group: Group | None
    ) -> ParsedMessage:
        headers, queue = item.get("headers"), _text(item, "queue")
        if headers is not None and not isinstance(headers, dict):
            raise BadValue("headers", "should be an object")
        pairs = tuple((headers or {}).items())
        if not all(name.strip() for name, _ in pairs):
            raise BadValue("headers", "should have names")
        if not all(isinstance(value, str) for _, value in pairs):
            raise BadValue("headers", "should have texts as values")
        return self._drafts.read(
            pairs,
            query=target.configuration,
            queue=queue,
            caller_ip=self._caller_ip,
            base=DEFAULTS if group is None else self._drafts.defaults(group),
        )


def _text(item: dict[str, object], name: str) -> str | None:
    value = item.get(name)
    if value is not None and not isinstance(value, str):
        raise BadValue(name, "should be a text")
    return value


def _parts(items: Iterator[Read]) -> Iterator[list[Read]]:
    """A few hundred messages at a time; those to one group are stored together."""
    part: list[Read] = []
    size = 0
    for item in items:
        weight = len(item) if isinstance(item, list) else 1
        if part and size + weight > AT_ONCE:
            yield part
            part, size = [], 0
        part.append(item)
        size += weight
    if part:
        yield part


def _drafts_of(read: Sequence[Read]) -> Iterator[Draft]:
    for item in read:
        if isinstance(item, Draft):
            yield item
        elif isinstance(item, list):
            yield from item


def _failed(error: str) -> Json:
    return {"messageId": "", "error": error}


def _log(owner: Owner, accepted: Sequence[Accepted]) -> None:
    for each in accepted:
        duplicate = each.verdict is Verdict.DUPLICATE
        log.info(
            logfmt.line(
                "event.deduplicated" if duplicate else "event.accepted",
                event=each.id,
                owner=owner,
                wanted_ms=None if duplicate else each.wanted_ms,
            )
        )
