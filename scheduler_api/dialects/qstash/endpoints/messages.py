"""The endpoints of messages that were accepted: read one, cancel one or many."""

import logging
from collections.abc import Iterator
from flask import Response, request
from scheduler_api.core import logfmt
from scheduler_api.core.errors import NotFound, UnreadableRecord
from scheduler_api.core.model import Event, Owner, State
from scheduler_api.core.queries.active_events import (
    AT_ONCE,
    Outline,
    created_within,
    outlines,
    unfinished,
)
from scheduler_api.core.store.events import Cancelled
from scheduler_api.dialects.qstash.parsing.filters import (
    Cancellation,
    Conditions,
    read_cancellation,
    read_fields,
    read_query,
)
from scheduler_api.dialects.qstash.parsing.header_values import BadValue
from scheduler_api.dialects.qstash.parsing.ids import read_message_id
from scheduler_api.dialects.qstash.parsing.message import Message, from_options
from scheduler_api.dialects.qstash.parsing.redaction import key_of
from scheduler_api.dialects.qstash.parsing.requests import read_json
from scheduler_api.dialects.qstash.rendering import responses
from scheduler_api.dialects.qstash.rendering.response_schemas import (
    CancelBody,
    CancelledMessages,
    CancelQuery,
    ShownMessage,
)
from scheduler_api.services import Services
from scheduler_api.web.documented import documented
from scheduler_api.web.query_string import read_parameters

log = logging.getLogger("scheduler.web")


class Messages:
    """Views; each is called with the owner that the request's token stands for."""

    def __init__(self, services: Services) -> None:
        self._cell = services.cell
        self._store = services.store
        self._queries = services.queries
        self._body_limit_bytes = services.settings.body_limit_bytes
        self._secret_key = services.settings.secret_key

    @documented(answer=ShownMessage, errors=(404,))
    def get(self, owner: Owner, message_id: str) -> Response:
        """One message, also for as long as it is kept after its end."""
        event, said = self._find(owner, message_id)
        if event.state is State.CANCELLED:
            raise _unknown(message_id)
        key = key_of(owner.tenant, secret_key=self._secret_key)
        return responses.respond(responses.render_message(event, said, key=key))

    @documented(answer=CancelledMessages, errors=(404,))
    def cancel(self, owner: Owner, message_id: str) -> Response:
        """Cancels a message; an attempt in flight may still deliver it."""
        known = read_message_id(message_id)
        found = [] if known is None else self._store.cancel(owner, [known])
        if not found or found[0] in (Cancelled.ENDED, Cancelled.MISSING):
            raise _unknown(message_id)
        log.info(logfmt.line("event.cancelled", event=known, owner=owner))
        return responses.respond({"cancelled": 1})

    @documented(
        query=CancelQuery,
        body=CancelBody,
        needs_body=False,
        answer=CancelledMessages,
        errors=(400, 413),
    )
    def cancel_many(self, owner: Owner) -> Response:
        """Cancels all messages that are meant; unknown ones are passed over."""
        parameters = read_query(read_parameters(request.environ))
        body = read_json(request, limit_bytes=self._body_limit_bytes)
        for name, values in read_fields(body).items():
            parameters.setdefault(name, []).extend(values)
        meant = read_cancellation(parameters)
        if request.path.endswith("/") and meant.is_unfiltered:
            # Where a client forgets the id of a message, it does not mean them all.
            raise BadValue("messageIds", "is missing, or a filter")
        done = 0
        for ids in self._meant(owner, meant):
            found = self._store.cancel(owner, ids)
            done += sum(each in (Cancelled.DONE, Cancelled.REQUESTED) for each in found)
        log.info(logfmt.line("events.cancelled", owner=owner, events=done))
        return responses.respond({"cancelled": done})

    def _meant(self, owner: Owner, meant: Cancellation) -> Iterator[list[str]]:
        named = meant.conditions.ids
        if named is not None:
            known = [
                known for known in map(read_message_id, named) if known is not None
            ]
            for at in range(0, len(known), AT_ONCE):
                yield known[at : at + AT_ONCE]
            return
        for ids in unfinished(self._cell, owner):
            if meant.is_unfiltered:
                yield ids
                continue
            if not meant.conditions.values:
                yield created_within(self._cell, ids, meant.created)
                continue
            yield [
                event.id
                for event in outlines(self._cell, ids, meant.created)
                if _hold(meant.conditions, event)
            ]

    def _find(self, owner: Owner, message_id: str) -> tuple[Event, Message]:
        known = read_message_id(message_id)
        if known is None:
            raise _unknown(message_id)
        try:
            event = self._queries.event(owner, known)
            return event, from_options(event.content.options)
        except (NotFound, UnreadableRecord) as err:
            raise _unknown(message_id) from err


def _hold(conditions: Conditions, event: Outline) -> bool:
    try:
        return conditions.match(event, from_options(event.content.options))
    except UnreadableRecord as err:
        log.warning(logfmt.line("record.unreadable", event=event.id, problem=err))
        return False


def _unknown(message_id: str) -> NotFound:
    return NotFound(f"message {message_id[:80]} not found")
