"""The endpoints of `/v2/dlq`: read, retry or delete dead letters.

Source: https://upstash.com/docs/qstash/features/dlq
"""

import logging
import orjson
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from flask import Response, request
from orjson import Fragment
from scheduler_api.core import logfmt
from scheduler_api.core.batches import batches
from scheduler_api.core.errors import (
    NotFound,
)
from scheduler_api.core.model import (
    Accepted,
    Attempt,
    Draft,
    Event,
    Owner,
    State,
    Verdict,
)
from scheduler_api.core.recovery.dead_letters import Place
from scheduler_api.core.store import audit
from scheduler_api.core.store.events import check_accepted
from scheduler_api.dialects.qstash.endpoints.readable import readable_messages
from scheduler_api.dialects.qstash.parsing.drafts import Drafts, Limits
from scheduler_api.dialects.qstash.parsing.filters import (
    DeadLetterQuery,
    describe_selection,
    format_cursor,
    read_dead_letter_query,
    read_fields,
    read_query,
)
from scheduler_api.dialects.qstash.parsing.header_values import BadValue
from scheduler_api.dialects.qstash.parsing.ids import (
    dlq_id,
    read_dlq_id,
    read_message_id,
)
from scheduler_api.dialects.qstash.parsing.ignored_names import (
    Describer,
    ignored_names,
)
from scheduler_api.dialects.qstash.parsing.message import (
    Headers,
    Message,
    message_id,
)
from scheduler_api.dialects.qstash.parsing.redaction import key_of
from scheduler_api.dialects.qstash.parsing.replays import for_group_run, replayed
from scheduler_api.dialects.qstash.parsing.request_headers import PREFIX
from scheduler_api.dialects.qstash.parsing.requests import read_headers, read_json
from scheduler_api.dialects.qstash.parsing.targets import read_configuration
from scheduler_api.dialects.qstash.rendering import response_schemas, responses
from scheduler_api.dialects.qstash.rendering.header_schemas import message_headers
from scheduler_api.dialects.qstash.rendering.responses import Json
from scheduler_api.services import Services
from scheduler_api.web.access import change
from scheduler_api.web.documented import documented
from scheduler_api.web.page_limit import PageLimit
from scheduler_api.web.query_string import read_parameters
from typing import TypeVar

# How many dead letters are read at once. Small, because their bodies may be large.
BATCH = 25
# How many messages are read for one page. At this limit, the page ends even if it is
# not full. The next page then continues the search.
MAX_MESSAGES_READ = 10_000
FORWARD_ALL = "UPSTASH-HEADER-FORWARD"

log = logging.getLogger("scheduler.web")


@dataclass(frozen=True)
class DeadLetter:
    """A dead letter: its event, the message in the event, and the last attempt."""

    event: Event
    message: Message
    attempt: Attempt | None


T = TypeVar("T")
# The items of a page, and the place after which the next page begins. The place is None
# if this page is the last.
Page = tuple[list[T], Place | None]


class DeadLetterQueue:
    """Views of dead letters. `owner` is the owner that the token identifies."""

    def __init__(
        self, services: Services, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._dead_letters = services.dead_letters
        self._cell = services.cell
        self._journal = services.journal
        self._limits = Limits.of(services.settings)
        self._drafts = Drafts(self._limits)
        self._body_limit_bytes = services.settings.body_limit_bytes
        self._secret_key = services.settings.secret_key
        self._clock = clock

    @documented(
        query=response_schemas.DeadLetterQuery,
        response=response_schemas.DeadLetterPage,
        errors=(400,),
    )
    def all(self, owner: Owner) -> Response:
        """List one page of dead letters."""
        query = read_dead_letter_query(read_query(read_parameters(request.environ)))
        key = key_of(owner.tenant, secret_key=self._secret_key)

        def render(letter: DeadLetter) -> tuple[Fragment, int]:
            rendered = orjson.dumps(_render(letter, key=key))
            return Fragment(rendered), len(rendered)

        messages, cursor = self._page(owner, query, render)
        return _respond_page({"messages": messages}, cursor)

    @documented(response=response_schemas.DeadLetter, errors=(404,))
    def get(self, owner: Owner, letter_id: str) -> Response:
        """Get a dead letter."""
        key = key_of(owner.tenant, secret_key=self._secret_key)
        return responses.respond(_render(self._find(owner, letter_id), key=key))

    @documented(success="The dead letter is deleted", errors=(404,))
    def delete(self, owner: Owner, letter_id: str) -> Response:
        """Delete a dead letter; the message itself is kept for the retention time."""
        if not self._clear(owner, [self._find(owner, letter_id)]):
            raise _not_found(letter_id)
        return responses.empty()

    @documented(
        query=response_schemas.DeadLetterQuery,
        body=response_schemas.DeadLetterBody,
        needs_body=False,
        response=response_schemas.DeleteResponse,
        errors=(400, 413),
    )
    def delete_many(self, owner: Owner) -> Response:
        """Delete the listed dead letters, or one page of all that match the filters.

        Unknown ids are skipped.
        """
        deleted, cursor = 0, None
        query = self._bulk_query(owner, "dead_letters.delete", "/v2/dlq/")
        for letters, next_place in self._pages(owner, query):
            cursor = next_place
            deleted += self._clear(owner, letters)
        return _respond_page({"deleted": deleted}, cursor)

    @documented(
        headers=message_headers(),
        response=response_schemas.Published,
        statuses=(201, 202),
        success={
            201: "The new message",
            202: "A message with this deduplication key exists; the letter stays",
        },
        errors=(400, 404, 412),
    )
    def retry(self, owner: Owner, letter_id: str) -> Response:
        """Replace a dead letter with a new message that is sent now."""
        letter = self._find(owner, letter_id)
        replayed = self._replay(owner, [letter])
        if not replayed:
            raise _not_found(letter_id)
        [(_, accepted)] = replayed
        status = 202 if accepted.verdict is Verdict.DUPLICATE else 201
        answer = _render_replayed(letter, accepted)
        return responses.respond(answer, status, ignored=_ignored())

    @documented(
        query=response_schemas.DeadLetterQuery,
        body=response_schemas.DeadLetterBody,
        needs_body=False,
        headers=message_headers(),
        response=response_schemas.RetryResponse,
        statuses=(201,),
        errors=(400, 412, 413),
    )
    def retry_many(self, owner: Owner) -> Response:
        """Retry the listed dead letters, or one page of all that match the filters.

        Unknown ids are skipped.
        """
        self._check_overrides()
        replayed: list[Json] = []
        cursor = None
        query = self._bulk_query(owner, "dead_letters.retry", "/v2/dlq/retry/")
        for letters, next_place in self._pages(owner, query):
            cursor = next_place
            replayed += [
                _render_replayed(*pair) for pair in self._replay(owner, letters)
            ]
        page: Json = {"responses": replayed}
        return _respond_page(page, cursor, status=201, ignored=_ignored())

    def _bulk_query(
        self, owner: Owner, action: str, path_without_id: str
    ) -> DeadLetterQuery:
        """Return which dead letters a bulk call selects, and write the audit record.

        The query and the JSON body contain the filters.

        Args:
            path_without_id: a request with this path must have a filter. A client sends
                such a request if it means one dead letter, but the id is empty by
                mistake. This request must not affect all dead letters.

        Raises: BadValue, Refusal.
        """
        parameters = read_query(
            pair
            for pair in read_parameters(request.environ)
            if not pair[0].lower().startswith(PREFIX)
        )
        body = read_json(request, limit_bytes=self._body_limit_bytes)
        for name, values in read_fields(body).items():
            parameters.setdefault(name, []).extend(values)
        query = read_dead_letter_query(parameters)
        if request.path == path_without_id and query.is_unfiltered:
            raise BadValue("dlqIds", "or a filter is missing")
        bulk = change(owner, action, describe_selection(parameters))
        audit.write(self._cell, bulk, before={"state": "dead"}, after=None)
        return query

    def _check_overrides(self) -> None:
        """Refuse wrong headers and parameters before a bulk call is recorded.

        A retry delay is checked with the largest number of retries that a dead letter
        may have.

        Raises: BadValue.
        """
        headers, query = _overrides()
        longest = Message(retries=self._limits.headers.retries)
        self._drafts.read(headers, query=query, base=longest)

    def _clear(self, owner: Owner, letters: Sequence[DeadLetter]) -> int:
        ids = [letter.event.id for letter in letters]
        cleared = sum(self._dead_letters.clear(owner, ids))
        log.info(logfmt.line("dead_letters.cleared", owner=owner, events=cleared))
        return cleared

    def _replay(
        self, owner: Owner, letters: Sequence[DeadLetter]
    ) -> list[tuple[DeadLetter, Accepted]]:
        """Replace dead letters with new messages; skip deleted dead letters.

        Raises: BadValue, LimitReached, StoreFull.
        """
        headers, query = _overrides()
        drafts = [
            (letter.event.id, self._draft(letter, headers, query)) for letter in letters
        ]
        results = self._dead_letters.replay(owner, drafts)
        pairs = zip(letters, results, strict=True)
        replayed = [(letter, result) for letter, result in pairs if result is not None]
        for letter, accepted in replayed:
            check_accepted(accepted)
            log.info(
                logfmt.line(
                    "dead_letter.replayed",
                    event=message_id(letter.event.id),
                    owner=owner,
                    new_event=message_id(accepted.id),
                )
            )
        return replayed

    def _draft(self, letter: DeadLetter, headers: Headers, query: Headers) -> Draft:
        """Return a draft that sends the message of a dead letter again, now.

        Headers and query parameters override settings of the message.

        Raises: BadValue.
        """
        base = replayed(letter.message, letter.event)
        content = letter.event.content
        draft = self._drafts.draft(
            self._drafts.read(headers, query=query, base=base),
            url=content.url,
            body=content.body,
            now_ms=int(self._clock() * 1000),
        )
        return for_group_run(draft, letter.message)

    def _pages(
        self, owner: Owner, query: DeadLetterQuery
    ) -> Iterator[Page[DeadLetter]]:
        """Yield the page that the query selects.

        If the query lists ids, yield all dead letters with these ids instead, in pages.
        """
        while True:
            page = self._page(owner, query, _with_size)
            yield page
            if page[1] is None or _listed_event_ids(query) is None:
                return
            query = replace(query, after=page[1])

    def _page(
        self,
        owner: Owner,
        query: DeadLetterQuery,
        item: Callable[[DeadLetter], tuple[T, int]],
    ) -> Page[T]:
        """Return one page of the matching dead letters.

        Args:
            item: returns what the page has for a dead letter, and its size in bytes.
        """
        items: list[T] = []
        last: Place | None = None
        limit, read_count = PageLimit(_count(query)), 0
        for places in self._batches(owner, query):
            by_id = {place.id: place for place in places}
            for letter in self._select(owner, list(by_id), query):
                found, size_bytes = item(letter)
                if not limit.admit(size_bytes):
                    return items, last
                items.append(found)
                last = by_id[letter.event.id]
            read_count += len(places)
            if read_count >= MAX_MESSAGES_READ:
                return items, places[-1]
        return items, None

    def _batches(self, owner: Owner, query: DeadLetterQuery) -> Iterator[list[Place]]:
        listed = _listed_event_ids(query)
        chunks: Iterable[list[Place]] = (
            self._dead_letters.chunks(
                owner, query.span, after=query.after, newest_first=query.newest_first
            )
            if listed is None
            else [_listed_places(listed, query.after)]
        )
        for chunk in chunks:
            yield from batches(chunk, BATCH)

    def _select(
        self, owner: Owner, event_ids: Iterable[str], query: DeadLetterQuery
    ) -> Iterator[DeadLetter]:
        """Yield the dead letters among these events that match the query."""
        for letter in self._read(owner, event_ids):
            event, attempt = letter.event, letter.attempt
            if query.ids is not None:
                if dlq_id(event.wanted_ms, event.id) in query.ids:
                    yield letter
                continue
            status = (attempt and attempt.status) or 0
            if query.statuses is not None and status not in query.statuses:
                continue
            if query.conditions.match(event, letter.message):
                yield letter

    def _read(self, owner: Owner, event_ids: Iterable[str]) -> Iterator[DeadLetter]:
        found = self._journal.events(owner, event_ids)
        dead = (event for event in found if event.state is State.DEAD)
        pairs = list(readable_messages(self._cell, dead))
        attempts = self._journal.attempts(
            [(event.id, event.attempts) for event, _ in pairs]
        )
        for (event, message), attempt in zip(pairs, attempts, strict=True):
            yield DeadLetter(event, message, attempt)

    def _find(self, owner: Owner, letter_id: str) -> DeadLetter:
        """Raises: NotFound."""
        parsed = read_dlq_id(letter_id)
        if parsed is not None:
            for letter in self._read(owner, [parsed.event_id]):
                if letter.event.wanted_ms == parsed.wanted_ms:
                    return letter
        raise _not_found(letter_id)


def _overrides() -> tuple[Headers, Headers]:
    """Return the headers and parameters that override settings of messages."""
    headers = tuple(
        pair
        for pair in read_headers(request.environ, query=())
        if pair[0].startswith(PREFIX.upper()) and pair[0] != FORWARD_ALL
    )
    return headers, read_configuration(request.environ)


def _ignored() -> str:
    return Describer().describe(ignored_names(*_overrides()))


def _listed_event_ids(query: DeadLetterQuery) -> list[str] | None:
    """Return the event ids in the query, None if the query contains no ids."""
    if query.ids is not None:
        return [parsed.event_id for parsed in map(read_dlq_id, query.ids) if parsed]
    if query.conditions.ids is not None:
        event_ids = map(read_message_id, query.conditions.ids)
        return [event_id for event_id in event_ids if event_id]
    return None


def _with_size(letter: DeadLetter) -> tuple[DeadLetter, int]:
    return letter, len(letter.event.content.body)


def _listed_places(event_ids: list[str], after: Place | None) -> list[Place]:
    """Return places for listed ids; only the id of such a place means something."""
    if after is not None and after.id in event_ids:
        event_ids = event_ids[event_ids.index(after.id) + 1 :]
    return [Place(0, event_id) for event_id in event_ids]


def _count(query: DeadLetterQuery) -> int:
    """Return how many dead letters a page has at most; all if the query lists ids."""
    listed = _listed_event_ids(query)
    return query.count if listed is None else len(listed)


def _render(letter: DeadLetter, *, key: bytes) -> Json:
    return responses.render_dead_letter(
        letter.event, letter.message, letter.attempt, key=key
    )


def _render_replayed(letter: DeadLetter, accepted: Accepted) -> Json:
    duplicate = accepted.verdict is Verdict.DUPLICATE
    return responses.render_published(
        accepted.id, url=letter.event.content.url, deduplicated=duplicate
    )


def _respond_page(
    page: Json, cursor: Place | None, *, status: int = 200, ignored: str = ""
) -> Response:
    more = {} if cursor is None else {"cursor": format_cursor(cursor)}
    return responses.respond(page | more, status, ignored=ignored)


def _not_found(letter_id: str) -> NotFound:
    return NotFound(f"dead letter {letter_id[:80]} not found")
