"""The endpoints of `/v2/queues`: lines in which a message waits for those before it.

Source: https://upstash.com/docs/qstash/features/queues
"""

import logging
from flask import Response, request
from scheduler_api.core import logfmt
from scheduler_api.core.errors import NotFound
from scheduler_api.core.flow_control.queues import Queue
from scheduler_api.core.model import Owner
from scheduler_api.dialects.qstash.parsing.header_values import (
    MAX_LIMIT,
    BadValue,
    read_name,
)
from scheduler_api.dialects.qstash.parsing.requests import read_json
from scheduler_api.dialects.qstash.rendering import response_schemas, responses
from scheduler_api.dialects.qstash.rendering.responses import Json
from scheduler_api.services import Services
from scheduler_api.web.documented import documented, listed
from scheduler_api.web.refusal import Refusal

NAME = "queueName"

log = logging.getLogger("scheduler.web")


class Queues:
    """Views; each is called with the owner that the request's token stands for."""

    def __init__(self, services: Services) -> None:
        self._queues = services.queues
        self._body_limit_bytes = services.settings.body_limit_bytes

    @documented(body=response_schemas.NewQueue, errors=(400, 412, 413))
    def put(self, owner: Owner) -> Response:
        """Makes a queue, or changes one; it goes on unless it is said to be paused."""
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
        )
        _log("queue.changed", owner, name)
        return responses.empty()

    @documented(answer=listed(response_schemas.ShownQueue))
    def all(self, owner: Owner) -> Response:
        """All queues, oldest first."""
        return responses.respond([_shown(each) for each in self._queues.all_of(owner)])

    @documented(answer=response_schemas.ShownQueue, errors=(400, 404))
    def get(self, owner: Owner, name: str) -> Response:
        """One queue."""
        name = read_name(name, NAME)
        try:
            return responses.respond(_shown(self._queues.get(owner, name)))
        except NotFound as err:
            raise _unknown(name) from err

    @documented(errors=(400,))
    def delete(self, owner: Owner, name: str) -> Response:
        """Removes a queue, if it is there, and cancels what waits in it."""
        name = read_name(name, NAME)
        cancelled = self._queues.delete(owner, name)
        _log("queue.deleted", owner, name, cancelled=cancelled)
        return responses.empty()

    @documented(errors=(400, 404))
    def pause(self, owner: Owner, name: str) -> Response:
        """Lets nothing more of a queue go; it takes messages as before."""
        return self._turn(owner, name, paused=True)

    @documented(errors=(400, 404))
    def resume(self, owner: Owner, name: str) -> Response:
        """Lets a queue go on with its oldest message."""
        return self._turn(owner, name, paused=False)

    def _turn(self, owner: Owner, name: str, *, paused: bool) -> Response:
        name = read_name(name, NAME)
        try:
            self._queues.set_paused(owner, name, paused=paused)
        except NotFound as err:
            raise _unknown(name) from err
        _log("queue.changed", owner, name)
        return responses.empty()


def _parallelism(body: dict[str, object]) -> int:
    given = body.get("parallelism")
    if given is None:
        return 1
    if type(given) is not int or not 1 <= given <= MAX_LIMIT:
        wanted = f"should be a whole number from 1 to {MAX_LIMIT}"
        raise BadValue("parallelism", wanted)
    return given


def _paused(body: dict[str, object]) -> bool:
    given = body.get("paused")
    if given is not None and not isinstance(given, bool):
        raise BadValue("paused", "should be true or false")
    return bool(given)


def _shown(queue: Queue) -> Json:
    return {
        "name": queue.name,
        "createdAt": queue.created_ms,
        "updatedAt": queue.updated_ms,
        "parallelism": queue.parallelism,
        "paused": queue.paused,
        "lag": queue.lag,
    }


def _unknown(name: str) -> NotFound:
    return NotFound(f"queue {name} not found")


def _log(what: str, owner: Owner, name: str, **more: int) -> None:
    log.info(logfmt.line(what, owner=owner, queue=name, **more))
