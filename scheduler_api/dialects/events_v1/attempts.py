"""What became of callbacks: the attempts of an event, and all that failed."""

from collections.abc import Iterator
from flask import Response, request
from itertools import islice
from scheduler_api.core import attempts
from scheduler_api.core.errors import NotFound
from scheduler_api.core.model import Attempt, Owner, State
from scheduler_api.dialects.documentation import documented
from scheduler_api.dialects.events_v1 import answers, shown
from scheduler_api.dialects.events_v1.filters import Part, read_failures, read_part
from scheduler_api.dialects.events_v1.ids import internal_id
from scheduler_api.dialects.events_v1.reading import NOT_FOUND, Refused
from scheduler_api.parameters import read_parameters
from scheduler_api.services import Services

# More events of the owners that are asked for are not looked at.
MOST_EVENTS = 100_000


class Attempts:
    """Views; each is called with the owner that the request's key stands for."""

    def __init__(self, services: Services) -> None:
        self._store = services.store
        self._schedules = services.schedules
        self._finder = services.finder

    @documented(query=shown.Part, answer=shown.AttemptList, errors=(400, 404))
    def of_event(self, owner: Owner, event_id: str) -> Response:
        """The attempts of one event, newest fire time first."""
        part = read_part(read_parameters(request.environ))
        try:
            schedule = self._schedules.get(owner, internal_id(event_id))
        except NotFound as err:
            raise Refused(404, NOT_FOUND) from err
        return _answer(attempts.of_schedule(self._store, schedule.id), part)

    @documented(query=shown.FailureQuery, answer=shown.AttemptList, errors=(400,))
    def failures(self, owner: Owner) -> Response:
        """The attempts of callbacks that were given up, the last given up first."""
        asked = read_failures(read_parameters(request.environ))
        events = None
        if asked.owners:
            found = self._finder.find(
                owner, [asked.owners], offset=0, limit=MOST_EVENTS
            )
            events = frozenset(found.ids)
        dead = attempts.of_finished(self._store, owner, State.DEAD, of=events)
        return _answer(dead, asked.part)


def _answer(found: Iterator[Attempt], part: Part) -> Response:
    newest = islice(found, part.offset, part.offset + part.limit)
    return answers.respond_data([answers.attempt(each) for each in newest])
