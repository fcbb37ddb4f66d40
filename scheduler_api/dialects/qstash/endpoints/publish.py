"""The endpoints that accept messages: publish, enqueue and batch."""

import logging
import redis
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from flask import Response, request
from scheduler_api.core import logfmt
from scheduler_api.core.delivery.retry_expression import MAX_STEPS
from scheduler_api.core.model import Accepted, Draft, Owner, Verdict
from scheduler_api.core.store.events import CREATE_BATCH_SIZE, check_accepted
from scheduler_api.core.tenants.url_groups import MAX_ENDPOINTS, Group
from scheduler_api.dialects.qstash.endpoints.item_parser import (
    Item,
    ItemParser,
    refuse_workflows,
)
from scheduler_api.dialects.qstash.parsing.addressing import (
    Addressing,
    missing_destination,
)
from scheduler_api.dialects.qstash.parsing.batch_items import parse_items
from scheduler_api.dialects.qstash.parsing.drafts import Drafts, Limits
from scheduler_api.dialects.qstash.parsing.ignored_names import Describer
from scheduler_api.dialects.qstash.parsing.message import message_id
from scheduler_api.dialects.qstash.parsing.request_headers import DEFAULTS, WORKFLOW
from scheduler_api.dialects.qstash.parsing.requests import read_body, read_headers
from scheduler_api.dialects.qstash.parsing.targets import (
    Target,
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
from scheduler_api.web import full_store
from scheduler_api.web.documented import array_of, documented

PUBLISH, ENQUEUE = "/v2/publish/", "/v2/enqueue/"
FULL = "the store is full, please try again later"
NOT_STORED = "the store became unavailable before this was stored, please try again"
UNKNOWN = "the store became unavailable: it is unknown whether this was stored"
# All items of a batch share these steps, in which retry delays are checked.
BATCH_CHECK_STEPS = 10 * MAX_STEPS
# After so long, a batch lets the other requests of the process run.
SLICE_S = 0.005

PUBLISHED = {
    201: "The message; in an array, one for each endpoint of the URL group",
    202: "A message with this deduplication key exists; nothing is published",
}
PUBLISHING = documented(
    body={},
    content_type="*/*",
    headers=message_headers(),
    response={
        "oneOf": [response_schemas.Published, array_of(response_schemas.Published)]
    },
    statuses=(201, 202),
    success=PUBLISHED,
    errors=(400, 404, 412, 413),
)
BATCH = array_of(response_schemas.BatchItem)
BATCH_RESPONSE = array_of(
    {
        "oneOf": [
            response_schemas.Published,
            response_schemas.BatchItemError,
            array_of(response_schemas.Published),
        ]
    }
)


log = logging.getLogger("scheduler.web")


@documented(statuses=(), errors=(400,))
def no_destination(_owner: Owner, **_in_path: str) -> Response:
    """Refuse a message or schedule without a destination."""
    route = request.path.rstrip("/")
    if f"{route}/".lower() == ENQUEUE:
        route = f"{route}/<queue>"
    example = f"POST {route}/https://example.com/path"
    raise missing_destination(f"put it behind {route}/, as in {example}")


class Publishing:
    """Views that accept messages. `owner` is the owner that the token identifies."""

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
        """Publish a message, which is stored before the response is sent."""
        return self._accept(owner, read_target(request.environ, route=PUBLISH))

    @PUBLISHING
    def enqueue(self, owner: Owner, queue: str, destination: str) -> Response:
        """Publish a message through a queue."""
        queue, target = read_enqueue_target(request.environ, route=ENQUEUE)
        return self._accept(owner, target, queue=queue)

    def _accept(
        self, owner: Owner, target: Target, *, queue: str | None = None
    ) -> Response:
        """Store a message to a URL, or the messages to all endpoints of a url group.

        The messages to a url group are stored atomically.
        """
        destination = self._addressing(owner).resolve(target.destination)
        group = destination if isinstance(destination, Group) else None
        parsed = self._drafts.read(
            read_headers(request.environ, query=target.configuration),
            query=target.configuration,
            queue=queue,
            caller_ip=request.remote_addr,
            base=DEFAULTS if group is None else self._drafts.defaults(group),
        )
        body = read_body(request, limit_bytes=self._limits.body_limit_bytes)
        now_ms = self._now_ms()
        if group is None:
            url = str(destination)
            drafts = [self._drafts.draft(parsed, url=url, body=body, now_ms=now_ms)]
        else:
            drafts = self._drafts.for_group(parsed, group, body=body, now_ms=now_ms)
        results = self._store.create_many(
            owner, drafts, batch_size=MAX_ENDPOINTS, all_or_none=True
        )
        for result in results:
            check_accepted(result)
        rendered = list(map(self._render, drafts, results))
        _log(owner, results)
        duplicate = {each.verdict for each in results} == {Verdict.DUPLICATE}
        answer: object = rendered[0] if group is None else rendered
        ignored = Describer().describe(parsed.ignored) if parsed.ignored else ""
        return responses.respond(answer, 202 if duplicate else 201, ignored=ignored)

    @documented(
        body=BATCH,
        response=BATCH_RESPONSE,
        success="What became of each item, in the order of the request",
        errors=(400, 413),
    )
    def batch(self, owner: Owner) -> Response:
        """Publish many messages; the response has an error for each invalid item."""
        body = read_body(request, limit_bytes=self._batch_limit_bytes)
        items = parse_items(body, max_items=self._batch_limit)
        if WORKFLOW.encode() in body.lower():
            refuse_workflows(items)
        parser = ItemParser(
            self._limits,
            self._drafts,
            self._addressing(owner),
            caller_ip=request.remote_addr,
            max_group_messages=self._batch_limit,
            check_steps=min(MAX_STEPS, BATCH_CHECK_STEPS // max(len(items), 1)),
        )
        return responses.respond(self._store_items(owner, items, parser), 200)

    def _store_items(
        self, owner: Owner, items: list[object], parser: ItemParser
    ) -> list[Json | list[Json]]:
        """Store the items of a batch; return an answer for each item, in order.

        If the store becomes unavailable after some items were stored, the answers to
        all further items are errors.

        Raises: redis.RedisError, if the store is unavailable before any item is stored.
        """
        rendered: list[Json | list[Json]] = []
        unanswered: list[Item] = []
        describer = Describer()
        stored = 0
        try:
            for part in _parts(
                parser.parse(item, now_ms=self._now_ms()) for item in _in_turns(items)
            ):
                unanswered = part
                results = self._store.create_many(
                    owner,
                    [draft for item in part for draft in item.drafts],
                    batch_size=MAX_ENDPOINTS,
                )
                stored += sum(result.verdict is Verdict.OK for result in results)
                rendered += self._render_items(part, iter(results), describer)
                unanswered = []
        except redis.RedisError as err:
            if not stored:
                raise
            fields = {"owner": owner, "answered": len(rendered)}
            log.error(logfmt.line("batch.interrupted", **fields), exc_info=err)
            for item in unanswered:
                rendered.append(_error(item.error or UNKNOWN))
            rendered += [_error(NOT_STORED)] * (len(items) - len(rendered))
        log.info(
            logfmt.line("batch.accepted", owner=owner, items=len(items), events=stored)
        )
        return rendered

    def _render_items(
        self, items: Sequence[Item], results: Iterator[Accepted], describer: Describer
    ) -> Iterator[Json | list[Json]]:
        for item in items:
            if item.error is not None:
                yield _error(item.error)
                continue
            rendered = [self._render(draft, next(results)) for draft in item.drafts]
            if item.ignored or item.ignored_fields:
                ignored = describer.describe(item.ignored, item.ignored_fields)
                rendered = [each | {"ignored": ignored} for each in rendered]
            yield rendered if item.to_group else rendered[0]

    def _render(self, draft: Draft, result: Accepted) -> Json:
        if result.verdict is Verdict.FULL:
            full_store.log_refused("items")
            return _error(FULL)
        if result.verdict is Verdict.LIMIT_REACHED:
            return _error(quota_errors.describe(result.id, self._owner_limits))
        duplicate = result.verdict is Verdict.DUPLICATE
        return responses.render_published(
            result.id, url=draft.content.url, deduplicated=duplicate
        )

    def _addressing(self, owner: Owner) -> Addressing:
        return Addressing(self._groups, owner, policy=self._limits.address_policy)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


def _in_turns(items: Iterable[object]) -> Iterator[object]:
    """Yield items; let other requests of this process run in between.

    Under gevent, a sleep of no time is how a request lets others run.
    """
    began_s = time.monotonic()
    for item in items:
        yield item
        if time.monotonic() - began_s > SLICE_S:
            time.sleep(0)
            began_s = time.monotonic()


def _parts(items: Iterator[Item]) -> Iterator[list[Item]]:
    """Divide items into parts of up to `CREATE_BATCH_SIZE` messages.

    An item with several messages is never split, even if it alone exceeds this number.
    """
    part: list[Item] = []
    size = 0
    for item in items:
        item_size = max(len(item.drafts), 1)
        if part and size + item_size > CREATE_BATCH_SIZE:
            yield part
            part, size = [], 0
        part.append(item)
        size += item_size
    if part:
        yield part


def _error(text: str) -> Json:
    # The Python SDK reads `messageId` even if the answer is an error.
    return {"messageId": "", "error": text}


def _log(owner: Owner, results: Sequence[Accepted]) -> None:
    for result in results:
        duplicate = result.verdict is Verdict.DUPLICATE
        log.info(
            logfmt.line(
                "event.deduplicated" if duplicate else "event.accepted",
                event=message_id(result.id),
                owner=owner,
                due=None if duplicate else logfmt.utc(result.wanted_ms / 1000),
            )
        )
