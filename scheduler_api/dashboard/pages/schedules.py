"""The pages of schedules: the list, and one schedule with its last and next runs."""

from collections.abc import Sequence
from flask import Response, abort, request
from scheduler_api.core.cron.expression import CronError
from scheduler_api.core.cron.preview import Preview
from scheduler_api.core.errors import NotFound, UnreadableRecord
from scheduler_api.core.model import Schedule, ScheduleState, State
from scheduler_api.core.queries.event_pages import STATUSES
from scheduler_api.core.queries.filters import Target
from scheduler_api.core.queries.schedule_pages import (
    ScheduleFilter,
    SchedulePages,
)
from scheduler_api.core.schedules import fire_times
from scheduler_api.core.schedules.schedules import newest_occurrence
from scheduler_api.core.store.reads import owner_of_schedule
from scheduler_api.dashboard.list_parameters import following, position
from scheduler_api.dashboard.pages.events import readable_text
from scheduler_api.dashboard.rendering import page
from scheduler_api.dashboard.viewer import Viewer
from scheduler_api.dialects import outbound
from scheduler_api.services import Services
from scheduler_api.web.schedule_words import (
    UNDER_WAY,
    past_runs,
    public_id,
    state_of,
    words_of,
    zone_of,
)
from typing import NamedTuple

# The names in the queries.
STATE, URL, QUEUE, LABEL = "state", "url", "queue", "label"
RUNS = "runs"
FEW_RUNS, MANY_RUNS = 10, 100
UNREADABLE = "This schedule cannot be read; an operator finds it in the quarantine"


class Row(NamedTuple):
    """A schedule in the list."""

    schedule: Schedule
    public_id: str
    words: str
    zone: str
    state: str
    next_ms: int | None
    last: str


class SchedulePagesView:
    """Shows the schedules of the tenant that a viewer sees."""

    def __init__(self, services: Services, dialects: Sequence[str]) -> None:
        self._services = services
        self._dialects = dialects
        self._pages = SchedulePages(services.cell, outbound.LABELS)

    def list(self, viewer: Viewer) -> Response:
        """List schedules, the newest first."""
        if viewer.tenant is None:
            return page("choose_tenant.html", tenants=self._services.tenants.accounts())
        now_ms = self._services.cell.now_ms()
        state = request.args.get(STATE, "")
        found = self._pages.read(
            viewer.owners(self._dialects),
            ScheduleFilter(
                state=ScheduleState(state) if state in [*ScheduleState] else None,
                target=Target(
                    request.args.get(URL, "").strip(),
                    request.args.get(QUEUE, "").strip(),
                ),
                label=request.args.get(LABEL, "").strip(),
            ),
            now_ms=now_ms,
            after=position(),
        )
        return page(
            "schedules.html",
            found=found,
            rows=self._rows(found.schedules, now_ms),
            states=[*ScheduleState],
            arguments=request.args,
            following=following("dashboard.schedules", found.next),
        )

    def _rows(self, schedules: Sequence[Schedule], now_ms: int) -> Sequence[Row]:
        newest = self._services.schedules.newest_states(schedules)
        return [
            Row(
                schedule,
                public_id(schedule),
                words_of(schedule),
                zone_of(schedule),
                state_of(schedule, now_ms),
                fire_times.next_ms(schedule, now_ms),
                _last(newest.get(newest_occurrence(schedule) or "")),
            )
            for schedule in schedules
        ]

    def show(self, viewer: Viewer, schedule_id: str) -> Response:
        """Show a schedule: its rule, its last runs and its next runs."""
        schedule = find_schedule(self._services, viewer, schedule_id)
        now_ms = self._services.cell.now_ms()
        has_all = request.args.get(RUNS) == str(MANY_RUNS)
        return page(
            "schedule.html",
            schedule=schedule,
            public_id=public_id(schedule),
            words=words_of(schedule),
            zone=zone_of(schedule),
            state=state_of(schedule, now_ms),
            past=past_runs(
                self._services.cell,
                schedule,
                limit=MANY_RUNS if has_all else FEW_RUNS,
            ),
            has_all=has_all,
            few=FEW_RUNS,
            many=MANY_RUNS,
            next=_next(schedule, now_ms),
            held_by=self._services.holding.of_schedule(schedule),
            body=readable_text(schedule.content.body),
        )


def find_schedule(services: Services, viewer: Viewer, schedule_id: str) -> Schedule:
    """Return the schedule with a stored id; end the request if there is none to see."""
    owner = owner_of_schedule(services.cell, schedule_id)
    if owner is None or viewer.tenant not in (None, owner.tenant):
        abort(404)
    try:
        return services.schedules.get(owner, schedule_id)
    except NotFound:
        abort(404)
    except UnreadableRecord:
        abort(page("error.html", 500, name=UNREADABLE, message=""))


def _next(schedule: Schedule, now_ms: int) -> Preview:
    try:
        return fire_times.upcoming_runs(schedule, now_ms, count=FEW_RUNS)
    except CronError:
        return Preview(())


def _last(state: State | None) -> str:
    """Return the status of the newest occurrence; '' if it is no longer stored."""
    if state is None:
        return ""
    return UNDER_WAY if state is State.ACTIVE else STATUSES[state]
