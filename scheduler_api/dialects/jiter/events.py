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
    NotFinished,
    NotFound,
    NotPending,
    StoreFull,
    TimePassed,
)
from scheduler_api.core.ids import to_id
from scheduler_api.core.model import Attempt, Content, Draft, Event, Owner
from scheduler_api.core.queries.filters import Phase, phase_of
from scheduler_api.core.recovery.replays import replay
from scheduler_api.core.tenants.quotas import OverQuota, same_month
from scheduler_api.dialects.jiter import rendering, response_schemas
from scheduler_api.dialects.jiter.filters import DAY_MS, read_selection
from scheduler_api.dialects.jiter.parsing import (
    InvalidField,
    check_size,
    load,
    parse_object,
    read_body,
    read_object,
)
from scheduler_api.dialects.jiter.request_schemas import (
    PAST_TIME,
    Body,
    EventEdit,
    Fields,
    NewEvent,
    read_id,
)
from scheduler_api.dialects.jiter.settings import JiterSettings
from scheduler_api.services import Services
from scheduler_api.web.documented import IdempotencyKey, array_of, documented
from scheduler_api.web.idempotency import once, read_deduplication
from scheduler_api.web.query_string import read_parameters
from scheduler_api.web.refusal import Refusal
from scheduler_api.web.values import LATEST_MS
from typing import Any
from werkzeug.datastructures import MultiDict

NOT_FOUND = "Unable to find event"
NOT_FINISHED = "Only events that are finished can be replayed"
NOT_PENDING = "Only events that are pending can be edited"
TRIES = 10

log = logging.getLogger("scheduler.web")


class Events:
    """Views; each is called with the owner that the request's key stands for."""

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
        errors=(400, 413, 422),
    )
    def create(self, owner: Owner) -> Response:
        """Accepts an event; when it answers, the event is stored."""
        body = read_body(request)
        deduplication = read_deduplication(request, body)
        fields = self._load(self._new, parse_object(body))
        content = Content(fields["destination"], fields["payload"])
        at_ms: int = fields["scheduled_ms"]
        return once(
            self._store,
            owner,
            deduplication,
            execute=lambda: self._accept(
                owner, content, at_ms, deduplication=deduplication
            ),
            repeat=lambda duplicate: _as_at_first(
                owner, content, at_ms, duplicate=duplicate
            ),
        )

    def _accept(
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
        with self._counted(owner, at_ms):
            event = self._store.create(owner, draft)
        return _accepted(event)

    @documented(
        headers=IdempotencyKey,
        response=response_schemas.Event,
        errors=(400, 404, 413, 422),
    )
    def replay(self, owner: Owner, event_id: str) -> Response:
        """Sends what a finished event sent again, at once, as an event of its own."""
        deduplication = read_deduplication(request, read_body(request))
        origin = self._find(owner, event_id)
        options = rendering.replay_of(origin)
        content = replace(origin.content, options=options)
        return once(
            self._store,
            owner,
            deduplication,
            execute=lambda: self._send_again(
                origin, options, deduplication=deduplication
            ),
            repeat=lambda duplicate: _as_at_first(
                owner, content, None, duplicate=duplicate
            ),
        )

    def _send_again(
        self,
        origin: Event,
        options: Mapping[str, Any],
        *,
        deduplication: DeduplicationKey | None,
    ) -> Response:
        """Raises: Refusal, StoreFull, Repeated."""
        with self._counted(origin.owner, self._cell.now_ms()):
            event = replay(
                *(self._store, origin),
                options=options,
                deadline_ms=self._settings.timeout_ms,
                deduplication=deduplication,
            )
        return _accepted(event)

    @documented(response=response_schemas.EventWithHistory, errors=(404,))
    def get(self, owner: Owner, event_id: str) -> Response:
        """One event with its history, unless it ended before the search window."""
        event, attempts = self._whole(owner, event_id)
        if event.finished_ms is not None:
            now_ms = self._cell.now_ms()
            earliest_ms = now_ms - self._settings.search_window_days * DAY_MS
            if max(event.finished_ms, event.wanted_ms) < earliest_ms:
                raise Refusal(404, NOT_FOUND)
        return rendering.respond(rendering.event_with_history(event, attempts))

    @documented(
        query=response_schemas.EventQuery,
        response=array_of(response_schemas.Event),
        errors=(400,),
    )
    def select(self, owner: Owner) -> Response:
        """The first events that the query selects, by scheduled time."""
        now_ms = self._cell.now_ms()
        selection = read_selection(
            MultiDict(read_parameters(request.environ)),
            now_ms=now_ms,
            window_days=self._settings.search_window_days,
        )
        events = self._queries.events(owner, selection, now_ms=now_ms)
        most = self._settings.list_limit
        return rendering.respond_array(map(rendering.event, islice(events, most)))

    @documented(body=EventEdit, response=response_schemas.Event, errors=(400, 404, 413))
    def edit(self, owner: Owner, event_id: str) -> Response:
        """Edits or cancels an event that was never begun; all or nothing."""
        body = read_object(request)
        for _ in range(TRIES):
            event = self._find(owner, event_id)
            if phase_of(event) is not Phase.WAITING:
                raise Refusal(400, NOT_PENDING)
            fields = self._load(self._edit, body)
            try:
                self._change(event, fields)
            except Conflict:
                continue
            return rendering.respond(rendering.event(self._find(owner, event_id)))
        raise Conflict

    def _change(self, event: Event, fields: Fields) -> None:
        """Raises: Conflict, Refusal, redis.RedisError."""
        if not fields:
            return
        content = replace(
            event.content,
            url=fields.get("destination", event.content.url),
            body=fields.get("payload", event.content.body),
        )
        at_ms: int | None = fields.get("scheduled_ms")
        becomes_ms = event.wanted_ms if at_ms is None else at_ms
        moves = not same_month(becomes_ms, event.wanted_ms)
        if moves:
            self._take_month(event.owner, becomes_ms)
        try:
            self._store.change(
                event,
                content=None if content == event.content else content,
                at_ms=at_ms,
                cancel="status" in fields,
            )
        except (Conflict, NotFound, NotPending, TimePassed) as err:
            if moves:
                self._give_month(event.owner, becomes_ms)
            raise _refusal(err) from err
        if moves:
            self._give_month(event.owner, event.wanted_ms)
        log.info(
            logfmt.line(
                "event.cancelled" if "status" in fields else "event.edited",
                event=event.id,
                owner=event.owner,
            )
        )

    def _whole(self, owner: Owner, event_id: str) -> tuple[Event, list[Attempt]]:
        """An event and its attempts as they stood at one moment.

        Else one that is settled between the two reads would be shown as pending, beside
        the attempt that delivered it.
        """
        event = self._find(owner, event_id)
        for _ in range(TRIES):
            attempts = self._queries.attempts(event.id)
            if not attempts or event.finished_ms is not None:
                break
            before, event = event, self._find(owner, event_id)
            if event == before:
                break
        return event, attempts

    def _find(self, owner: Owner, event_id: str) -> Event:
        number = read_id(event_id)
        if number is None:
            raise Refusal(404, NOT_FOUND)
        try:
            return self._queries.event(owner, to_id(number))
        except NotFound as err:
            raise Refusal(404, NOT_FOUND) from err

    def _load(self, schema: Body, body: dict[str, object]) -> Fields:
        """The fields of a body; a past time is told before faults of later fields.

        The store's clock decides, so the function checks again; here it is asked only
        when the answer is a fault anyway.

        Raises: Refusal, redis.RedisError.
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
    def _counted(self, owner: Owner, at_ms: int) -> Iterator[None]:
        """Counts an event for its month, unless it is refused.

        Raises: Refusal, StoreFull, Repeated.
        """
        self._take_month(owner, at_ms)
        try:
            yield
        except (TimePassed, NotFinished, StoreFull, Repeated) as err:
            self._give_month(owner, at_ms)
            raise _refusal(err) from err

    def _take_month(self, owner: Owner, at_ms: int) -> None:
        try:
            self._quotas.count_event(owner, at_ms, limit=self._month_limit)
        except OverQuota as err:
            message = f"You cannot schedule more than {self._month_limit} events"
            raise Refusal(400, f"{message} per month") from err

    def _give_month(self, owner: Owner, at_ms: int) -> None:
        self._quotas.uncount_event(owner, at_ms, limit=self._month_limit)


def _accepted(event: Event) -> Response:
    log.info(
        logfmt.line(
            "event.accepted",
            event=event.id,
            owner=event.owner,
            wanted_ms=event.wanted_ms,
        )
    )
    return rendering.respond(rendering.event(event))


def _as_at_first(
    owner: Owner, content: Content, at_ms: int | None, *, duplicate: Duplicate
) -> Response:
    """The answer that was given when this was stored; without a time it is at once."""
    wanted_ms = duplicate.created_ms if at_ms is None else at_ms
    event = Event.new(
        *(duplicate.id, owner, content),
        wanted_ms=wanted_ms,
        created_ms=duplicate.created_ms,
    )
    return rendering.respond(rendering.event(event))


def _refusal(err: Exception) -> Exception:
    """What a client is told; a conflict is tried again before."""
    if isinstance(err, NotFound):
        return Refusal(404, NOT_FOUND)
    if isinstance(err, NotPending):
        return Refusal(400, NOT_PENDING)
    if isinstance(err, NotFinished):
        return Refusal(400, NOT_FINISHED)
    if isinstance(err, TimePassed):
        return Refusal(400, PAST_TIME)
    return err
