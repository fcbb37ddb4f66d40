"""The endpoints that accept messages: publish, enqueue and batch."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from flask import Response, request
from scheduler_api.core import logs
from scheduler_api.core.errors import NotFound, StoreFull
from scheduler_api.core.model import Accepted, Draft, Owner, Verdict
from scheduler_api.core.store import AT_ONCE
from scheduler_api.dialects.qstash import answers
from scheduler_api.dialects.qstash.answers import Shown
from scheduler_api.dialects.qstash.drafts import Drafts, Said, Terms
from scheduler_api.dialects.qstash.grammars import BadValue
from scheduler_api.dialects.qstash.reading import (
    Refused,
    read_body,
    read_headers,
    read_json,
    too_large,
)
from scheduler_api.dialects.qstash.targets import (
    Target,
    read_destination,
    read_target,
)
from scheduler_api.services import Services
from typing import Any
from urllib.parse import unquote

PUBLISH, ENQUEUE = "/v2/publish/", "/v2/enqueue/"
FULL = "the store is full, please try again later"

log = logging.getLogger("scheduler.web")


class Publishing:
    """Views; each is called with the owner that the request's token stands for."""

    def __init__(
        self, services: Services, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = services.store
        self._terms = Terms.of(services.settings)
        self._drafts = Drafts(self._terms)
        self._batch_limit = services.settings.qstash_batch_limit
        self._batch_limit_bytes = services.settings.qstash_batch_limit_bytes
        self._clock = clock

    def publish(self, owner: Owner, destination: str) -> Response:
        """Accepts a message; when it answers, the message is stored."""
        return self._accept(owner, read_target(request.environ, route=PUBLISH))

    def enqueue(self, owner: Owner, queue: str, destination: str) -> Response:
        """Accepts a message for a queue."""
        target = read_target(request.environ, route=ENQUEUE)
        queue, _, rest = target.rest.partition("/")
        return self._accept(owner, replace(target, rest=rest), queue=unquote(queue))

    def _accept(
        self, owner: Owner, target: Target, *, queue: str | None = None
    ) -> Response:
        url = read_destination(target.destination, self._terms.allow)
        said = self._drafts.read(
            read_headers(request.environ, query=target.configuration),
            query=target.configuration,
            queue=queue,
            caller_ip=request.remote_addr,
        )
        body = read_body(request, limit_bytes=self._terms.body_limit_bytes)
        wanted = self._drafts.draft(said, url=url, body=body, now_ms=self._now_ms())
        accepted = self._store.create_many(owner, [wanted])[0]
        if accepted.verdict is Verdict.FULL:
            raise StoreFull
        double = accepted.verdict is Verdict.DOUBLE
        log.info(
            logs.line(
                "event.deduplicated" if double else "event.accepted",
                event=accepted.id,
                owner=owner,
                wanted_ms=None if double else accepted.wanted_ms,
            )
        )
        shown = answers.published(accepted.id, url=url, deduplicated=double)
        return answers.respond(shown, 202 if double else 201)

    def batch(self, owner: Owner) -> Response:
        """Accepts many messages; what is wrong with one is told in its place."""
        items = read_json(request, limit_bytes=self._batch_limit_bytes)
        if not isinstance(items, list):
            raise Refused(400, "body should be a list of messages")
        if len(items) > self._batch_limit:
            most = f"at most {self._batch_limit} messages, not {len(items)}"
            raise Refused(413, f"body should have {most}: split the batch")
        reader = _Items(self._terms, self._drafts, caller_ip=request.remote_addr)
        shown: list[Shown] = []
        stored = 0
        for at in range(0, len(items), AT_ONCE):
            read = [
                reader.read(item, now_ms=self._now_ms())
                for item in items[at : at + AT_ONCE]
            ]
            drafts = [item for item in read if isinstance(item, Draft)]
            accepted = self._store.create_many(owner, drafts)
            stored += sum(each.verdict is Verdict.OK for each in accepted)
            shown += _told(read, iter(accepted))
        log.info(
            logs.line("batch.accepted", owner=owner, items=len(items), events=stored)
        )
        return answers.respond(shown, 200)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


class _Items:
    """Reads the items of one batch."""

    def __init__(self, terms: Terms, drafts: Drafts, *, caller_ip: str | None) -> None:
        self._terms = terms
        self._drafts = drafts
        self._caller_ip = caller_ip

    def read(self, item: object, *, now_ms: int) -> Draft | str:
        """The event that an item describes, or what is wrong with it."""
        try:
            if not isinstance(item, dict):
                raise BadValue("item", "should be an object")
            return self._draft(item, now_ms)
        except (BadValue, NotFound) as err:
            return str(err)

    def _draft(self, item: dict[str, Any], now_ms: int) -> Draft:
        named = _text(item, "destination")
        if named is None:
            raise BadValue("destination", "is missing")
        url = read_destination(named, self._terms.allow)
        said = self._said(item)
        body = (_text(item, "body") or "").encode()
        if len(body) > self._terms.body_limit_bytes:
            raise BadValue("body", too_large(self._terms.body_limit_bytes)[5:])
        return self._drafts.draft(said, url=url, body=body, now_ms=now_ms)

    def _said(self, item: dict[str, Any]) -> Said:
        headers, queue = item.get("headers") or {}, _text(item, "queue")
        if not isinstance(headers, dict):
            raise BadValue("headers", "should be an object")
        pairs = tuple(headers.items())
        if not all(isinstance(value, str) for _, value in pairs):
            raise BadValue("headers", "should have texts as values")
        return self._drafts.read(pairs, queue=queue, caller_ip=self._caller_ip)


def _text(item: dict[str, Any], name: str) -> str | None:
    value = item.get(name)
    if value is not None and not isinstance(value, str):
        raise BadValue(name, "should be a text")
    return value


def _told(read: list[Draft | str], accepted: Iterator[Accepted]) -> Iterator[Shown]:
    for item in read:
        if isinstance(item, str):
            yield {"messageId": "", "error": item}
            continue
        answer = next(accepted)
        if answer.verdict is Verdict.FULL:
            yield {"messageId": "", "error": FULL}
            continue
        double = answer.verdict is Verdict.DOUBLE
        yield answers.published(answer.id, url=item.content.url, deduplicated=double)
