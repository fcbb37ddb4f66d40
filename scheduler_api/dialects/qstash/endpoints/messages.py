"""The endpoints of `/v2/messages`: read one message, cancel one or many."""

import logging
from collections.abc import Iterator
from flask import Response, request
from scheduler_api.core import logfmt
from scheduler_api.core.batches import batches
from scheduler_api.core.errors import NotFound, UnreadableRecord
from scheduler_api.core.model import Event, Owner, State
from scheduler_api.core.queries.active_events import (
    AT_ONCE,
    created_within,
    outlines,
    unfinished,
)
from scheduler_api.core.store import audit
from scheduler_api.core.store.events import Cancelled
from scheduler_api.dialects.qstash.endpoints.readable import readable_messages
from scheduler_api.dialects.qstash.parsing.filters import (
    Cancellation,
    describe_selection,
    read_cancellation,
    read_fields,
    read_query,
)
from scheduler_api.dialects.qstash.parsing.header_values import BadValue
from scheduler_api.dialects.qstash.parsing.ids import read_message_id
from scheduler_api.dialects.qstash.parsing.message import (
    Message,
    from_options,
)
from scheduler_api.dialects.qstash.parsing.redaction import key_of
from scheduler_api.dialects.qstash.parsing.requests import read_json
from scheduler_api.dialects.qstash.rendering import responses
from scheduler_api.dialects.qstash.rendering.response_schemas import (
    CancelBody,
    CancelQuery,
    CancelResponse,
    MessageResponse,
)
from scheduler_api.services import Services
from scheduler_api.web.access import change
from scheduler_api.web.documented import documented
from scheduler_api.web.query_string import read_parameters

log = logging.getLogger("scheduler.web")


class Messages:
    """Views of messages. `owner` is the owner that the token identifies."""

    def __init__(self, services: Services) -> None:
        self._cell = services.cell
        self._store = services.store
        self._queries = services.queries
        self._body_limit_bytes = services.settings.body_limit_bytes
        self._secret_key = services.settings.secret_key

    @documented(response=MessageResponse, errors=(404,))
    def get(self, owner: Owner, message_id: str) -> Response:
        """Get a message; finished messages are kept for the retention time."""
        event, message = self._find(owner, message_id)
        if event.state is State.CANCELLED:
            raise _not_found(message_id)
        key = key_of(owner.tenant, secret_key=self._secret_key)
        return responses.respond(responses.render_message(event, message, key=key))

    @documented(response=CancelResponse, errors=(404,))
    def cancel(self, owner: Owner, message_id: str) -> Response:
        """Cancel a message; a running attempt may still deliver it."""
        event_id = read_message_id(message_id)
        results = [] if event_id is None else self._store.cancel(owner, [event_id])
        if not results or results[0] in (Cancelled.ENDED, Cancelled.MISSING):
            raise _not_found(message_id)
        log.info(logfmt.line("event.cancelled", event=message_id, owner=owner))
        return responses.respond({"cancelled": 1})

    @documented(
        query=CancelQuery,
        body=CancelBody,
        needs_body=False,
        response=CancelResponse,
        errors=(400, 413),
    )
    def cancel_many(self, owner: Owner) -> Response:
        """Cancel all messages that match the filters; unknown ids are skipped."""
        parameters = read_query(read_parameters(request.environ))
        body = read_json(request, limit_bytes=self._body_limit_bytes)
        for name, values in read_fields(body).items():
            parameters.setdefault(name, []).extend(values)
        cancellation = read_cancellation(parameters)
        if request.path.endswith("/") and cancellation.is_unfiltered:
            # A client may want to cancel one message, but send an empty id by mistake.
            # The request is then `DELETE /v2/messages/`. It must not cancel all
            # messages.
            raise BadValue("messageIds", "or a filter is missing")
        audit.write(
            self._cell,
            change(owner, "messages.cancel", describe_selection(parameters)),
            before={"state": "unfinished"},
            after={"state": "cancelled"},
        )
        cancelled = 0
        for ids in self._batches(owner, cancellation):
            for result in self._store.cancel(owner, ids):
                cancelled += result in (Cancelled.DONE, Cancelled.REQUESTED)
        log.info(logfmt.line("events.cancelled", owner=owner, events=cancelled))
        return responses.respond({"cancelled": cancelled})

    def _batches(self, owner: Owner, cancellation: Cancellation) -> Iterator[list[str]]:
        """Yield the ids of the events to cancel, in batches."""
        conditions = cancellation.conditions
        if conditions.ids is not None:
            parsed = map(read_message_id, conditions.ids)
            listed = [event_id for event_id in parsed if event_id is not None]
            yield from batches(listed, AT_ONCE)
            return
        for ids in unfinished(self._cell, owner):
            if cancellation.is_unfiltered:
                yield ids
            elif not conditions.values:
                yield created_within(self._cell, ids, cancellation.created)
            else:
                events = outlines(self._cell, ids, cancellation.created)
                yield [
                    event.id
                    for event, message in readable_messages(self._cell, events)
                    if conditions.match(event, message)
                ]

    def _find(self, owner: Owner, message_id: str) -> tuple[Event, Message]:
        event_id = read_message_id(message_id)
        if event_id is None:
            raise _not_found(message_id)
        try:
            event = self._queries.event(owner, event_id)
            return event, from_options(event.content.options)
        except (NotFound, UnreadableRecord) as err:
            raise _not_found(message_id) from err


def _not_found(message_id: str) -> NotFound:
    return NotFound(f"message {message_id[:80]} not found")
