"""Changes of schedules by hand: run now, pause, resume, edit and delete."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from flask import Response, abort, request, url_for
from scheduler_api.core import public_ids
from scheduler_api.core.cron.expression import CronError, parse
from scheduler_api.core.cron.zones import check_zone
from scheduler_api.core.delivery.destinations import AddressPolicy
from scheduler_api.core.errors import (
    Conflict,
    NotFound,
    RunInProgress,
    ScheduleEnded,
)
from scheduler_api.core.model import Schedule, ScheduleState
from scheduler_api.core.schedules import run_history
from scheduler_api.core.store import audit
from scheduler_api.dashboard.destination_field import URL, read_url
from scheduler_api.dashboard.pages.schedules import find_schedule
from scheduler_api.dashboard.rendering import page, to_page
from scheduler_api.dashboard.viewer import Viewer
from scheduler_api.dialects import outbound
from scheduler_api.dialects.composition import BadField, Composer
from scheduler_api.services import Services
from scheduler_api.web.access import change
from scheduler_api.web.schedule_log import log_schedule
from scheduler_api.web.schedule_words import public_id, zone_of

# The fields of the form.
EXPRESSION, ZONE, RETRIES = "expression", "zone", "retries"
FIELDS = (EXPRESSION, ZONE, URL, RETRIES)
# How often a change is tried again because somebody else changed the schedule.
MAX_TRIES = 10
NOT_NOW = "This schedule does not run now"
ENDED = "It has ended"
RUN_IN_PROGRESS = "The run before has not ended, and its runs may not overlap"

Edit = Callable[[Schedule], Schedule]


class ScheduleChanges:
    """Changes the schedules of the tenant that a viewer sees."""

    def __init__(self, services: Services, composer: Composer) -> None:
        self._services = services
        self._composer = composer
        self._schedules = services.schedules
        self._policy = AddressPolicy.of(services.settings)
        self._grammar_of = {each.name: each.grammar for each in outbound.DIALECTS}

    def run(self, viewer: Viewer, schedule_id: str) -> Response:
        """Run a schedule now; its fire times do not change."""
        schedule = find_schedule(self._services, viewer, schedule_id)
        by_hand = change(schedule.owner, "schedule.run", public_id(schedule))
        audit.write(self._services.cell, by_hand, before=None, after=None)
        try:
            event_id = self._schedules.run(schedule)
        except NotFound:
            abort(404)
        except ScheduleEnded:
            return page("error.html", 409, name=NOT_NOW, message=ENDED)
        except RunInProgress:
            return page("error.html", 409, name=NOT_NOW, message=RUN_IN_PROGRESS)
        log_schedule("schedule.run", schedule)
        name = public_ids.event_id(schedule.owner, event_id)
        return to_page(url_for("dashboard.event", event_id=name))

    def pause(self, viewer: Viewer, schedule_id: str) -> Response:
        """Pause a schedule; its fire times are skipped."""
        return self._set_state(viewer, schedule_id, ScheduleState.PAUSED)

    def resume(self, viewer: Viewer, schedule_id: str) -> Response:
        """Resume a schedule at its next fire time."""
        return self._set_state(viewer, schedule_id, ScheduleState.ACTIVE)

    def _set_state(
        self, viewer: Viewer, schedule_id: str, state: ScheduleState
    ) -> Response:
        now_ms = self._services.cell.now_ms()

        def edit(schedule: Schedule) -> Schedule:
            if schedule.state is state or schedule.is_over(now_ms):
                return schedule
            by_hand = change(schedule.owner, "schedule.state", public_id(schedule))
            grammar = self._grammar_of[schedule.owner.dialect]
            return self._schedules.edit(
                schedule, grammar=grammar, state=state, change=by_hand
            )

        self._change(viewer, schedule_id, edit)
        return _to_schedule(schedule_id)

    def form(self, viewer: Viewer, schedule_id: str) -> Response:
        """Show the form that edits a schedule."""
        schedule = find_schedule(self._services, viewer, schedule_id)
        values = {
            EXPRESSION: schedule.expression,
            ZONE: zone_of(schedule),
            URL: schedule.content.url,
        }
        if self._has_retries(schedule):
            values[RETRIES] = self._composer.retries_of(schedule.content)
        return self._form(schedule, values)

    def _has_retries(self, schedule: Schedule) -> bool:
        """Return whether a schedule has a number of retries of its own."""
        return schedule.owner.dialect == self._composer.dialect

    def _form(
        self,
        schedule: Schedule,
        values: dict[str, str],
        faults: dict[str, str] | None = None,
    ) -> Response:
        return page(
            "schedule_edit.html",
            400 if faults else 200,
            schedule=schedule,
            public_id=public_id(schedule),
            values=values,
            has_retries=self._has_retries(schedule),
            faults=faults or {},
        )

    def edit(self, viewer: Viewer, schedule_id: str) -> Response:
        """Change the rule and the destination of a schedule."""
        try:
            self._change(viewer, schedule_id, self._edited)
        except BadField as err:
            schedule = find_schedule(self._services, viewer, schedule_id)
            return self._form(schedule, _values(), {err.field: str(err)})
        return _to_schedule(schedule_id)

    def _edited(self, schedule: Schedule) -> Schedule:
        """Raises: BadField, and what `Schedules.edit` raises."""
        values = _values()
        grammar = self._grammar_of[schedule.owner.dialect]
        tz = _read_zone(values[ZONE])
        try:
            cron = parse(values[EXPRESSION], tz=tz, grammar=grammar)
        except CronError as err:
            raise BadField(EXPRESSION, str(err)) from err
        if cron.tz != tz:
            raise BadField(ZONE, f"the cron line names the zone {cron.tz}")
        url = read_url(values[URL], self._policy, old=schedule.content.url)
        content = replace(schedule.content, url=url)
        if self._has_retries(schedule):
            content = self._composer.with_retries(content, values[RETRIES])
        by_hand = change(schedule.owner, "schedule.edit", public_id(schedule))
        audit.write(
            self._services.cell,
            by_hand,
            before={"expression": schedule.expression, "timeZone": zone_of(schedule)},
            after={"expression": cron.expression, "timeZone": tz},
        )
        try:
            return self._schedules.edit(
                schedule,
                grammar=grammar,
                expression=cron.expression,
                tz=tz,
                content=content,
            )
        except CronError as err:
            raise BadField(EXPRESSION, str(err)) from err

    def _change(self, viewer: Viewer, schedule_id: str, edit: Edit) -> None:
        """Read and change a schedule; start again if somebody else changed it.

        Raises: Conflict, and what `edit` raises.
        """
        for _ in range(MAX_TRIES):
            schedule = find_schedule(self._services, viewer, schedule_id)
            with suppress(Conflict):
                try:
                    edited = edit(schedule)
                except NotFound:
                    abort(404)
                if edited is not schedule:
                    log_schedule("schedule.edited", edited)
                return
        raise Conflict

    def ask_to_delete(self, viewer: Viewer, schedule_id: str) -> Response:
        """Ask whether to delete a schedule, and say what that means for its events."""
        schedule = find_schedule(self._services, viewer, schedule_id)
        return page(
            "schedule_delete.html",
            schedule=schedule,
            public_id=public_id(schedule),
            unfinished=run_history.count_unfinished(self._services.cell, schedule.id),
            most=run_history.MAX_COUNTED,
        )

    def delete(self, viewer: Viewer, schedule_id: str) -> Response:
        """Delete a schedule."""
        schedule = find_schedule(self._services, viewer, schedule_id)
        deleted = change(schedule.owner, "schedule.delete", public_id(schedule))
        # Somebody else may have deleted it.
        with suppress(NotFound):
            self._schedules.delete(schedule, change=deleted)
            log_schedule("schedule.deleted", schedule)
        return to_page(url_for("dashboard.schedules"))


def _values() -> dict[str, str]:
    return {name: request.form.get(name, "").strip() for name in FIELDS}


def _read_zone(tz: str) -> str:
    try:
        check_zone(tz)
    except CronError as err:
        raise BadField(ZONE, str(err)) from err
    return tz


def _to_schedule(schedule_id: str) -> Response:
    return to_page(url_for("dashboard.schedule", schedule_id=schedule_id))
