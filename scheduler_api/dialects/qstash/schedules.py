"""The endpoints of `/v2/schedules`: messages that are published again and again.

A schedule is known by the name that its owner gave it, else by an id that was made.

Source: https://upstash.com/docs/qstash/features/schedules
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from flask import Response, request
from scheduler_api.core import logs
from scheduler_api.core.cron import QSTASH, CronError
from scheduler_api.core.errors import Conflict, NotFound
from scheduler_api.core.groups import Group
from scheduler_api.core.marks import Mark, Repeated
from scheduler_api.core.model import (
    NO_GATES,
    Content,
    MissedRuns,
    Owner,
    Schedule,
    ScheduleOptions,
    ScheduleState,
)
from scheduler_api.dialects.documentation import documented, listed
from scheduler_api.dialects.qstash import answers, redaction, schedule_answers, shown
from scheduler_api.dialects.qstash.addressing import Addressing
from scheduler_api.dialects.qstash.answers import Shown
from scheduler_api.dialects.qstash.drafts import Drafts, Terms, schedule_mark
from scheduler_api.dialects.qstash.grammars import NAME_MAX_LENGTH, BadValue
from scheduler_api.dialects.qstash.message import Message, to_gates, to_options
from scheduler_api.dialects.qstash.reading import read_body
from scheduler_api.dialects.qstash.request_headers import NOTHING_GIVEN, from_headers
from scheduler_api.dialects.qstash.schedule_answers import ID_PREFIX, public_id
from scheduler_api.dialects.qstash.shown_headers import schedule_headers
from scheduler_api.dialects.qstash.targets import check_callbacks, read_target
from scheduler_api.services import Services

MISSED_RUNS = "Scheduler-Missed-Runs"
MOST_MISSED = "Scheduler-Most-Missed"
MOST_MISSED_DEFAULT, MOST_MISSED_LIMIT = 100, 1_000
OWN_HEADERS = {
    MISSED_RUNS: f"What becomes of missed runs: {', '.join(MissedRuns)}",
    MOST_MISSED: f"How many missed runs go out with {MissedRuns.ALL}",
}
OURS = "scheduler-"
ROUTE = "/v2/schedules/"
# How often a change may meet others to the same schedule: many copies of an app may
# replace it at their start, and their clients do not try again.
TRIES = 50

_MADE_ID = re.compile(rf"{ID_PREFIX}([0-9a-z]{{1,32}})")

log = logging.getLogger("scheduler.web")


@dataclass(frozen=True)
class Wanted:
    """What a schedule is to be, all of it; without a name it gets an id."""

    name: str | None
    expression: str
    tz: str
    content: Content
    deadline_ms: int
    options: ScheduleOptions
    mark: Mark | None


class Scheduling:
    """Views; each is called with the owner that the request's token stands for."""

    def __init__(self, services: Services) -> None:
        self._settings = services.settings
        self._store = services.store
        self._schedules = services.schedules
        self._groups = services.groups
        self._terms = Terms.of(services.settings)
        self._drafts = Drafts(self._terms)

    @documented(
        body={},
        content_type="*/*",
        headers=schedule_headers(OWN_HEADERS),
        answer=shown.ScheduleId,
        errors=(400, 404, 413),
    )
    def create(self, owner: Owner, destination: str) -> Response:
        """Stores a schedule, or replaces all of the one that bears its name.

        One that was created before, by what deduplication goes by, stays as it is.
        """
        wanted = self._wanted(owner)
        for _ in range(TRIES):
            try:
                schedule = self._store_wanted(owner, wanted)
            except CronError as err:
                raise BadValue("Upstash-Cron", f"cannot be planned: {err}") from err
            except Repeated as err:
                try:
                    known = self._schedules.get(owner, err.held.id)
                except NotFound:
                    # Deleted this moment, and its mark with it.
                    continue
                _log("schedule.deduplicated", known)
                shown = {"scheduleId": public_id(known), "deduplicated": True}
                return answers.respond(shown)
            _log("schedule.accepted", schedule)
            return answers.respond({"scheduleId": public_id(schedule)})
        raise Conflict

    @documented(answer=shown.ShownSchedule, errors=(404,))
    def get(self, owner: Owner, schedule_id: str) -> Response:
        """One schedule."""
        found = self._find(owner, schedule_id)
        return answers.respond(self._show([found], now_ms=self._store.now_ms())[0])

    @documented(answer=listed(shown.ShownSchedule))
    def all(self, owner: Owner) -> Response:
        """All schedules, oldest first."""
        now_ms, shown = self._store.now_ms(), list[Shown]()
        for batch in self._schedules.batches_of(owner):
            shown += self._show(batch, now_ms=now_ms)
        return answers.respond(shown)

    @documented(errors=(404,))
    def delete(self, owner: Owner, schedule_id: str) -> Response:
        """Removes a schedule; a message that it has made goes out all the same."""
        schedule = self._find(owner, schedule_id)
        try:
            self._schedules.delete(schedule)
        except NotFound as err:
            raise _unknown(schedule_id) from err
        _log("schedule.deleted", schedule)
        return answers.done()

    @documented(errors=(404,))
    def pause(self, owner: Owner, schedule_id: str) -> Response:
        """Stops a schedule; what would have been due meanwhile is never made up for."""
        return self._turn(owner, schedule_id, ScheduleState.PAUSED)

    @documented(errors=(404,))
    def resume(self, owner: Owner, schedule_id: str) -> Response:
        """Lets a schedule go on with the first fire time after now."""
        return self._turn(owner, schedule_id, ScheduleState.ACTIVE)

    def _turn(self, owner: Owner, schedule_id: str, state: ScheduleState) -> Response:
        for _ in range(TRIES):
            schedule = self._find(owner, schedule_id)
            if schedule.state in (state, ScheduleState.ENDED):
                return answers.done()
            try:
                edited = self._schedules.edit(schedule, grammar=QSTASH, state=state)
            except Conflict:
                continue
            except NotFound as err:
                raise _unknown(schedule_id) from err
            _log("schedule.edited", edited)
            return answers.done()
        raise Conflict

    def _store_wanted(self, owner: Owner, wanted: Wanted) -> Schedule:
        """Raises: Conflict, CronError, Repeated, redis.RedisError."""
        if wanted.name is None:
            return self._create_nameless(owner, wanted)
        return self._upsert(owner, wanted, wanted.name)

    def _create(self, owner: Owner, wanted: Wanted, name: str = "") -> Schedule:
        """Raises: Conflict (the name is taken), CronError, Repeated, RedisError."""
        return self._schedules.create(
            owner,
            wanted.content,
            expression=wanted.expression,
            tz=wanted.tz,
            grammar=QSTASH,
            deadline_ms=wanted.deadline_ms,
            name=name,
            options=wanted.options,
            mark=wanted.mark,
        )

    def _create_nameless(self, owner: Owner, wanted: Wanted) -> Schedule:
        """A schedule whose id is not some other's name, say one moved here with it.

        Raises: redis.RedisError.
        """
        while True:
            schedule = self._create(owner, wanted)
            try:
                self._schedules.id_of(owner, public_id(schedule))
            except NotFound:
                return schedule
            self._schedules.delete(schedule)

    def _upsert(self, owner: Owner, wanted: Wanted, name: str) -> Schedule:
        """Raises: Conflict, redis.RedisError."""
        for _ in range(TRIES):
            try:
                return self._replace(self._find(owner, name), wanted)
            except Conflict:
                continue
            except NotFound:
                pass
            try:
                return self._create(owner, wanted, name)
            except Conflict:
                continue
        raise Conflict

    def _replace(self, schedule: Schedule, wanted: Wanted) -> Schedule:
        """Replaces everything but when it was created, and whether it is paused.

        Raises: Conflict, NotFound, redis.RedisError.
        """
        paused = schedule.state is ScheduleState.PAUSED
        return self._schedules.edit(
            schedule,
            grammar=QSTASH,
            content=wanted.content,
            expression=wanted.expression,
            tz=wanted.tz,
            state=ScheduleState.PAUSED if paused else ScheduleState.ACTIVE,
            deadline_ms=wanted.deadline_ms,
            options=wanted.options,
            mark=wanted.mark,
        )

    def _find(self, owner: Owner, schedule_id: str) -> Schedule:
        """Raises: NotFound, UnreadableRecord, redis.RedisError."""
        try:
            return self._schedules.get(owner, self._internal_id(owner, schedule_id))
        except NotFound as err:
            raise _unknown(schedule_id) from err

    def _internal_id(self, owner: Owner, schedule_id: str) -> str:
        """Raises: NotFound, redis.RedisError."""
        try:
            return self._schedules.id_of(owner, schedule_id)
        except NotFound:
            made = _MADE_ID.fullmatch(schedule_id)
            if made is None:
                raise
        # One with a name is not known by the id that it would have had without.
        if self._schedules.get(owner, made[1]).name:
            raise NotFound
        return made[1]

    def _show(self, batch: list[Schedule], *, now_ms: int) -> list[Shown]:
        states = self._schedules.newest_states(batch)
        secret_key = self._settings.secret_key
        return [
            schedule_answers.schedule(
                each,
                next_ms=self._schedules.next_ms(each, now_ms=now_ms),
                states=states,
                key=redaction.key_of(each.owner.tenant, secret_key=secret_key),
            )
            for each in batch
        ]

    def _wanted(self, owner: Owner) -> Wanted:
        """What the request describes.

        Raises: BadValue, NotFound, Refused, redis.RedisError.
        """
        allow = self._terms.allow
        target = read_target(request.environ, route=ROUTE)
        to = Addressing(self._groups, owner, allow=allow).find(target.destination)
        group = to if isinstance(to, Group) else None
        said = from_headers(
            [pair for pair in request.headers if not pair[0].lower().startswith(OURS)],
            query=target.configuration,
            base=NOTHING_GIVEN if group is None else self._drafts.defaults(group),
            caller_ip=request.remote_addr,
            schedule=True,
            limits=self._terms.limits,
        )
        check_callbacks(said, allow=allow)
        options = _options(said, request.headers, to_group=group is not None)
        body = read_body(request, limit_bytes=self._terms.body_limit_bytes)
        content = _content(said, to, body)
        mark = schedule_mark(said, url=content.url, body=body)
        return Wanted(
            name=said.schedule_id,
            expression=said.cron or "",
            tz=said.tz or "",
            content=content,
            deadline_ms=said.timeout_ms or self._terms.timeout_ms,
            options=options,
            mark=Mark(mark, self._terms.deduplication_ms) if mark else None,
        )


def _content(said: Message, to: str | Group, body: bytes) -> Content:
    """What every run says: the rule is the schedule's, deduplication its creation's.

    That of a group goes to no URL, but by the name of the group to those who are in it.
    """
    said = replace(said, cron=None, tz=None, deduplication_id=None, content_based=False)
    if isinstance(to, Group):
        return Content(to.name, body, to_options(replace(said, topic=to.name)))
    return Content(to, body, to_options(said))


def _options(
    said: Message, headers: Mapping[str, str], *, to_group: bool
) -> ScheduleOptions:
    """What a run makes of a group is for its endpoints: they have journals and gates.

    Raises: BadValue.
    """
    policy = _policy(headers.get(MISSED_RUNS, "").strip().lower())
    most = headers.get(MOST_MISSED, "").strip()
    if most and policy is not MissedRuns.ALL:
        raise BadValue(MOST_MISSED, f"goes with {MISSED_RUNS}: {MissedRuns.ALL}")
    return ScheduleOptions(
        delay_ms=said.delay_ms,
        missed_runs=policy,
        most_missed=_bound(most) if policy is MissedRuns.ALL else 0,
        journal=not to_group,
        gates=NO_GATES if to_group else to_gates(said),
    )


def _policy(word: str) -> MissedRuns:
    try:
        return MissedRuns(word or MissedRuns.LATEST)
    except ValueError as err:
        wanted = f"should be one of {', '.join(MissedRuns)}"
        raise BadValue(MISSED_RUNS, f"{wanted}, not {word[:40]!r}") from err


def _bound(text: str) -> int:
    if not text:
        return MOST_MISSED_DEFAULT
    bound = int(text) if re.fullmatch("[0-9]{1,9}", text) else 0
    if not 1 <= bound <= MOST_MISSED_LIMIT:
        wanted = f"should be a whole number from 1 to {MOST_MISSED_LIMIT}"
        raise BadValue(MOST_MISSED, f"{wanted}, not {text[:40]!r}")
    return bound


def _unknown(schedule_id: str) -> NotFound:
    return NotFound(f"schedule {schedule_id[:NAME_MAX_LENGTH]} not found")


def _log(name: str, schedule: Schedule) -> None:
    log.info(
        logs.line(
            name,
            schedule=schedule.id,
            owner=schedule.owner,
            expression=schedule.expression,
            state=schedule.state,
        )
    )
