"""The endpoints of `/v1/events`. An event of this API is a schedule of the engine."""

from collections.abc import Callable, Sequence
from flask import Response, request
from scheduler_api.core.deduplication import DeduplicationKey, Duplicate
from scheduler_api.core.delivery.destinations import AddressPolicy
from scheduler_api.core.errors import Conflict, TimePassed
from scheduler_api.core.model import (
    Content,
    Owner,
    Schedule,
    ScheduleOptions,
    ScheduleState,
)
from scheduler_api.core.queries.schedule_search import PostFilter
from scheduler_api.dialects.events_v1 import rendering
from scheduler_api.dialects.events_v1.context import POST_FILTERED, Condition, matches
from scheduler_api.dialects.events_v1.cron_grammar import GRAMMAR
from scheduler_api.dialects.events_v1.filters import read_event_query, search_terms_of
from scheduler_api.dialects.events_v1.ids import internal_id
from scheduler_api.dialects.events_v1.outbound import OWNER, TAGS
from scheduler_api.dialects.events_v1.parsing import (
    PAST,
    TOO_LARGE,
    invalid,
    load_event,
    parse_object,
    read_body,
    read_object,
)
from scheduler_api.dialects.events_v1.request_schemas import EventEdit, Fields, NewEvent
from scheduler_api.dialects.events_v1.response_schemas import (
    EventList,
    EventQuery,
    EventResponse,
)
from scheduler_api.dialects.events_v1.settings import EventsV1Settings
from scheduler_api.services import Services
from scheduler_api.web import access
from scheduler_api.web.documented import IdempotencyKey, documented
from scheduler_api.web.held_by import note_held_by
from scheduler_api.web.idempotency import once, read_deduplication
from scheduler_api.web.query_string import read_parameters
from scheduler_api.web.refusal import Refusal
from scheduler_api.web.schedule_log import log_schedule
from scheduler_api.web.schedule_options import ZonedOptions
from typing import TypedDict

# If other requests edit the same event at the same time, an edit is tried at most this
# many times.
MAX_TRIES = 10
# The options of a new event, unless the request contains other options.
NEW_OPTIONS = ZonedOptions(options=ScheduleOptions(strict=True))

Change = Callable[[Schedule], Schedule]


class Rule(TypedDict):
    """The part of a new schedule that the request determines."""

    content: Content
    expression: str
    tz: str
    deadline_ms: int
    options: ScheduleOptions
    search_terms: list[str]


class Events:
    """The views for events; `owner` is the owner of the request's API key."""

    def __init__(self, services: Services) -> None:
        self._holding = services.holding
        self._body_limit_bytes = services.settings.body_limit_bytes
        self._deadline_ms = services.settings.of(EventsV1Settings).timeout_ms
        self._cell = services.cell
        self._store = services.store
        self._schedules = services.schedules
        self._schedule_search = services.schedule_search
        allow = AddressPolicy.of(services.settings)
        self._new, self._edit = NewEvent(allow=allow), EventEdit(allow=allow)

    @documented(
        body=NewEvent,
        headers=IdempotencyKey,
        response=EventResponse,
        statuses=(201,),
        success="The new event, in `data`",
        errors=(400, 413, 422),
    )
    def create(self, owner: Owner) -> Response:
        """Create an event."""
        body = read_body(request)
        deduplication = read_deduplication(request, body)
        rule = self._rule(parse_object(body))
        return once(
            self._store,
            owner,
            deduplication,
            execute=lambda: self._create(owner, rule, deduplication),
            repeat=lambda duplicate: self._render_first_response(
                owner, rule, duplicate
            ),
        )

    def _rule(self, body: dict[str, object]) -> Rule:
        """Return the part of a new schedule that the body of a request determines.

        Raises: Refusal.
        """
        fields, zoned = load_event(
            self._new, body, current=NEW_OPTIONS, clock_ms=self._cell.now_ms
        )
        event_owner = fields["event_owner"]
        context, tags = fields.get("context"), fields.get("tags", [])
        content = rendering.content(
            fields["callback_url"],
            event_owner=event_owner,
            context=context,
            tags=tags,
        )
        self._check_size(content.body)
        return {
            "content": content,
            "expression": fields["interval"],
            "tz": zoned.tz,
            "deadline_ms": self._deadline_ms,
            "options": zoned.options,
            "search_terms": search_terms_of(event_owner, tags=tags, context=context),
        }

    def _create(
        self, owner: Owner, rule: Rule, deduplication: DeduplicationKey | None
    ) -> Response:
        """Create a schedule and render it.

        Raises: Refusal, Repeated.
        """
        try:
            schedule = self._schedules.create(
                owner, grammar=GRAMMAR, deduplication=deduplication, **rule
            )
        except TimePassed as err:
            raise invalid(PAST) from err
        log_schedule("schedule.accepted", schedule)
        return self._render_new(schedule)

    def _render_first_response(
        self, owner: Owner, rule: Rule, duplicate: Duplicate
    ) -> Response:
        """Repeat the response to the first request with the same idempotency key."""
        created_ms = duplicate.created_ms
        new = Schedule.new(duplicate.id, owner, created_ms=created_ms, **rule)
        return self._render_new(new)

    def _render_new(self, schedule: Schedule) -> Response:
        """Render an event in its state right after creation."""
        [event] = self._render([schedule], now_ms=schedule.created_ms)
        return rendering.respond_data(event, 201)

    @documented(query=EventQuery, response=EventList, errors=(400,))
    def select(self, owner: Owner) -> Response:
        """List events that match the query, oldest first."""
        query = read_event_query(read_parameters(request.environ))

        def matching(schedule_ids: Sequence[str]) -> set[str]:
            return {
                schedule.id
                for batch in self._schedules.batches(owner, schedule_ids)
                for schedule in batch
                if _matches(schedule, query.conditions)
            }

        found = self._schedule_search.find(
            owner,
            query.groups,
            offset=query.page.offset,
            limit=query.page.limit,
            post_filter=PostFilter(POST_FILTERED, matching)
            if query.conditions
            else None,
        )
        batches = self._schedules.batches(owner, found.ids)
        return rendering.respond_list(map(self._render, batches), total=found.total)

    @documented(response=EventResponse, errors=(404,))
    def get(self, owner: Owner, event_id: str) -> Response:
        """Return an event."""
        return self._respond(self._find(owner, event_id))

    @documented(
        body=EventEdit,
        response=EventResponse,
        success="The event after the change, in `data`",
        errors=(400, 404, 413),
    )
    def edit(self, owner: Owner, event_id: str) -> Response:
        """Edit an event; each field in the body replaces the stored field."""
        body = read_object(request)

        def change(schedule: Schedule) -> Schedule:
            fields, zoned = load_event(
                *(self._edit, body),
                current=ZonedOptions.of(schedule),
                clock_ms=self._cell.now_ms,
            )
            return self._apply_edit(schedule, fields, zoned) if fields else schedule

        return self._respond(self._change(owner, event_id, change))

    def _apply_edit(
        self, schedule: Schedule, fields: Fields, zoned: ZonedOptions
    ) -> Schedule:
        current = schedule.content
        event_owner = current.options[OWNER]
        tags = fields.get("tags", current.options.get(TAGS, []))
        context = fields.get("context", rendering.context_of(current))
        content = rendering.content(
            fields.get("callback_url", current.url),
            event_owner=event_owner,
            context=context,
            tags=tags,
        )
        self._check_size(content.body)
        return self._schedules.edit(
            schedule,
            grammar=GRAMMAR,
            content=content,
            expression=fields.get("interval"),
            tz=zoned.tz,
            options=zoned.options,
            search_terms=search_terms_of(event_owner, tags=tags, context=context),
        )

    @documented(
        response=EventResponse, success="The event as it was, in `data`", errors=(404,)
    )
    def delete(self, owner: Owner, event_id: str) -> Response:
        """Delete an event; return its last state."""
        schedule = self._find(owner, event_id)
        event = self._render([schedule])[0]
        deleted = access.change(owner, "schedule.delete", event_id)
        self._schedules.delete(schedule, change=deleted)
        log_schedule("schedule.deleted", schedule)
        return rendering.respond_data(event)

    @documented(response=EventResponse, errors=(400, 404))
    def pause(self, owner: Owner, event_id: str) -> Response:
        """Pause an event; no callbacks are sent until the event is resumed."""
        return self._set_state(owner, event_id, ScheduleState.PAUSED)

    @documented(response=EventResponse, errors=(400, 404))
    def resume(self, owner: Owner, event_id: str) -> Response:
        """Resume an event; `Scheduler-Held-By` says what would hold its callbacks.

        Callbacks continue at the next fire time.
        """
        response = self._set_state(owner, event_id, ScheduleState.ACTIVE)
        held_by = self._holding.of_schedule(self._find(owner, event_id))
        return note_held_by(response, held_by)

    def _set_state(self, owner: Owner, event_id: str, state: ScheduleState) -> Response:
        def change(schedule: Schedule) -> Schedule:
            if schedule.is_over(self._cell.now_ms()):
                raise invalid("a finished event cannot be paused or resumed")
            if schedule.state is state:
                return schedule
            return self._schedules.edit(
                schedule,
                grammar=GRAMMAR,
                state=state,
                change=access.change(owner, "schedule.state", event_id),
            )

        return self._respond(self._change(owner, event_id, change))

    def _change(self, owner: Owner, event_id: str, change: Change) -> Schedule:
        """Read and change an event; start again if another request changed the event.

        Raises: Refusal, Conflict, NotFound.
        """
        for _ in range(MAX_TRIES):
            schedule = self._find(owner, event_id)
            try:
                changed = change(schedule)
            except Conflict:
                continue
            except TimePassed as err:
                raise invalid(PAST) from err
            if changed is not schedule:
                log_schedule("schedule.edited", changed)
            return changed
        raise Conflict

    def _find(self, owner: Owner, event_id: str) -> Schedule:
        return self._schedules.get(owner, internal_id(event_id))

    def _respond(self, schedule: Schedule) -> Response:
        return rendering.respond_data(self._render([schedule])[0])

    def _render(
        self, schedules: Sequence[Schedule], *, now_ms: int | None = None
    ) -> list[rendering.Json]:
        now_ms = self._cell.now_ms() if now_ms is None else now_ms
        return [
            rendering.render_event(
                schedule,
                now_ms=now_ms,
                next_ms=self._schedules.next_ms(schedule, now_ms=now_ms),
            )
            for schedule in schedules
        ]

    def _check_size(self, body: bytes) -> None:
        """Check the size of a body against the limit that all dialects share.

        Raises: Refusal.
        """
        if len(body) > self._body_limit_bytes:
            raise Refusal(413, TOO_LARGE)


def _matches(schedule: Schedule, conditions: Sequence[Condition]) -> bool:
    return matches(rendering.context_of(schedule.content), conditions)
