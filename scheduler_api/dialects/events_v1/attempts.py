"""The endpoints that list attempts of events, and that replay attempts."""

import logging
import re
from collections.abc import Iterator
from flask import Response, request
from itertools import islice
from scheduler_api.core import logfmt
from scheduler_api.core.deduplication import DeduplicationKey
from scheduler_api.core.errors import (
    NotFinished,
    NotFound,
    RunInProgress,
    ScheduleEnded,
)
from scheduler_api.core.model import Attempt, Owner, Schedule, State
from scheduler_api.core.queries import attempts
from scheduler_api.dialects.events_v1 import rendering, response_schemas
from scheduler_api.dialects.events_v1.filters import Page, read_failure_query, read_page
from scheduler_api.dialects.events_v1.ids import internal_id, public_id
from scheduler_api.dialects.events_v1.parsing import invalid, read_body
from scheduler_api.services import Services
from scheduler_api.web.documented import IdempotencyKey, documented
from scheduler_api.web.idempotency import once, read_deduplication
from scheduler_api.web.query_string import read_parameters
from scheduler_api.web.refusal import Refusal

# If a client filters failures by `eventOwner`, the response covers at most this many
# events.
MAX_EVENTS = 100_000
NO_ATTEMPT = "Attempt not found"
UNFINISHED = "a callback can be replayed once it is finished"
ENDED = "a finished event cannot be replayed"
OVERLAPS = "the callback before this one is not finished"

_ATTEMPT = re.compile(r"([0-9]{1,16}(?:r[0-9a-z]{1,16})?)-([1-9][0-9]{0,8})")

log = logging.getLogger("scheduler.web")


class Attempts:
    """The views for attempts; `owner` is the owner of the request's API key."""

    def __init__(self, services: Services) -> None:
        self._cell = services.cell
        self._store = services.store
        self._schedules = services.schedules
        self._schedule_search = services.schedule_search

    @documented(
        query=response_schemas.PageQuery,
        response=response_schemas.AttemptList,
        errors=(400, 404),
    )
    def of_event(self, owner: Owner, event_id: str) -> Response:
        """List the attempts of an event, newest fire time first."""
        page = read_page(read_parameters(request.environ))
        schedule = self._find(owner, event_id)
        return self._render(attempts.of_schedule(self._cell, schedule.id), page)

    @documented(
        query=response_schemas.FailureQuery,
        response=response_schemas.AttemptList,
        errors=(400,),
    )
    def failures(self, owner: Owner) -> Response:
        """List the attempts of dead callbacks, the callback that ended last first."""
        query = read_failure_query(read_parameters(request.environ))
        schedules = None
        if query.owners:
            found = self._schedule_search.find(
                owner, [query.owners], offset=0, limit=MAX_EVENTS
            )
            schedules = frozenset(found.ids)
        dead = attempts.of_finished(self._cell, owner, State.DEAD, schedules=schedules)
        return self._render(dead, query.page)

    @documented(
        headers=IdempotencyKey,
        response=response_schemas.ReplayResponse,
        statuses=(201,),
        errors=(400, 404, 409, 413, 422),
    )
    def replay(self, owner: Owner, event_id: str, attempt_id: str) -> Response:
        """Send the callback of an attempt again, now, with the same content."""
        deduplication = read_deduplication(request, read_body(request))
        schedule = self._find(owner, event_id)
        match = _ATTEMPT.fullmatch(attempt_id)
        origin = f"{schedule.id}.{match[1]}" if match else ""
        if not match or not attempts.exists(self._cell, origin, int(match[2])):
            raise Refusal(404, NO_ATTEMPT)

        def respond(run_id: str) -> Response:
            replay = rendering.render_replay(run_id, origin=origin)
            return rendering.respond_data(replay, 201)

        return once(
            self._store,
            owner,
            deduplication,
            execute=lambda: respond(self._replay(schedule, origin, deduplication)),
            repeat=lambda duplicate: respond(duplicate.id),
        )

    def _replay(
        self, schedule: Schedule, origin: str, deduplication: DeduplicationKey | None
    ) -> str:
        """Replay a callback; return the id of the new callback.

        Raises: Refusal, StoreFull, Repeated.
        """
        try:
            run_id = self._schedules.run(
                schedule, replay_of=origin, deduplication=deduplication
            )
        except NotFound as err:
            raise Refusal(404, NO_ATTEMPT) from err
        except NotFinished as err:
            raise invalid(UNFINISHED) from err
        except ScheduleEnded as err:
            raise invalid(ENDED) from err
        except RunInProgress as err:
            raise Refusal(409, OVERLAPS) from err
        log.info(
            logfmt.line(
                "event.replayed",
                event=public_id(run_id),
                of=public_id(origin),
                owner=schedule.owner,
            )
        )
        return run_id

    def _find(self, owner: Owner, event_id: str) -> Schedule:
        return self._schedules.get(owner, internal_id(event_id))

    def _render(self, found: Iterator[Attempt], page: Page) -> Response:
        newest = list(islice(found, page.offset, page.offset + page.limit))
        ids = dict.fromkeys(attempt.event_id for attempt in newest)
        origins = attempts.replay_origins(self._cell, ids)
        return rendering.respond_data(
            [
                rendering.render_attempt(attempt, origin=origins.get(attempt.event_id))
                for attempt in newest
            ]
        )
