"""The endpoints of `/v2/dlq`: messages that gave up, to be read, sent anew or removed.

Source: https://upstash.com/docs/qstash/features/dlq
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from flask import Response, request
from scheduler_api.core import logfmt
from scheduler_api.core.errors import (
    LimitReached,
    NotFound,
    StoreFull,
    UnreadableRecord,
)
from scheduler_api.core.model import (
    NO_GATES,
    Accepted,
    Attempt,
    Draft,
    Event,
    Owner,
    State,
    Verdict,
)
from scheduler_api.core.recovery.dead_letters import Place
from scheduler_api.dialects.qstash.parsing.drafts import Drafts, Limits
from scheduler_api.dialects.qstash.parsing.filters import (
    DeadLetterQuery,
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
from scheduler_api.dialects.qstash.parsing.message import (
    Headers,
    Message,
    from_options,
    schedule_id,
)
from scheduler_api.dialects.qstash.parsing.redaction import key_of
from scheduler_api.dialects.qstash.parsing.request_headers import PREFIX
from scheduler_api.dialects.qstash.parsing.requests import read_headers, read_json
from scheduler_api.dialects.qstash.rendering import response_schemas, responses
from scheduler_api.dialects.qstash.rendering.header_schemas import message_headers
from scheduler_api.dialects.qstash.rendering.responses import Json
from scheduler_api.services import Services
from scheduler_api.web.documented import documented
from scheduler_api.web.query_string import read_parameters

# Read at once, and then the next: their bodies may be large.
GROUP = 25
# A page may be cut short, with a cursor, after so many messages or bytes of bodies.
MESSAGES_MOST = 10_000
BODIES_MOST_BYTES = 16_777_216
FORWARD_ALL = "UPSTASH-HEADER-FORWARD"

log = logging.getLogger("scheduler.web")


@dataclass(frozen=True)
class Letter:
    """A dead letter: its event, what its publisher said, and the last attempt."""

    event: Event
    said: Message
    attempt: Attempt | None


# Letters that are meant, and where the next page goes on, None if nowhere.
Page = tuple[list[Letter], Place | None]


class DeadLetterQueue:
    """Views; each is called with the owner that the request's token stands for."""

    def __init__(
        self, services: Services, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._letters = services.dead_letters
        self._journal = services.journal
        self._drafts = Drafts(Limits.of(services.settings))
        self._body_limit_bytes = services.settings.body_limit_bytes
        self._secret_key = services.settings.secret_key
        self._clock = clock

    @documented(
        query=response_schemas.DeadLetterQuery,
        answer=response_schemas.DeadLetterPage,
        errors=(400,),
    )
    def all(self, owner: Owner) -> Response:
        """A page of dead letters."""
        query = read_dead_letter_query(read_query(read_parameters(request.environ)))
        key = key_of(owner.tenant, secret_key=self._secret_key)
        shown: list[Json] = []
        cursor = None
        for letters, behind in self._pages(owner, query):
            cursor = behind
            shown += [_shown(letter, key=key) for letter in letters]
        return _page_answer({"messages": shown}, cursor)

    @documented(answer=response_schemas.DeadLetter, errors=(404,))
    def get(self, owner: Owner, letter_id: str) -> Response:
        """One dead letter."""
        key = key_of(owner.tenant, secret_key=self._secret_key)
        return responses.respond(_shown(self._find(owner, letter_id), key=key))

    @documented(errors=(404,))
    def delete(self, owner: Owner, letter_id: str) -> Response:
        """Removes a dead letter; the message is known as long as those that ended."""
        if not self._clear(owner, [self._find(owner, letter_id)]):
            raise _unknown(letter_id)
        return responses.empty()

    @documented(
        query=response_schemas.DeadLetterQuery,
        body=response_schemas.DeadLetterBody,
        needs_body=False,
        answer=response_schemas.DeleteResponse,
        errors=(400, 413),
    )
    def delete_many(self, owner: Owner) -> Response:
        """Removes the dead letters that are meant; unknown ones are passed over."""
        done, cursor = 0, None
        for letters, behind in self._pages(owner, self._bulk_query("/v2/dlq/")):
            cursor = behind
            done += self._clear(owner, letters)
        return _page_answer({"deleted": done}, cursor)

    @documented(
        headers=message_headers(),
        answer=response_schemas.Published,
        statuses=(201, 202),
        errors=(400, 404, 412),
    )
    def retry(self, owner: Owner, letter_id: str) -> Response:
        """Sends a dead letter anew, as a message of its own that takes its place."""
        letter = self._find(owner, letter_id)
        replayed = self._replay(owner, [letter])
        if not replayed:
            raise _unknown(letter_id)
        [(_, accepted)] = replayed
        duplicate = accepted.verdict is Verdict.DUPLICATE
        return responses.respond(_told(letter, accepted), 202 if duplicate else 201)

    @documented(
        query=response_schemas.DeadLetterQuery,
        body=response_schemas.DeadLetterBody,
        needs_body=False,
        headers=message_headers(),
        answer=response_schemas.RetryResponse,
        statuses=(201,),
        errors=(400, 412, 413),
    )
    def retry_many(self, owner: Owner) -> Response:
        """Sends the dead letters that are meant anew; unknown ones are passed over."""
        told: list[Json] = []
        cursor = None
        for letters, behind in self._pages(owner, self._bulk_query("/v2/dlq/retry/")):
            cursor = behind
            told += [_told(*pair) for pair in self._replay(owner, letters)]
        return _page_answer({"responses": told}, cursor, status=201)

    def _bulk_query(self, nameless: str) -> DeadLetterQuery:
        """Which ones a bulk call means, by its query or its body.

        Args:
            nameless: the path of a call for one, whose client forgot the id of it.

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
        if request.path == nameless and query.is_unfiltered:
            raise BadValue("dlqIds", "is missing, or a filter")
        return query

    def _clear(self, owner: Owner, letters: Sequence[Letter]) -> int:
        ids = [letter.event.id for letter in letters]
        done = sum(self._letters.clear(owner, ids))
        log.info(logfmt.line("letters.cleared", owner=owner, events=done))
        return done

    def _replay(
        self, owner: Owner, letters: Sequence[Letter]
    ) -> list[tuple[Letter, Accepted]]:
        """What took the place of those that were still there.

        Raises: BadValue, LimitReached, StoreFull, redis.RedisError.
        """
        query = tuple(read_parameters(request.environ))
        said = [
            pair
            for pair in read_headers(request.environ, query=())
            if pair[0].startswith(PREFIX.upper()) and pair[0] != FORWARD_ALL
        ]
        drafts = [
            (letter.event.id, self._draft(letter, tuple(said), query))
            for letter in letters
        ]
        found = self._letters.replay(owner, drafts)
        for each in found:
            if each is not None and each.verdict is Verdict.FULL:
                raise StoreFull
            if each is not None and each.verdict is Verdict.LIMIT_REACHED:
                raise LimitReached(each.id)
        pairs = zip(letters, found, strict=True)
        replayed = [(letter, each) for letter, each in pairs if each is not None]
        for letter, accepted in replayed:
            log.info(
                logfmt.line(
                    "letter.replayed",
                    event=letter.event.id,
                    owner=owner,
                    anew=accepted.id,
                )
            )
        return replayed

    def _draft(self, letter: Letter, headers: Headers, query: Headers) -> Draft:
        """The same message, to be sent now, but for what is said otherwise.

        Raises: BadValue.
        """
        base = replace(
            letter.said,
            delay_ms=0,
            not_before_ms=None,
            deduplication_id=None,
            content_based=False,
            schedule_id=schedule_id(letter.event.schedule, letter.said),
        )
        content = letter.event.content
        draft = self._drafts.draft(
            self._drafts.read(headers, query=query, base=base),
            url=content.url,
            body=content.body,
            now_ms=int(self._clock() * 1000),
        )
        if content.url == letter.said.topic:
            # The run of a schedule for a url group: its endpoints' messages have these.
            return replace(draft, gates=NO_GATES, journal=False)
        return draft

    def _pages(self, owner: Owner, query: DeadLetterQuery) -> Iterator[Page]:
        """One page, or all that is named, some at a time; at least one."""
        named = _named(query)
        if named is None:
            yield self._page(owner, query)
            return
        for at in range(0, max(1, len(named)), GROUP):
            yield list(self._meant(owner, named[at : at + GROUP], query)), None

    def _page(self, owner: Owner, query: DeadLetterQuery) -> Page:
        found: list[tuple[Place, Letter]] = []
        looked = size = 0
        for places in self._groups(owner, query):
            by_id = {place.id: place for place in places}
            for letter in self._meant(owner, list(by_id), query):
                if len(found) == query.count or size > BODIES_MOST_BYTES:
                    return [each for _, each in found], found[-1][0]
                found.append((by_id[letter.event.id], letter))
                size += len(letter.event.content.body)
            looked += len(places)
            if looked >= MESSAGES_MOST:
                return [each for _, each in found], places[-1]
        return [each for _, each in found], None

    def _groups(self, owner: Owner, query: DeadLetterQuery) -> Iterator[list[Place]]:
        for chunk in self._letters.chunks(
            owner, query.span, after=query.after, newest_first=query.newest_first
        ):
            for at in range(0, len(chunk), GROUP):
                yield chunk[at : at + GROUP]

    def _meant(
        self, owner: Owner, event_ids: Iterable[str], query: DeadLetterQuery
    ) -> Iterator[Letter]:
        """Those of the events that are dead letters as they are asked for."""
        for letter in self._read(owner, event_ids):
            event, attempt = letter.event, letter.attempt
            if query.ids is not None:
                if dlq_id(event.wanted_ms, event.id) in query.ids:
                    yield letter
                continue
            status = (attempt and attempt.status) or 0
            if query.statuses is not None and status not in query.statuses:
                continue
            if query.conditions.match(event, letter.said):
                yield letter

    def _read(self, owner: Owner, event_ids: Iterable[str]) -> Iterator[Letter]:
        events = [
            event
            for event in self._journal.events(owner, event_ids)
            if event.state is State.DEAD
        ]
        attempts = self._journal.attempts(
            [(event.id, event.attempts) for event in events]
        )
        for event, attempt in zip(events, attempts, strict=True):
            try:
                yield Letter(event, from_options(event.content.options), attempt)
            except UnreadableRecord as err:
                log.warning(logfmt.line("record.unreadable", problem=err))

    def _find(self, owner: Owner, letter_id: str) -> Letter:
        """Raises: NotFound, redis.RedisError."""
        known = read_dlq_id(letter_id)
        if known is not None:
            for letter in self._read(owner, [known.event_id]):
                if letter.event.wanted_ms == known.wanted_ms:
                    return letter
        raise _unknown(letter_id)


def _named(query: DeadLetterQuery) -> list[str] | None:
    """The events whose ids, or whose dead letters' ids, are given, None if any goes."""
    if query.ids is not None:
        return [known.event_id for known in map(read_dlq_id, query.ids) if known]
    if query.conditions.ids is not None:
        return [known for known in map(read_message_id, query.conditions.ids) if known]
    return None


def _shown(letter: Letter, *, key: bytes) -> Json:
    return responses.render_dead_letter(
        letter.event, letter.said, letter.attempt, key=key
    )


def _told(letter: Letter, accepted: Accepted) -> Json:
    duplicate = accepted.verdict is Verdict.DUPLICATE
    return responses.render_published(
        accepted.id, url=letter.event.content.url, deduplicated=duplicate
    )


def _page_answer(page: Json, cursor: Place | None, *, status: int = 200) -> Response:
    more = {} if cursor is None else {"cursor": format_cursor(cursor)}
    return responses.respond(page | more, status)


def _unknown(letter_id: str) -> NotFound:
    return NotFound(f"dead letter {letter_id[:80]} not found")
