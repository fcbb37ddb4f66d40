"""The endpoints of `/api/events`."""

import logging
from flask import Response, request
from scheduler_api.core import logs
from scheduler_api.core.errors import NotFound, TimePassed
from scheduler_api.core.ids import to_id
from scheduler_api.core.model import Content, Event, Owner
from scheduler_api.dialects.jiter import answers
from scheduler_api.dialects.jiter.reading import (
    Refused,
    Unacceptable,
    check_size,
    load,
    read_object,
)
from scheduler_api.dialects.jiter.schemas import PAST_TIME, NewEvent, read_id
from scheduler_api.services import Services

NOT_FOUND = "Unable to find event"

log = logging.getLogger(__name__)


class Events:
    """Views; each is called with the owner that the request's key stands for."""

    def __init__(self, services: Services) -> None:
        self._settings = services.settings
        self._store = services.store
        self._queries = services.queries
        limit = services.settings.jiter_payload_limit_bytes
        self._new = NewEvent(payload_limit_bytes=limit)

    def create(self, owner: Owner) -> Response:
        """Accepts an event; when it answers, the event is stored."""
        body = read_object(request)
        try:
            fields = load(self._new, body)
        except Unacceptable as fault:
            self._prefer_past_time(fault)
            raise
        content = Content(fields["destination"], fields["payload"])
        check_size(content.body, self._settings.body_limit_bytes)
        try:
            event = self._store.create(
                owner,
                content,
                at_ms=fields["scheduled_ms"],
                deadline_ms=self._settings.jiter_timeout_ms,
            )
        except TimePassed as err:
            raise Refused(400, PAST_TIME) from err
        log.info(
            logs.line(
                "event.accepted", event=event.id, owner=owner, wanted_ms=event.wanted_ms
            )
        )
        return answers.respond(answers.event(event))

    def get(self, owner: Owner, event_id: str) -> Response:
        """One event with its history."""
        event = self._find(owner, event_id)
        attempts = self._queries.attempts(event.id)
        return answers.respond(answers.event_with_history(event, attempts))

    def _find(self, owner: Owner, event_id: str) -> Event:
        number = read_id(event_id)
        if number is None:
            raise Refused(404, NOT_FOUND)
        try:
            return self._store.get(owner, to_id(number))
        except NotFound as err:
            raise Refused(404, NOT_FOUND) from err

    def _prefer_past_time(self, fault: Unacceptable) -> None:
        """A time that has passed is told before what is wrong with later fields."""
        at_ms = fault.valid.get("scheduled_ms")
        if at_ms is not None and at_ms <= self._store.now_ms():
            raise Refused(400, PAST_TIME) from fault
