"""The pages of events: the list, and one event with its timeline."""

from collections.abc import Sequence
from flask import Response, abort, request
from scheduler_api.core import public_ids
from scheduler_api.core.delivery.causes import Cause, cause_of, end_of
from scheduler_api.core.delivery.destinations import BadDestination
from scheduler_api.core.errors import NotFound, UnreadableRecord
from scheduler_api.core.model import Attempt, Event, State
from scheduler_api.core.queries.event_pages import (
    PAST,
    EventFilter,
    EventPages,
    Status,
    status_of,
)
from scheduler_api.core.queries.event_places import read_place
from scheduler_api.core.queries.filters import Phase, Target, phase_of
from scheduler_api.core.queries.ids import find
from scheduler_api.core.store.gate_names import readable_origin
from scheduler_api.dashboard.curl import curl_of
from scheduler_api.dashboard.examples import EVENT, example
from scheduler_api.dashboard.list_parameters import following, position, read_span
from scheduler_api.dashboard.rendering import page
from scheduler_api.dashboard.viewer import Viewer
from scheduler_api.dialects import outbound
from scheduler_api.services import Services
from typing import NamedTuple

# The names in the query of the list.
STATUS, URL, QUEUE, LABEL = "status", "url", "queue", "label"
SINCE, UNTIL = "from", "to"
MAX_BODY_BYTES = 65_536
UNREADABLE = "This event cannot be read; an operator finds it in the quarantine"


class Step(NamedTuple):
    """An entry of the timeline of an event."""

    attempt: Attempt
    cause: Cause | None


class StatusView(NamedTuple):
    """What the status of an event is read from, as in `Summary`."""

    status: Status
    waits_at: str
    next_ms: int
    is_sent: bool


class EventPagesView:
    """Shows the events of the tenant that a viewer sees."""

    def __init__(self, services: Services, dialects: Sequence[str]) -> None:
        self._services = services
        self._dialects = dialects
        self._pages = EventPages(services.cell, outbound.LABELS)
        self._outbound = outbound.outbound_halves(services.settings)

    def list(self, viewer: Viewer) -> Response:
        """List events, those that are due or have ended first."""
        if viewer.tenant is None:
            return page("choose_tenant.html", tenants=self._services.tenants.accounts())
        now_ms = self._services.cell.now_ms()
        found = self._pages.read(
            viewer.owners(self._dialects),
            _filter(),
            now_ms=now_ms,
            after=position(),
        )
        return page(
            "events.html",
            found=found,
            rows=[
                (
                    public_ids.event_id(each.owner, each.id),
                    each,
                    end_of(each.reason) or each.reason,
                )
                for each in found.events
            ],
            statuses=[*Status],
            chosen=request.args.get(STATUS, ""),
            arguments=request.args,
            example=example(EVENT, self._services.settings),
            following=following("dashboard.events", found.next),
            now_ms=now_ms,
        )

    def show(self, viewer: Viewer, event_id: str) -> Response:
        """Show an event: its request, and what happened to it."""
        event = find_event(self._services, viewer, event_id)
        attempts = self._services.queries.attempts(event.id)
        now_ms, is_active = self._services.cell.now_ms(), event.state is State.ACTIVE
        place = read_place(self._services.cell, event.id)
        return page(
            "event.html",
            event=event,
            place=place,
            schedule=self._schedule_name(event),
            origin=origin_of(event.content.url),
            view=StatusView(
                status_of(event, now_ms), place.waits_at, event.next_ms, place.is_sent
            ),
            end=end_of(event.reason or ""),
            is_editable=is_editable(event),
            is_sendable=is_sendable(event, now_ms),
            curl=curl_of(event, self._outbound, now_ms=now_ms),
            public_id=public_ids.event_id(event.owner, event.id),
            steps=[Step(each, cause_of(each)) for each in attempts],
            held_by=self._holding_gate(event),
            now_ms=now_ms,
            body=readable_text(event.content.body),
            is_active=is_active,
        )

    def _schedule_name(self, event: Event) -> str:
        """Return the id of the schedule of an event that clients use; '' if gone."""
        if event.schedule is None:
            return ""
        try:
            schedule = self._services.schedules.get(event.owner, event.schedule)
        except (NotFound, UnreadableRecord):
            return ""
        return public_ids.schedule_id(event.owner, schedule.id, schedule.name)

    def _holding_gate(self, event: Event) -> str:
        """Return what holds an event that is due; '' if nothing does."""
        if event.state is not State.ACTIVE:
            return ""
        return self._services.holding.of_event(event.owner, event.id, besides="")


def find_event(services: Services, viewer: Viewer, text: str) -> Event:
    """Return the event with an id that its clients use; if there is none, end with 404.

    Redis: four round trips.
    """
    for each in find(services.cell, text, tenant=viewer.tenant, owners=[]):
        if not each.is_schedule:
            try:
                return services.queries.event(each.owner, each.id)
            except UnreadableRecord:
                abort(page("error.html", 500, name=UNREADABLE, message=""))
            except NotFound:
                continue
    abort(404)


def origin_of(url: str) -> str:
    """Return the origin of a URL, as the page of destinations has it."""
    try:
        return readable_origin(url)
    except BadDestination:
        return url


def is_editable(event: Event) -> bool:
    """Whether the time and the content of an event may change."""
    return phase_of(event) is Phase.WAITING and event.schedule is None


def is_sendable(event: Event, now_ms: int) -> bool:
    """Whether an event may be made due: it waits for its first or its next attempt."""
    is_retried = phase_of(event) is Phase.UNDER_WAY and event.next_ms > now_ms
    return is_editable(event) or is_retried


def _filter() -> EventFilter:
    """Return the filter in the query; what is malformed filters nothing."""
    arguments = request.args
    status = arguments.get(STATUS, "")
    statuses = frozenset([Status(status)]) if status in [*Status] else PAST
    return EventFilter(
        statuses=statuses,
        time=read_span(arguments.get(SINCE, ""), arguments.get(UNTIL, "")),
        target=Target(arguments.get(URL, "").strip(), arguments.get(QUEUE, "").strip()),
        label=arguments.get(LABEL, "").strip(),
    )


def readable_text(body: bytes) -> str:
    """Return a body as text; bytes that are no text are shown as such."""
    return body[:MAX_BODY_BYTES].decode("utf-8", "backslashreplace")
