"""What became of callbacks: the attempts of an event, and all that failed."""

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
from scheduler_api.dialects.events_v1.filters import Part, read_failures, read_part
from scheduler_api.dialects.events_v1.ids import internal_id
from scheduler_api.dialects.events_v1.parsing import invalid, read_body
from scheduler_api.services import Services
from scheduler_api.web.documented import IdempotencyKey, documented
from scheduler_api.web.idempotency import once, read_deduplication
from scheduler_api.web.query_string import read_parameters
from scheduler_api.web.refusal import Refusal

# More events of the owners that are asked for are not looked at.
MOST_EVENTS = 100_000
NO_ATTEMPT = "Attempt not found"
UNFINISHED = "a callback can be replayed once it is finished"
OVER = "a finished event cannot be replayed"
OVERLAPS = "the callback before this one is not finished"

_ATTEMPT = re.compile(r"([0-9]{1,16}(?:r[0-9a-z]{1,16})?)-([1-9][0-9]{0,8})")

log = logging.getLogger("scheduler.web")


class Attempts:
    """Views; each is called with the owner that the request's key stands for."""

    def __init__(self, services: Services) -> None:
        self._cell = services.cell
        self._store = services.store
        self._schedules = services.schedules
        self._schedule_search = services.schedule_search

    @documented(
        query=response_schemas.Part,
        response=response_schemas.AttemptList,
        errors=(400, 404),
    )
    def of_event(self, owner: Owner, event_id: str) -> Response:
        """The attempts of one event, newest fire time first."""
        part = read_part(read_parameters(request.environ))
        schedule = self._find(owner, event_id)
        return self._answer(attempts.of_schedule(self._cell, schedule.id), part)

    @documented(
        query=response_schemas.FailureQuery,
        response=response_schemas.AttemptList,
        errors=(400,),
    )
    def failures(self, owner: Owner) -> Response:
        """The attempts of callbacks that were given up, the last given up first."""
        asked = read_failures(read_parameters(request.environ))
        events = None
        if asked.owners:
            found = self._schedule_search.find(
                owner, [asked.owners], offset=0, limit=MOST_EVENTS
            )
            events = frozenset(found.ids)
        dead = attempts.of_finished(self._cell, owner, State.DEAD, schedules=events)
        return self._answer(dead, asked.part)

    @documented(
        headers=IdempotencyKey,
        response=response_schemas.OneReplay,
        statuses=(201,),
        errors=(400, 404, 409, 413, 422),
    )
    def replay(self, owner: Owner, event_id: str, attempt_id: str) -> Response:
        """Sends what the callback of an attempt sent again, at once, as it was."""
        deduplication = read_deduplication(request, read_body(request))
        schedule = self._find(owner, event_id)
        named = _ATTEMPT.fullmatch(attempt_id)
        origin = f"{schedule.id}.{named[1]}" if named else ""
        if not named or not attempts.exists(self._cell, origin, int(named[2])):
            raise Refusal(404, NO_ATTEMPT)

        def answer(run_id: str) -> Response:
            return rendering.respond_data(rendering.replay(run_id, of=origin), 201)

        return once(
            self._store,
            owner,
            deduplication,
            execute=lambda: answer(self._send_again(schedule, origin, deduplication)),
            repeat=lambda duplicate: answer(duplicate.id),
        )

    def _send_again(
        self, schedule: Schedule, origin: str, deduplication: DeduplicationKey | None
    ) -> str:
        """Raises: Refusal, StoreFull, Repeated."""
        try:
            run_id = self._schedules.run(
                schedule, replay_of=origin, deduplication=deduplication
            )
        except NotFound as err:
            raise Refusal(404, NO_ATTEMPT) from err
        except NotFinished as err:
            raise invalid(UNFINISHED) from err
        except ScheduleEnded as err:
            raise invalid(OVER) from err
        except RunInProgress as err:
            raise Refusal(409, OVERLAPS) from err
        log.info(
            logfmt.line("event.replayed", event=run_id, of=origin, owner=schedule.owner)
        )
        return run_id

    def _find(self, owner: Owner, event_id: str) -> Schedule:
        return self._schedules.get(owner, internal_id(event_id))

    def _answer(self, found: Iterator[Attempt], part: Part) -> Response:
        newest = list(islice(found, part.offset, part.offset + part.limit))
        ids = dict.fromkeys(each.event_id for each in newest)
        origins = attempts.replay_origins(self._cell, ids)
        return rendering.respond_data(
            [
                rendering.attempt(each, origin=origins.get(each.event_id))
                for each in newest
            ]
        )
