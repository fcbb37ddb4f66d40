"""The endpoint of logs: what happened to messages, entry by entry."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from flask import Response, request
from scheduler_api.core import logfmt
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import Owner
from scheduler_api.core.queries.journal import Cursor, Entry
from scheduler_api.dialects.qstash.parsing.filters import (
    STATES,
    LogQuery,
    format_cursor,
    read_log_query,
    read_query,
)
from scheduler_api.dialects.qstash.parsing.ids import read_message_id
from scheduler_api.dialects.qstash.parsing.message import from_options
from scheduler_api.dialects.qstash.parsing.redaction import key_of
from scheduler_api.dialects.qstash.rendering import response_schemas, responses
from scheduler_api.dialects.qstash.rendering.responses import Json
from scheduler_api.services import Services
from scheduler_api.web.documented import documented
from scheduler_api.web.query_string import read_parameters

# A page may be cut short, with a cursor, once so many lines were looked at, or so many
# messages read.
LINES_MOST = 200_000
MESSAGES_MOST = 10_000
GROUP = 100
# Larger bodies are left out: a page of them would fill the memory.
BODY_MAX_BYTES = 16_384
# What a journal tells may bear an earlier time than the record by a clock's correction.
SLACK_MS = 60_000
WITH_OUTCOME = ("failed", "retry", "delivered", "dead")

log = logging.getLogger("scheduler.web")


class Logs:
    """Views; each is called with the owner that the request's token stands for."""

    def __init__(self, services: Services) -> None:
        self._journal = services.journal
        self._secret_key = services.settings.secret_key

    @documented(
        query=response_schemas.LogQuery, answer=response_schemas.LogPage, errors=(400,)
    )
    def select(self, owner: Owner) -> Response:
        """A page of the log; both names of its list are in use."""
        query = read_log_query(read_query(read_parameters(request.environ)))
        ids = query.conditions.ids
        if ids is not None:
            query = self._narrowed(owner, query, ids)
        entries, cursor = self._page(owner, query)
        page: Json = {"events": entries, "logs": entries}
        if cursor is not None:
            page["cursor"] = format_cursor(cursor)
        return responses.respond(page)

    def _page(self, owner: Owner, query: LogQuery) -> tuple[list[Json], Cursor | None]:
        """Entries, and where the next page goes on, None if there is none."""
        found: list[tuple[Cursor, Json]] = []
        looked = read = 0
        for lines in self._journal.chunks(owner, query.journal_range):
            for group in _groups(lines, query, size=min(GROUP, query.count + 1)):
                found += self._entries(owner, query, group)
                if len(found) > query.count:
                    del found[query.count :]
                    return [entry for _, entry in found], found[-1][0]
                read += len(group)
                if read >= MESSAGES_MOST:
                    return [entry for _, entry in found], group[-1].cursor
            looked += len(lines)
            if looked >= LINES_MOST:
                return [entry for _, entry in found], lines[-1].cursor
        return [entry for _, entry in found], None

    def _narrowed(
        self, owner: Owner, query: LogQuery, ids: tuple[str, ...]
    ) -> LogQuery:
        """The same query, over no more of the journal than its messages' lives."""
        known = [known for known in map(read_message_id, ids) if known is not None]
        lives = [
            (event.created_ms, event.finished_ms)
            for event in self._journal.events(owner, known)
        ]
        conditions = replace(query.conditions, ids=tuple(known) if lives else ())
        journal_range = query.journal_range
        if lives:
            first_ms = min(created_ms for created_ms, _ in lives) - SLACK_MS
            journal_range = replace(
                journal_range, start_ms=max(journal_range.start_ms or 0, first_ms, 0)
            )
        ends = [finished_ms for _, finished_ms in lives if finished_ms is not None]
        if len(ends) == len(lives):
            last_ms = max(ends, default=0) + SLACK_MS
            end_ms = (
                last_ms
                if journal_range.end_ms is None
                else min(journal_range.end_ms, last_ms)
            )
            journal_range = replace(journal_range, end_ms=end_ms)
        return replace(query, conditions=conditions, journal_range=journal_range)

    def _entries(
        self, owner: Owner, query: LogQuery, lines: list[Entry]
    ) -> Iterator[tuple[Cursor, Json]]:
        """What lines tell of messages that are wanted and still there."""
        key = key_of(owner.tenant, secret_key=self._secret_key)
        meant = {}
        for event in self._journal.events(owner, (line.event_id for line in lines)):
            try:
                said = from_options(event.content.options)
            except UnreadableRecord as err:
                log.warning(logfmt.line("record.unreadable", problem=err))
                continue
            if query.conditions.match(event, said):
                meant[event.id] = (event, said)
        shown = [line for line in lines if line.event_id in meant]
        outcomes = self._journal.attempts(
            [(line.event_id, line.attempt) for line in shown]
        )
        for line, attempt in zip(shown, outcomes, strict=True):
            event, said = meant[line.event_id]
            entry = responses.render_log_entry(
                event,
                said,
                attempt if line.kind in WITH_OUTCOME else None,
                time_ms=line.ms,
                state=STATES[line.kind],
                key=key,
                body_max_bytes=BODY_MAX_BYTES,
            )
            yield line.cursor, entry


def _groups(lines: list[Entry], query: LogQuery, *, size: int) -> Iterator[list[Entry]]:
    """The lines that may be wanted, a few at a time."""
    ids = query.conditions.ids
    wanted = [
        line
        for line in lines
        if line.kind in query.kinds and (ids is None or line.event_id in ids)
    ]
    for at in range(0, len(wanted), size):
        yield wanted[at : at + size]
