"""The endpoints of `/v2/logs` and `/v2/events`: the states that messages entered."""

import orjson
from collections.abc import Iterator
from dataclasses import replace
from flask import Response, request
from orjson import Fragment
from scheduler_api.core.batches import batches
from scheduler_api.core.model import Owner
from scheduler_api.core.queries.journal import Cursor, Entry
from scheduler_api.dialects.qstash.endpoints.readable import readable_messages
from scheduler_api.dialects.qstash.parsing.filters import (
    DEFAULT_COUNT,
    MAX_LOG_ENTRIES,
    STATES,
    LogQuery,
    format_cursor,
    read_log_query,
    read_query,
)
from scheduler_api.dialects.qstash.parsing.ids import read_message_id
from scheduler_api.dialects.qstash.parsing.redaction import key_of
from scheduler_api.dialects.qstash.rendering import response_schemas, responses
from scheduler_api.dialects.qstash.rendering.responses import Json
from scheduler_api.services import Services
from scheduler_api.web.documented import documented
from scheduler_api.web.page_limit import MAX_PAGE_BYTES, PageLimit
from scheduler_api.web.query_string import read_parameters

# How many journal entries and how many messages are read for one page. At one of these
# limits, the page ends even if it is not full. The next page then continues the search.
MAX_ENTRIES_READ = 200_000
MAX_MESSAGES_READ = 10_000
BATCH = 100
# Log entries leave out larger bodies, so that a page fits into memory.
BODY_MAX_BYTES = 16_384
# A query by ids reads the journal from the creation of the events to their end. Clock
# corrections can put entries outside this range, so the range is extended by this much
# at both ends.
CLOCK_TOLERANCE_MS = 60_000
WITH_OUTCOME = ("failed", "retry", "delivered", "dead")
# A message may wait for its destination after these kinds of entries.
WAITING = ("created", "retry")

LISTING = documented(
    query=response_schemas.LogQuery,
    response=response_schemas.LogPage,
    errors=(400,),
)


class Logs:
    """Views of the log. `owner` is the owner that the token identifies."""

    def __init__(self, services: Services) -> None:
        self._cell = services.cell
        self._journal = services.journal
        self._secret_key = services.settings.secret_key

    @LISTING
    def logs(self, owner: Owner) -> Response:
        """List one page of log entries; `events` and `logs` are the same list."""
        return self._select(owner, default_count=DEFAULT_COUNT)

    @LISTING
    def events(self, owner: Owner) -> Response:
        """List one page of log entries, a larger one if the call names no size."""
        return self._select(owner, default_count=MAX_LOG_ENTRIES)

    def _select(self, owner: Owner, *, default_count: int) -> Response:
        parameters = read_query(read_parameters(request.environ))
        query = read_log_query(parameters, default_count=default_count)
        ids = query.conditions.ids
        if ids is not None:
            query = self._narrowed(owner, query, ids)
        entries, cursor = self._page(owner, query)
        page: Json = {"events": entries, "logs": entries}
        if cursor is not None:
            page["cursor"] = format_cursor(cursor)
        return responses.respond(page)

    def _page(
        self, owner: Owner, query: LogQuery
    ) -> tuple[list[Fragment], Cursor | None]:
        """Return a page and the cursor for the next page; None on the last page."""
        page: list[Fragment] = []
        # The response has the list twice.
        limit = PageLimit(query.count, MAX_PAGE_BYTES // 2)
        last: Cursor | None = None
        entries_read = messages_read = 0
        for entries in self._journal.chunks(owner, query.journal_range):
            for batch in _batches(entries, query, size=min(BATCH, query.count + 1)):
                for cursor, rendered in self._render(owner, query, batch):
                    if not limit.admit(len(rendered)):
                        return page, last
                    page.append(Fragment(rendered))
                    last = cursor
                messages_read += len(batch)
                if messages_read >= MAX_MESSAGES_READ:
                    return page, batch[-1].cursor
            entries_read += len(entries)
            if entries_read >= MAX_ENTRIES_READ:
                return page, entries[-1].cursor
        return page, None

    def _narrowed(
        self, owner: Owner, query: LogQuery, ids: tuple[str, ...]
    ) -> LogQuery:
        """Return a copy of a query with event ids in place of message ids.

        The copy reads the journal only from the creation of these events to their end.

        Args:
            ids: the message ids in the query.
        """
        parsed = map(read_message_id, ids)
        event_ids = [event_id for event_id in parsed if event_id is not None]
        lifetimes = [
            (event.created_ms, event.finished_ms)
            for event in self._journal.events(owner, event_ids)
        ]
        found_ids = tuple(event_ids) if lifetimes else ()
        conditions = replace(query.conditions, ids=found_ids)
        journal_range = query.journal_range
        if lifetimes:
            first_ms = min(created_ms for created_ms, _ in lifetimes)
            first_ms = max(
                journal_range.start_ms or 0, first_ms - CLOCK_TOLERANCE_MS, 0
            )
            journal_range = replace(journal_range, start_ms=first_ms)
        ends = [finished_ms for _, finished_ms in lifetimes if finished_ms is not None]
        if len(ends) == len(lifetimes):
            last_ms = max(ends, default=0) + CLOCK_TOLERANCE_MS
            end_ms = (
                last_ms
                if journal_range.end_ms is None
                else min(journal_range.end_ms, last_ms)
            )
            journal_range = replace(journal_range, end_ms=end_ms)
        return replace(query, conditions=conditions, journal_range=journal_range)

    def _render(
        self, owner: Owner, query: LogQuery, entries: list[Entry]
    ) -> Iterator[tuple[Cursor, bytes]]:
        """Render the entries whose messages match the query and still exist.

        Yields the cursor after each entry, and the entry as JSON.
        """
        key = key_of(owner.tenant, secret_key=self._secret_key)
        ids = (entry.event_id for entry in entries)
        events = self._journal.events(owner, ids)
        matches = {
            event.id: (event, message)
            for event, message in readable_messages(self._cell, events)
            if query.conditions.match(event, message)
        }
        entries = [entry for entry in entries if entry.event_id in matches]
        attempts = self._journal.attempts(
            [(entry.event_id, entry.attempt) for entry in entries]
        )
        for entry, attempt in zip(entries, attempts, strict=True):
            event, message = matches[entry.event_id]
            rendered = responses.render_log_entry(
                event,
                message,
                attempt if entry.kind in WITH_OUTCOME else None,
                time_ms=entry.ms,
                state=STATES[entry.kind],
                key=key,
                body_max_bytes=BODY_MAX_BYTES,
                is_last=entry.kind in WAITING and entry.attempt == event.attempts,
            )
            yield entry.cursor, orjson.dumps(rendered)


def _batches(
    entries: list[Entry], query: LogQuery, *, size: int
) -> Iterator[list[Entry]]:
    """Return the entries whose kind and event match the query, in batches."""
    ids = query.conditions.ids
    candidates = [
        entry
        for entry in entries
        if entry.kind in query.kinds and (ids is None or entry.event_id in ids)
    ]
    return batches(candidates, size)
