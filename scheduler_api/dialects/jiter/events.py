"""The endpoints of `/api/events`."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from flask import Response, request
from itertools import islice
from scheduler_api.core import logfmt
from scheduler_api.core.deduplication import DeduplicationKey, Duplicate, Repeated
from scheduler_api.core.delivery.destinations import AddressPolicy
from scheduler_api.core.errors import (
    Conflict,
    LimitReached,
    NotFinished,
    NotFound,
    NotPending,
    StoreFull,
    TimePassed,
)
from scheduler_api.core.model import Attempt, Content, Draft, Event, Owner
from scheduler_api.core.queries.filters import Phase, phase_of
from scheduler_api.core.recovery.replays import replay
from scheduler_api.core.tenants.quotas import OverQuota, same_month
from scheduler_api.core.timestamps import LATEST_MS, to_iso
from scheduler_api.dialects.jiter import rendering, response_schemas
from scheduler_api.dialects.jiter.filters import DAY_MS, read_selection
from scheduler_api.dialects.jiter.ids import public_id, read_id
from scheduler_api.dialects.jiter.parsing import (
    InvalidField,
    check_size,
    load,
    parse_object,
    read_body,
    read_object,
)
from scheduler_api.dialects.jiter.replays import replay_options
from scheduler_api.dialects.jiter.request_schemas import (
    PAST_TIME,
    Body,
    EventEdit,
    Fields,
    NewEvent,
)
from scheduler_api.dialects.jiter.settings import JiterSettings
from scheduler_api.services import Services
from scheduler_api.web.documented import IdempotencyKey, array_of, documented
from scheduler_api.web.idempotency import once, read_deduplication
from scheduler_api.web.query_string import read_parameters
from scheduler_api.web.refusal import Refusal
from typing import Any
from werkzeug.datastructures import MultiDict

NOT_FOUND = "Unable to find event"
NOT_FINISHED = "Only events that are finished can be replayed"
NOT_PENDING = "Only events that are pending can be edited"
# If an event keeps changing, an edit or a read of the event is tried at most this many
# times.
MAX_TRIES = 10

log = logging.getLogger("scheduler.web")


class Events:
    """The views for events; `owner` is the owner of the request's API key."""

    def __init__(self, services: Services) -> None:
        self._body_limit_bytes = services.settings.body_limit_bytes
        self._settings = services.settings.of(JiterSettings)
        self._cell = services.cell
        self._store = services.store
        self._queries = services.queries
        self._quotas = services.quotas
        self._month_limit = self._settings.events_per_month
        limit = self._settings.payload_limit_bytes
        allow = AddressPolicy.of(services.settings)
        self._new = NewEvent(payload_limit_bytes=limit, allow=allow)
        self._edit = EventEdit(payload_limit_bytes=limit, allow=allow)

    @documented(
        body=NewEvent,
        headers=IdempotencyKey,
        response=response_schemas.Event,
        success="The new event",
        errors=(400, 413, 422),
    )
    def create(self, owner: Owner) -> Response:
        """Create an event; it is stored before the response is sent."""
        body = read_body(request)
        deduplication = read_deduplication(request, body)
        fields = self._load(self._new, parse_object(body))
        content = Content(fields["destination"], fields["payload"])
        at_ms: int = fields["scheduled_ms"]
        return once(
            self._store,
            owner,
            deduplication,
            execute=lambda: self._create(
                owner, content, at_ms, deduplication=deduplication
            ),
            repeat=lambda duplicate: _render_first_response(
                owner, content, at_ms, duplicate=duplicate
            ),
        )

    def _create(
        self,
        owner: Owner,
        content: Content,
        at_ms: int,
        *,
        deduplication: DeduplicationKey | None,
    ) -> Response:
        """Raises: Refusal, StoreFull, Repeated."""
        draft = Draft(
            *(content, self._settings.timeout_ms),
            at_ms=at_ms,
            must_be_future=True,
            deduplication=deduplication,
        )
        with self._counting(owner, at_ms):
            event = self._store.create(owner, draft)
        return _log_and_render(event)

    @documented(
        headers=IdempotencyKey,
        response=response_schemas.Event,
        success="The new event",
        errors=(400, 404, 413, 422),
    )
    def replay(self, owner: Owner, event_id: str) -> Response:
        """Send a finished event again, now, as a new event."""
        deduplication = read_deduplication(request, read_body(request))
        origin = self._find(owner, event_id)
        options = replay_options(origin)
        content = replace(origin.content, options=options)
        return once(
            self._store,
            owner,
            deduplication,
            execute=lambda: self._replay(origin, options, deduplication=deduplication),
            repeat=lambda duplicate: _render_first_response(
                owner, content, None, duplicate=duplicate
            ),
        )

    def _replay(
        self,
        origin: Event,
        options: Mapping[str, Any],
        *,
        deduplication: DeduplicationKey | None,
    ) -> Response:
        """Raises: Refusal, StoreFull, Repeated."""
        with self._counting(origin.owner, self._cell.now_ms()):
            event = replay(
                *(self._store, origin),
                options=options,
                deadline_ms=self._settings.timeout_ms,
                deduplication=deduplication,
            )
        return _log_and_render(event)

    @documented(response=response_schemas.EventWithHistory, errors=(404,))
    def get(self, owner: Owner, event_id: str) -> Response:
        """Return an event and its history; 404 if it ended before the search window."""
        event, attempts = self._find_with_attempts(owner, event_id)
        if event.finished_ms is not None:
            now_ms = self._cell.now_ms()
            earliest_ms = now_ms - self._settings.search_window_days * DAY_MS
            if max(event.finished_ms, event.wanted_ms) < earliest_ms:
                raise Refusal(404, NOT_FOUND)
        return rendering.respond(rendering.render_event_with_history(event, attempts))

    @documented(
        query=response_schemas.EventQuery,
        response=array_of(response_schemas.Event),
        success="The events, by scheduled time",
        errors=(400,),
    )
    def select(self, owner: Owner) -> Response:
        """List events that match the query, by scheduled time."""
        now_ms = self._cell.now_ms()
        selection = read_selection(
            MultiDict(read_parameters(request.environ)),
            now_ms=now_ms,
            window_days=self._settings.search_window_days,
        )
        events = self._queries.events(owner, selection, now_ms=now_ms)
        page = islice(events, self._settings.list_limit)
        return rendering.respond_array(map(rendering.render_event, page))

    @documented(
        body=EventEdit,
        response=response_schemas.Event,
        success="The event after the change",
        errors=(400, 404, 413),
    )
    def edit(self, owner: Owner, event_id: str) -> Response:
        """Edit or cancel a pending event; either all fields change or none."""
        body = read_object(request)
        for _ in range(MAX_TRIES):
            event = self._find(owner, event_id)
            if phase_of(event) is not Phase.WAITING:
                raise Refusal(400, NOT_PENDING)
            fields = self._load(self._edit, body)
            try:
                self._apply_edit(event, fields)
            except Conflict:
                continue
            return rendering.respond(
                rendering.render_event(self._find(owner, event_id))
            )
        raise Conflict

    def _apply_edit(self, event: Event, fields: Fields) -> None:
        """Edit or cancel a pending event.

        Raises: Conflict, Refusal.
        """
        if not fields:
            return
        content = replace(
            event.content,
            url=fields.get("destination", event.content.url),
            body=fields.get("payload", event.content.body),
        )
        at_ms: int | None = fields.get("scheduled_ms")
        new_ms = event.wanted_ms if at_ms is None else at_ms
        changes_month = not same_month(new_ms, event.wanted_ms)
        if changes_month:
            self._count(event.owner, new_ms)
        try:
            self._store.change(
                event,
                content=None if content == event.content else content,
                at_ms=at_ms,
                cancel="status" in fields,
            )
        except (
            Conflict,
            LimitReached,
            NotFound,
            NotPending,
            TimePassed,
        ) as err:
            if changes_month:
                self._uncount(event.owner, new_ms)
            raise _refusal(err) from err
        if changes_month:
            self._uncount(event.owner, event.wanted_ms)
        log.info(
            logfmt.line(
                "event.cancelled" if "status" in fields else "event.edited",
                event=public_id(event.id),
                owner=event.owner,
            )
        )

    def _find_with_attempts(
        self, owner: Owner, event_id: str
    ) -> tuple[Event, list[Attempt]]:
        """Return an event and its attempts, in one consistent state.

        A worker may settle the event after the event is read and before the attempts
        are read. The response would then show a pending event with an attempt that
        delivered the event. So event and attempts are read again until the event no
        longer changes.
        """
        event = self._find(owner, event_id)
        for _ in range(MAX_TRIES):
            attempts = self._queries.attempts(event.id)
            if not attempts or event.finished_ms is not None:
                break
            before, event = event, self._find(owner, event_id)
            if event == before:
                break
        return event, attempts

    def _find(self, owner: Owner, event_id: str) -> Event:
        stored_id = read_id(event_id)
        if stored_id is None:
            raise Refusal(404, NOT_FOUND)
        try:
            return self._queries.event(owner, stored_id)
        except NotFound as err:
            raise Refusal(404, NOT_FOUND) from err

    def _load(self, schema: Body, body: dict[str, object]) -> Fields:
        """Return the fields of a body; report the first fault in the order of fields.

        The time precedes the payload and the destination. If the payload or the
        destination is wrong, this method checks first whether the time is in the past.
        Otherwise, the store checks the time.

        Raises: Refusal.
        """
        try:
            fields = load(schema, body)
        except InvalidField as fault:
            at_ms = fault.valid.get("scheduled_ms", LATEST_MS)
            later = fault.field in ("payload", "destination")
            if later and at_ms <= self._cell.now_ms():
                raise Refusal(400, PAST_TIME) from fault
            raise
        check_size(fields.get("payload", b""), self._body_limit_bytes)
        return fields

    @contextmanager
    def _counting(self, owner: Owner, at_ms: int) -> Iterator[None]:
        """Count an event in the quota of its month, then run the `with` block.

        The block stores the event. If the store refuses the event, the count is undone.

        Raises: Refusal, StoreFull, Repeated.
        """
        self._count(owner, at_ms)
        try:
            yield
        except (TimePassed, NotFinished, StoreFull, LimitReached, Repeated) as err:
            self._uncount(owner, at_ms)
            raise _refusal(err) from err

    def _count(self, owner: Owner, at_ms: int) -> None:
        try:
            self._quotas.count_event(owner, at_ms, limit=self._month_limit)
        except OverQuota as err:
            message = f"You cannot schedule more than {self._month_limit} events"
            raise Refusal(400, f"{message} per month") from err

    def _uncount(self, owner: Owner, at_ms: int) -> None:
        self._quotas.uncount_event(owner, at_ms, limit=self._month_limit)


def _log_and_render(event: Event) -> Response:
    log.info(
        logfmt.line(
            "event.accepted",
            event=public_id(event.id),
            owner=event.owner,
            due=to_iso(event.wanted_ms),
        )
    )
    return rendering.respond(rendering.render_event(event))


def _render_first_response(
    owner: Owner, content: Content, at_ms: int | None, *, duplicate: Duplicate
) -> Response:
    """Repeat the response to the first request with the same idempotency key.

    `at_ms` is the requested time; None means the time of the creation.
    """
    wanted_ms = duplicate.created_ms if at_ms is None else at_ms
    event = Event.new(
        *(duplicate.id, owner, content),
        wanted_ms=wanted_ms,
        created_ms=duplicate.created_ms,
    )
    return rendering.respond(rendering.render_event(event))


def _refusal(err: Exception) -> Exception:
    """Return the refusal for an error of the engine; return other errors unchanged."""
    if isinstance(err, NotFound):
        return Refusal(404, NOT_FOUND)
    if isinstance(err, NotPending):
        return Refusal(400, NOT_PENDING)
    if isinstance(err, NotFinished):
        return Refusal(400, NOT_FINISHED)
    if isinstance(err, TimePassed):
        return Refusal(400, PAST_TIME)
    return err
