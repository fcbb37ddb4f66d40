"""The endpoints that list the newest fire times of an event, and run an event now."""

import logging
from flask import Response, request
from scheduler_api.core import logfmt
from scheduler_api.core.deduplication import DeduplicationKey
from scheduler_api.core.errors import RunInProgress, ScheduleEnded
from scheduler_api.core.model import Owner, Schedule
from scheduler_api.core.schedules import run_history
from scheduler_api.dialects.events_v1 import rendering, response_schemas
from scheduler_api.dialects.events_v1.ids import internal_id, public_id
from scheduler_api.dialects.events_v1.parsing import invalid, read_body
from scheduler_api.services import Services
from scheduler_api.web import schedule_runs
from scheduler_api.web.documented import IdempotencyKey, documented
from scheduler_api.web.idempotency import once, read_deduplication
from scheduler_api.web.query_string import read_parameters
from scheduler_api.web.refusal import Refusal
from scheduler_api.web.schedule_schemas import RunsQuery

ENDED = "a finished event cannot be run"
OVERLAPS = "the callback before this one is not finished"

log = logging.getLogger("scheduler.web")


class Runs:
    """The views for runs; `owner` is the owner of the request's API key."""

    def __init__(self, services: Services) -> None:
        self._cell = services.cell
        self._store = services.store
        self._schedules = services.schedules

    @documented(query=RunsQuery, response=response_schemas.RunList, errors=(400, 404))
    def newest(self, owner: Owner, event_id: str) -> Response:
        """List what happened at the newest fire times, newest first."""
        limit = schedule_runs.read_count(dict(read_parameters(request.environ)))
        runs = run_history.newest(self._cell, self._find(owner, event_id), limit=limit)
        return rendering.respond_data([rendering.render_run(run) for run in runs])

    @documented(
        headers=IdempotencyKey,
        response=response_schemas.CallbackResponse,
        statuses=(201,),
        errors=(400, 404, 409, 413, 422),
    )
    def run(self, owner: Owner, event_id: str) -> Response:
        """Send a callback now, in addition to the next fire time."""
        deduplication = read_deduplication(request, read_body(request))
        schedule = self._find(owner, event_id)

        def respond(run_id: str) -> Response:
            return rendering.respond_data(rendering.render_callback(run_id), 201)

        return once(
            self._store,
            owner,
            deduplication,
            execute=lambda: respond(self._run(schedule, deduplication)),
            repeat=lambda duplicate: respond(duplicate.id),
        )

    def _run(self, schedule: Schedule, deduplication: DeduplicationKey | None) -> str:
        """Run an event now; return the id of the callback.

        Raises: NotFound, Refusal, StoreFull, Repeated.
        """
        try:
            run_id = self._schedules.run(schedule, deduplication=deduplication)
        except ScheduleEnded as err:
            raise invalid(ENDED) from err
        except RunInProgress as err:
            raise Refusal(409, OVERLAPS) from err
        log.info(
            logfmt.line("schedule.run", event=public_id(run_id), owner=schedule.owner)
        )
        return run_id

    def _find(self, owner: Owner, event_id: str) -> Schedule:
        return self._schedules.get(owner, internal_id(event_id))
