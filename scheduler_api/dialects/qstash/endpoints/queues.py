"""The endpoints of `/v2/queues`: queues that deliver messages in order.

Source: https://upstash.com/docs/qstash/features/queues
"""

import logging
from flask import Response, request
from scheduler_api.core import logfmt
from scheduler_api.core.errors import NotFound
from scheduler_api.core.flow_control.gates import MAX_LIMIT
from scheduler_api.core.flow_control.queues import Queue
from scheduler_api.core.model import Owner
from scheduler_api.core.store.gate_names import queue_gate
from scheduler_api.dialects.qstash.parsing.header_values import (
    BadValue,
    read_name,
)
from scheduler_api.dialects.qstash.parsing.requests import read_json
from scheduler_api.dialects.qstash.rendering import response_schemas, responses
from scheduler_api.dialects.qstash.rendering.responses import Json
from scheduler_api.services import Services
from scheduler_api.web.access import change
from scheduler_api.web.documented import array_of, documented
from scheduler_api.web.held_by import note_held_by
from scheduler_api.web.refusal import Refusal

NAME = "queueName"

log = logging.getLogger("scheduler.web")


class Queues:
    """Views of queues. `owner` is the owner that the token identifies."""

    def __init__(self, services: Services) -> None:
        self._queues = services.queues
        self._holding = services.holding
        self._body_limit_bytes = services.settings.body_limit_bytes

    @documented(
        body=response_schemas.NewQueue,
        success="The queue is created or updated",
        errors=(400, 412, 413),
    )
    def put(self, owner: Owner) -> Response:
        """Create or update a queue; a request without `paused` resumes the queue."""
        body = read_json(request, limit_bytes=self._body_limit_bytes)
        if not isinstance(body, dict):
            raise Refusal(400, "body should be an object")
        name = body.get(NAME)
        if not isinstance(name, str):
            raise BadValue(NAME, "should be a text")
        self._queues.put(
            owner,
            read_name(name, NAME),
            parallelism=_parallelism(body),
            paused=_paused(body),
            change=change(owner, "queue.put", name),
        )
        _log("queue.changed", owner, name)
        return responses.empty()

    @documented(
        response=array_of(response_schemas.QueueResponse),
        success="The queues, oldest first",
    )
    def all(self, owner: Owner) -> Response:
        """List all queues, oldest first."""
        queues = self._queues.all_of(owner)
        return responses.respond([_render(queue) for queue in queues])

    @documented(response=response_schemas.QueueResponse, errors=(400, 404))
    def get(self, owner: Owner, name: str) -> Response:
        """Get a queue."""
        name = read_name(name, NAME)
        try:
            return responses.respond(_render(self._queues.get(owner, name)))
        except NotFound as err:
            raise _not_found(name) from err

    @documented(success="The queue does not exist any more", errors=(400,))
    def delete(self, owner: Owner, name: str) -> Response:
        """Delete a queue if it exists, and cancel its waiting messages."""
        name = read_name(name, NAME)
        deleted = change(owner, "queue.delete", name)
        cancelled = self._queues.delete(owner, name, change=deleted)
        _log("queue.deleted", owner, name, cancelled=cancelled)
        return responses.empty()

    @documented(success="The queue is paused", errors=(400, 404))
    def pause(self, owner: Owner, name: str) -> Response:
        """Pause a queue; a paused queue still accepts messages."""
        return self._set_paused(owner, name, paused=True)

    @documented(success="The queue is resumed", errors=(400, 404))
    def resume(self, owner: Owner, name: str) -> Response:
        """Resume a queue; `Scheduler-Held-By` says what else holds its first message.

        Deliveries continue with the oldest message.
        """
        response = self._set_paused(owner, name, paused=False)
        gate = queue_gate(owner, read_name(name, NAME))
        first = self._holding.first_waiter(gate)
        held_by = self._holding.of_event(owner, first, besides=gate)
        return note_held_by(response, held_by)

    def _set_paused(self, owner: Owner, name: str, *, paused: bool) -> Response:
        name = read_name(name, NAME)
        changed = change(owner, f"queue.{'pause' if paused else 'resume'}", name)
        try:
            self._queues.set_paused(owner, name, paused=paused, change=changed)
        except NotFound as err:
            raise _not_found(name) from err
        _log("queue.changed", owner, name)
        return responses.empty()


def _parallelism(body: dict[str, object]) -> int:
    value = body.get("parallelism")
    if value is None:
        return 1
    if type(value) is not int or not 1 <= value <= MAX_LIMIT:
        fault = f"should be a whole number from 1 to {MAX_LIMIT}"
        raise BadValue("parallelism", fault)
    return value


def _paused(body: dict[str, object]) -> bool:
    value = body.get("paused")
    if value is not None and not isinstance(value, bool):
        raise BadValue("paused", "should be true or false")
    return bool(value)


def _render(queue: Queue) -> Json:
    return {
        "name": queue.name,
        "createdAt": queue.created_ms,
        "updatedAt": queue.updated_ms,
        "parallelism": queue.parallelism,
        "paused": queue.paused,
        "lag": queue.lag,
    }


def _not_found(name: str) -> NotFound:
    return NotFound(f"queue {name} not found")


def _log(event: str, owner: Owner, name: str, **fields: int) -> None:
    log.info(logfmt.line(event, owner=owner, queue=name, **fields))
