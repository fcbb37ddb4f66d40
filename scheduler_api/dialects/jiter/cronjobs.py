"""The endpoints of `/api/cronjobs`. A cron job is a schedule of the engine."""

from dataclasses import replace
from flask import Response, request
from functools import partial
from scheduler_api.core.deduplication import DeduplicationKey, Duplicate
from scheduler_api.core.delivery.destinations import AddressPolicy
from scheduler_api.core.errors import (
    Conflict,
    NotFound,
    RunInProgress,
    ScheduleEnded,
    TimePassed,
)
from scheduler_api.core.model import Content, Owner, Schedule, ScheduleState
from scheduler_api.core.schedules import run_history
from scheduler_api.dialects.jiter import rendering
from scheduler_api.dialects.jiter.cron_grammar import GRAMMAR
from scheduler_api.dialects.jiter.ids import public_id, read_id
from scheduler_api.dialects.jiter.parsing import (
    check_size,
    load,
    parse_object,
    read_body,
    read_object,
)
from scheduler_api.dialects.jiter.request_schemas import (
    Body,
    CronJobEdit,
    Fields,
    NewCronJob,
)
from scheduler_api.dialects.jiter.response_schemas import (
    CronJob,
    CronJobWithHistory,
    Runs,
)
from scheduler_api.dialects.jiter.settings import JiterSettings
from scheduler_api.services import Services
from scheduler_api.web import schedule_options, schedule_runs
from scheduler_api.web.access import change
from scheduler_api.web.documented import IdempotencyKey, array_of, documented
from scheduler_api.web.idempotency import once, read_deduplication
from scheduler_api.web.query_string import read_parameters
from scheduler_api.web.refusal import Refusal
from scheduler_api.web.schedule_log import log_schedule
from scheduler_api.web.schedule_options import BadOption, ZonedOptions
from scheduler_api.web.schedule_schemas import RunsQuery

NOT_FOUND = "Unable to find cron job"
PAST_END = "'options.endDate' should be in the future"
ENDED = "The cron job has ended"
OVERLAPS = "The execution before this one has not ended"
# If other requests edit the same cron job at the same time, an edit is tried at most
# this many times.
MAX_TRIES = 5
STATES = {
    rendering.ACTIVE: ScheduleState.ACTIVE,
    rendering.DISABLED: ScheduleState.PAUSED,
}


class CronJobs:
    """The views for cron jobs; `owner` is the owner of the request's API key."""

    def __init__(self, services: Services) -> None:
        self._body_limit_bytes = services.settings.body_limit_bytes
        self._settings = services.settings.of(JiterSettings)
        self._cell = services.cell
        self._store = services.store
        self._queries = services.queries
        self._schedules = services.schedules
        limit = self._settings.payload_limit_bytes
        allow = AddressPolicy.of(services.settings)
        self._new = NewCronJob(payload_limit_bytes=limit, allow=allow)
        self._edit = CronJobEdit(payload_limit_bytes=limit, allow=allow)

    @documented(
        body=NewCronJob,
        headers=IdempotencyKey,
        response=CronJobWithHistory,
        success="The new cron job",
        errors=(400, 413, 422),
    )
    def create(self, owner: Owner) -> Response:
        """Create an active cron job."""
        body = read_body(request)
        deduplication = read_deduplication(request, body)
        fields = self._load(self._new, parse_object(body))
        return once(
            self._store,
            owner,
            deduplication,
            execute=lambda: self._create(owner, fields, deduplication),
            repeat=lambda duplicate: self._render_first_response(
                owner, fields, duplicate
            ),
        )

    def _create(
        self, owner: Owner, fields: Fields, deduplication: DeduplicationKey | None
    ) -> Response:
        """Create a cron job and render it.

        Raises: Refusal, Repeated.
        """
        limit = self._settings.cron_jobs
        if limit and self._schedules.count(owner) >= limit:
            raise Refusal(400, f"You cannot have more than {limit} cron jobs")
        zoned = _apply_options(fields, ZonedOptions())
        try:
            schedule = self._schedules.create(
                owner,
                Content(fields["destination"], fields["payload"]),
                expression=fields["expression"],
                tz=zoned.tz,
                grammar=GRAMMAR,
                deadline_ms=self._settings.timeout_ms,
                options=zoned.options,
                deduplication=deduplication,
            )
        except TimePassed as err:
            raise Refusal(400, PAST_END) from err
        log_schedule("schedule.accepted", schedule)
        return self._render_new(schedule)

    def _render_first_response(
        self, owner: Owner, fields: Fields, duplicate: Duplicate
    ) -> Response:
        """Repeat the response to the first request with the same idempotency key."""
        zoned = _apply_options(fields, ZonedOptions())
        schedule = Schedule.new(
            *(duplicate.id, owner, Content(fields["destination"], fields["payload"])),
            expression=fields["expression"],
            tz=zoned.tz,
            options=zoned.options,
            deadline_ms=self._settings.timeout_ms,
            created_ms=duplicate.created_ms,
        )
        return self._render_new(schedule)

    def _render_new(self, schedule: Schedule) -> Response:
        """Render a cron job in its state right after creation."""
        next_ms = self._schedules.next_ms(schedule, now_ms=schedule.created_ms)
        cron_job = rendering.render_cron_job(schedule, next_ms=next_ms, busy=False)
        return rendering.respond(cron_job | {"history": []})

    @documented(response=CronJobWithHistory, errors=(404,))
    def get(self, owner: Owner, cron_id: str) -> Response:
        """Return a cron job with the history of its newest executions."""
        schedule = self._find(owner, cron_id)
        history = self._queries.history(schedule.id, limit=self._settings.list_limit)
        render_record = partial(rendering.render_cron_record, cron_id=schedule.id)
        return rendering.respond_array(
            map(render_record, history), parent=self._render([schedule])[0]
        )

    @documented(response=array_of(CronJob), success="The cron jobs, oldest first")
    def all(self, owner: Owner) -> Response:
        """List all cron jobs, including disabled ones, oldest first."""
        return rendering.respond(self._render(self._schedules.all_of(owner)))

    @documented(
        body=CronJobEdit,
        response=CronJobWithHistory,
        success="The cron job after the change",
        errors=(400, 404, 413),
    )
    def edit(self, owner: Owner, cron_id: str) -> Response:
        """Edit a cron job; a running execution does not change."""
        body = read_object(request)
        for _ in range(MAX_TRIES):
            schedule = self._find(owner, cron_id)
            fields = self._load(self._edit, body)
            try:
                edited = self._apply_edit(schedule, fields)
            except Conflict:
                continue
            except NotFound as err:
                raise Refusal(404, NOT_FOUND) from err
            except TimePassed as err:
                raise Refusal(400, PAST_END) from err
            return rendering.respond(self._render([edited])[0] | {"history": []})
        raise Conflict

    @documented(response=CronJob, success="The cron job as it was", errors=(404,))
    def delete(self, owner: Owner, cron_id: str) -> Response:
        """Delete a cron job; return its last state."""
        schedule = self._find(owner, cron_id)
        cron_job = self._render([schedule])[0]
        try:
            deleted = change(owner, "schedule.delete", cron_id)
            self._schedules.delete(schedule, change=deleted)
        except NotFound as err:
            raise Refusal(404, NOT_FOUND) from err
        log_schedule("schedule.deleted", schedule)
        return rendering.respond(cron_job)

    @documented(
        headers=IdempotencyKey,
        response=CronJob,
        success="The cron job",
        errors=(400, 404, 409, 413, 422),
    )
    def run(self, owner: Owner, cron_id: str) -> Response:
        """Run a cron job now, in addition to its next execution."""
        deduplication = read_deduplication(request, read_body(request))
        schedule = self._find(owner, cron_id)
        return once(
            self._store,
            owner,
            deduplication,
            execute=lambda: self._run(schedule, deduplication),
            repeat=lambda _: rendering.respond(self._render([schedule])[0]),
        )

    def _run(
        self, schedule: Schedule, deduplication: DeduplicationKey | None
    ) -> Response:
        """Run a cron job now and render it.

        Raises: Refusal, StoreFull, Repeated.
        """
        try:
            self._schedules.run(schedule, deduplication=deduplication)
        except NotFound as err:
            raise Refusal(404, NOT_FOUND) from err
        except ScheduleEnded as err:
            raise Refusal(409, ENDED) from err
        except RunInProgress as err:
            raise Refusal(409, OVERLAPS) from err
        log_schedule("schedule.run", schedule)
        return rendering.respond(self._render([schedule])[0])

    @documented(query=RunsQuery, response=Runs, errors=(400, 404))
    def runs(self, owner: Owner, cron_id: str) -> Response:
        """List what happened at the newest fire times, newest first."""
        limit = schedule_runs.read_count(dict(read_parameters(request.environ)))
        schedule = self._find(owner, cron_id)
        runs = run_history.newest(self._cell, schedule, limit=limit)
        return rendering.respond({"runs": [rendering.render_run(run) for run in runs]})

    def _apply_edit(self, schedule: Schedule, fields: Fields) -> Schedule:
        """Edit a cron job and return its new state.

        Raises: Conflict, NotFound, Refusal, TimePassed.
        """
        if not fields:
            return schedule
        zoned = _apply_options(fields, ZonedOptions.of(schedule))
        edited = self._schedules.edit(
            schedule,
            grammar=GRAMMAR,
            tz=zoned.tz,
            options=zoned.options,
            content=replace(
                schedule.content,
                url=fields.get("destination", schedule.content.url),
                body=fields.get("payload", schedule.content.body),
            ),
            expression=fields.get("expression"),
            state=STATES.get(fields.get("status", "")),
            change=change(schedule.owner, "schedule.state", public_id(schedule.id)),
        )
        log_schedule("schedule.edited", edited)
        return edited

    def _find(self, owner: Owner, cron_id: str) -> Schedule:
        stored_id = read_id(cron_id)
        if stored_id is None:
            raise Refusal(404, NOT_FOUND)
        try:
            return self._schedules.get(owner, stored_id)
        except NotFound as err:
            raise Refusal(404, NOT_FOUND) from err

    def _load(self, schema: Body, body: dict[str, object]) -> Fields:
        fields = load(schema, body)
        check_size(fields.get("payload", b""), self._body_limit_bytes)
        return fields

    def _render(self, schedules: list[Schedule]) -> list[rendering.Json]:
        busy = self._queries.busy([schedule.id for schedule in schedules])
        return [
            rendering.render_cron_job(
                schedule,
                next_ms=self._schedules.next_ms(schedule),
                busy=schedule.id in busy,
            )
            for schedule in schedules
        ]


def _apply_options(fields: Fields, current: ZonedOptions) -> ZonedOptions:
    """Return the current options, changed by the options in a body.

    Raises: Refusal.
    """
    try:
        return schedule_options.apply_options(fields.get("options", {}), current)
    except BadOption as err:
        raise Refusal(400, f"'options.{err.name[:40]}' {err.problem}") from err
