"""The endpoints of `/v1/events`: an event is a schedule."""

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
from scheduler_api.dialects.events_v1.context import POST_FILTERED, Condition, fulfils
from scheduler_api.dialects.events_v1.cron_grammar import GRAMMAR
from scheduler_api.dialects.events_v1.filters import read_listing, search_terms_of
from scheduler_api.dialects.events_v1.ids import internal_id
from scheduler_api.dialects.events_v1.outbound import OWNER
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
    OneEvent,
)
from scheduler_api.dialects.events_v1.settings import EventsV1Settings
from scheduler_api.services import Services
from scheduler_api.web.documented import IdempotencyKey, documented
from scheduler_api.web.idempotency import once, read_deduplication
from scheduler_api.web.query_string import read_parameters
from scheduler_api.web.refusal import Refusal
from scheduler_api.web.schedule_log import log_schedule
from scheduler_api.web.schedule_options import ZonedOptions
from typing import TypedDict

TRIES = 10
# What the options of a new event say before it says anything.
NEW = ZonedOptions(options=ScheduleOptions(strict=True))

Change = Callable[[Schedule], Schedule]


class Rule(TypedDict):
    """What a schedule is made of."""

    content: Content
    expression: str
    tz: str
    deadline_ms: int
    options: ScheduleOptions
    search_terms: list[str]


class Events:
    """Views; each is called with the owner that the request's key stands for."""

    def __init__(self, services: Services) -> None:
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
        response=OneEvent,
        statuses=(201,),
        errors=(400, 413, 422),
    )
    def create(self, owner: Owner) -> Response:
        """Accepts an event; it fires first after now."""
        body = read_body(request)
        deduplication = read_deduplication(request, body)
        rule = self._rule(parse_object(body))
        return once(
            self._store,
            owner,
            deduplication,
            execute=lambda: self._accept(owner, rule, deduplication),
            repeat=lambda duplicate: self._as_at_first(owner, rule, duplicate),
        )

    def _rule(self, body: dict[str, object]) -> Rule:
        """What a schedule is made of.

        Raises: Refusal.
        """
        fields, chosen = load_event(
            self._new, body, was=NEW, clock_ms=self._cell.now_ms
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
            "tz": chosen.tz,
            "deadline_ms": self._deadline_ms,
            "options": chosen.options,
            "search_terms": search_terms_of(event_owner, tags=tags, context=context),
        }

    def _accept(
        self, owner: Owner, rule: Rule, deduplication: DeduplicationKey | None
    ) -> Response:
        """Raises: Refusal, Repeated."""
        try:
            schedule = self._schedules.create(
                owner, grammar=GRAMMAR, deduplication=deduplication, **rule
            )
        except TimePassed as err:
            raise invalid(PAST) from err
        log_schedule("schedule.accepted", schedule)
        return self._answer_new(schedule)

    def _as_at_first(self, owner: Owner, rule: Rule, duplicate: Duplicate) -> Response:
        """The answer that was given when this was stored."""
        created_ms = duplicate.created_ms
        new = Schedule.new(duplicate.id, owner, created_ms=created_ms, **rule)
        return self._answer_new(new)

    def _answer_new(self, schedule: Schedule) -> Response:
        """An event as it stood when it was created."""
        [shown] = self._show([schedule], now_ms=schedule.created_ms)
        return rendering.respond_data(shown, 201)

    @documented(query=EventQuery, response=EventList, errors=(400,))
    def select(self, owner: Owner) -> Response:
        """A part of the events that the query selects, oldest first."""
        listing = read_listing(read_parameters(request.environ))

        def look(schedule_ids: Sequence[str]) -> set[str]:
            return {
                schedule.id
                for batch in self._schedules.batches(owner, schedule_ids)
                for schedule in batch
                if _fulfils(schedule, listing.conditions)
            }

        found = self._schedule_search.find(
            owner,
            listing.groups,
            offset=listing.part.offset,
            limit=listing.part.limit,
            post_filter=PostFilter(POST_FILTERED, look) if listing.conditions else None,
        )
        batches = self._schedules.batches(owner, found.ids)
        return rendering.respond_list(map(self._show, batches), total=found.total)

    @documented(response=OneEvent, errors=(404,))
    def get(self, owner: Owner, event_id: str) -> Response:
        """One event."""
        return self._answer(self._find(owner, event_id))

    @documented(body=EventEdit, response=OneEvent, errors=(400, 404, 413))
    def edit(self, owner: Owner, event_id: str) -> Response:
        """Changes an event; what it names is replaced as a whole, from now on."""
        body = read_object(request)

        def change(schedule: Schedule) -> Schedule:
            fields, chosen = load_event(
                *(self._edit, body),
                was=ZonedOptions.of(schedule),
                clock_ms=self._cell.now_ms,
            )
            return self._edited(schedule, fields, chosen) if fields else schedule

        return self._answer(self._change(owner, event_id, change))

    def _edited(
        self, schedule: Schedule, fields: Fields, chosen: ZonedOptions
    ) -> Schedule:
        was = schedule.content
        event_owner = was.options[OWNER]
        tags = fields.get("tags", was.options.get(rendering.TAGS, []))
        context = rendering.context_of(was)
        context = fields.get("context", context)
        content = rendering.content(
            fields.get("callback_url", was.url),
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
            tz=chosen.tz,
            options=chosen.options,
            search_terms=search_terms_of(event_owner, tags=tags, context=context),
        )

    @documented(response=OneEvent, errors=(404,))
    def delete(self, owner: Owner, event_id: str) -> Response:
        """Removes an event, and answers what it was."""
        schedule = self._find(owner, event_id)
        shown = self._show([schedule])[0]
        self._schedules.delete(schedule)
        log_schedule("schedule.deleted", schedule)
        return rendering.respond_data(shown)

    @documented(response=OneEvent, errors=(400, 404))
    def pause(self, owner: Owner, event_id: str) -> Response:
        """Makes no further callback until resumed."""
        return self._into(owner, event_id, ScheduleState.PAUSED)

    @documented(response=OneEvent, errors=(400, 404))
    def resume(self, owner: Owner, event_id: str) -> Response:
        """Goes on with the next fire time after now."""
        return self._into(owner, event_id, ScheduleState.ACTIVE)

    def _into(self, owner: Owner, event_id: str, state: ScheduleState) -> Response:
        def change(schedule: Schedule) -> Schedule:
            if schedule.is_over(self._cell.now_ms()):
                raise invalid("a finished event cannot be paused or resumed")
            if schedule.state is state:
                return schedule
            return self._schedules.edit(schedule, grammar=GRAMMAR, state=state)

        return self._answer(self._change(owner, event_id, change))

    def _change(self, owner: Owner, event_id: str, change: Change) -> Schedule:
        """Changes an event as it is read, again while others change it.

        Raises: Refusal, Conflict, NotFound.
        """
        for _ in range(TRIES):
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

    def _answer(self, schedule: Schedule) -> Response:
        return rendering.respond_data(self._show([schedule])[0])

    def _show(
        self, schedules: Sequence[Schedule], *, now_ms: int | None = None
    ) -> list[rendering.Shown]:
        now_ms = self._cell.now_ms() if now_ms is None else now_ms
        return [
            rendering.event(
                schedule,
                now_ms=now_ms,
                next_ms=self._schedules.next_ms(schedule, now_ms=now_ms),
            )
            for schedule in schedules
        ]

    def _check_size(self, body: bytes) -> None:
        """Holds the limit that all dialects share.

        Raises: Refusal.
        """
        if len(body) > self._body_limit_bytes:
            raise Refusal(413, TOO_LARGE)


def _fulfils(schedule: Schedule, conditions: Sequence[Condition]) -> bool:
    return fulfils(rendering.context_of(schedule.content), conditions)
