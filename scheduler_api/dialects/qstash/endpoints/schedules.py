"""The endpoints of `/v2/schedules`: messages that are published again and again.

A schedule is known by the name that its owner gave it, else by an id that was made.

Source: https://upstash.com/docs/qstash/features/schedules
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from flask import Response, request
from scheduler_api.core.cron.expression import CronError
from scheduler_api.core.deduplication import DeduplicationKey, Repeated
from scheduler_api.core.errors import (
    Conflict,
    NotFound,
    RunInProgress,
    ScheduleEnded,
    TimePassed,
)
from scheduler_api.core.model import (
    NO_GATES,
    Content,
    Owner,
    Schedule,
    ScheduleOptions,
    ScheduleState,
)
from scheduler_api.core.schedules import run_history
from scheduler_api.core.tenants.url_groups import Group
from scheduler_api.dialects.qstash.cron_grammar import GRAMMAR
from scheduler_api.dialects.qstash.parsing import redaction
from scheduler_api.dialects.qstash.parsing.addressing import Addressing
from scheduler_api.dialects.qstash.parsing.drafts import (
    Drafts,
    Limits,
    schedule_deduplication_name,
)
from scheduler_api.dialects.qstash.parsing.header_values import (
    NAME_MAX_LENGTH,
    BadValue,
)
from scheduler_api.dialects.qstash.parsing.message import Message, message_id, to_gates
from scheduler_api.dialects.qstash.parsing.request_headers import (
    DEFAULTS,
    from_headers,
)
from scheduler_api.dialects.qstash.parsing.requests import (
    read_body,
    read_schedule_headers,
)
from scheduler_api.dialects.qstash.parsing.targets import check_callbacks, read_target
from scheduler_api.dialects.qstash.rendering import (
    response_schemas,
    responses,
    schedule_responses,
)
from scheduler_api.dialects.qstash.rendering.group_runs import content_of, error_of
from scheduler_api.dialects.qstash.rendering.header_schemas import schedule_headers
from scheduler_api.dialects.qstash.rendering.responses import Json
from scheduler_api.dialects.qstash.rendering.schedule_responses import (
    ID_PREFIX,
    public_id,
)
from scheduler_api.services import Services
from scheduler_api.web import schedule_options, schedule_runs
from scheduler_api.web.documented import array_of, documented
from scheduler_api.web.query_string import read_parameters
from scheduler_api.web.refusal import Refusal
from scheduler_api.web.schedule_log import log_schedule
from scheduler_api.web.schedule_options import BadOption, ZonedOptions
from scheduler_api.web.schedule_schemas import RunsQuery
from urllib.parse import unquote

OWN_HEADERS = {
    schedule_options.header_name(name): about
    for name, about in schedule_options.DESCRIPTIONS.items()
}
OURS = schedule_options.HEADER_PREFIX.lower()
END_HEADER = schedule_options.header_name("endDate")
ZONE_HEADER = schedule_options.header_name("timeZone")
OVER = "the schedule has ended"
OVERLAPS = "the run before this one has not ended"
ROUTE = "/v2/schedules/"
TURNS = ("/pause", "/resume")
# How often a change may meet others to the same schedule: many copies of an app may
# replace it at their start, and their clients do not try again.
TRIES = 50

_MADE_ID = re.compile(rf"{ID_PREFIX}([0-9a-z]{{1,32}})")


@dataclass(frozen=True)
class Wanted:
    """What a schedule is to be, all of it; without a name it gets an id."""

    name: str | None
    expression: str
    tz: str
    content: Content
    deadline_ms: int
    options: ScheduleOptions
    deduplication: DeduplicationKey | None


class Scheduling:
    """Views; each is called with the owner that the request's token stands for."""

    def __init__(self, services: Services) -> None:
        self._settings = services.settings
        self._cell = services.cell
        self._schedules = services.schedules
        self._groups = services.groups
        self._queries = services.queries
        self._limits = Limits.of(services.settings)
        self._drafts = Drafts(self._limits)

    @documented(
        body={},
        content_type="*/*",
        headers=schedule_headers(OWN_HEADERS),
        response=response_schemas.ScheduleId,
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
            except TimePassed as err:
                raise BadValue(END_HEADER, "should be in the future") from err
            except Repeated as err:
                try:
                    known = self._schedules.get(owner, err.duplicate_of.id)
                except NotFound:
                    # Deleted this moment, and its deduplication key with it.
                    continue
                log_schedule("schedule.deduplicated", known)
                return responses.respond({"scheduleId": public_id(known)})
            log_schedule("schedule.accepted", schedule)
            return responses.respond({"scheduleId": public_id(schedule)})
        raise Conflict

    @documented(response=response_schemas.ScheduleResponse, errors=(404,))
    def get(self, owner: Owner, schedule_id: str) -> Response:
        """One schedule."""
        found = self._find(owner, schedule_id)
        return responses.respond(self._show([found], now_ms=self._cell.now_ms())[0])

    @documented(response=array_of(response_schemas.ScheduleResponse))
    def all(self, owner: Owner) -> Response:
        """All schedules, oldest first."""
        now_ms, shown = self._cell.now_ms(), list[Json]()
        for batch in self._schedules.batches_of(owner):
            shown += self._show(batch, now_ms=now_ms)
        return responses.respond(shown)

    @documented(errors=(404,))
    def delete(self, owner: Owner, schedule_id: str) -> Response:
        """Removes a schedule; a message that it has made goes out all the same."""
        schedule = self._find(owner, schedule_id)
        try:
            self._schedules.delete(schedule)
        except NotFound as err:
            raise _unknown(schedule_id) from err
        log_schedule("schedule.deleted", schedule)
        return responses.empty()

    @documented(errors=(404,))
    def pause(self, owner: Owner, schedule_id: str) -> Response:
        """Stops a schedule; what would have been due meanwhile is never made up for."""
        return self._turn(owner, schedule_id, ScheduleState.PAUSED)

    @documented(errors=(404,))
    def resume(self, owner: Owner, schedule_id: str) -> Response:
        """Lets a schedule go on with the first fire time after now."""
        return self._turn(owner, schedule_id, ScheduleState.ACTIVE)

    @documented(response=response_schemas.ManualRun, errors=(404, 409))
    def run(self, owner: Owner, schedule_id: str) -> Response:
        """Publishes what a schedule sends once more, now; its fire times stay."""
        schedule = self._find(owner, schedule_id)
        try:
            event_id = self._schedules.run(schedule)
        except NotFound as err:
            raise _unknown(schedule_id) from err
        except ScheduleEnded as err:
            raise Refusal(409, OVER) from err
        except RunInProgress as err:
            raise Refusal(409, OVERLAPS) from err
        log_schedule("schedule.run", schedule)
        return responses.respond(
            {"scheduleId": public_id(schedule), "messageId": message_id(event_id)}
        )

    @documented(query=RunsQuery, response=response_schemas.Runs, errors=(400, 404))
    def runs(self, owner: Owner, schedule_id: str) -> Response:
        """What happened at each of the newest fire times, newest first."""
        most = schedule_runs.read_count(dict(read_parameters(request.environ)))
        schedule = self._find(owner, schedule_id)
        found = run_history.newest(self._cell, schedule, limit=most)
        told = [
            schedule_runs.render_run(each, messageId=message_id(each.event_id or ""))
            for each in found
        ]
        return responses.respond({"runs": told})

    def _turn(self, owner: Owner, schedule_id: str, state: ScheduleState) -> Response:
        for _ in range(TRIES):
            schedule = self._find(owner, schedule_id)
            if schedule.state in (state, ScheduleState.ENDED):
                return responses.empty()
            try:
                edited = self._schedules.edit(schedule, grammar=GRAMMAR, state=state)
            except Conflict:
                continue
            except NotFound as err:
                raise _unknown(schedule_id) from err
            log_schedule("schedule.edited", edited)
            return responses.empty()
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
            grammar=GRAMMAR,
            deadline_ms=wanted.deadline_ms,
            name=name,
            options=wanted.options,
            deduplication=wanted.deduplication,
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
            grammar=GRAMMAR,
            content=wanted.content,
            expression=wanted.expression,
            tz=wanted.tz,
            state=ScheduleState.PAUSED if paused else ScheduleState.ACTIVE,
            deadline_ms=wanted.deadline_ms,
            options=wanted.options,
            deduplication=wanted.deduplication,
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

    def _show(self, batch: list[Schedule], *, now_ms: int) -> list[Json]:
        states = self._schedules.newest_states(batch)
        secret_key = self._settings.secret_key
        return [
            schedule_responses.render_schedule(
                each,
                next_ms=self._schedules.next_ms(each, now_ms=now_ms),
                states=states,
                error=error_of(each, states=states, queries=self._queries),
                key=redaction.key_of(each.owner.tenant, secret_key=secret_key),
            )
            for each in batch
        ]

    def _wanted(self, owner: Owner) -> Wanted:
        """What the request describes.

        Raises: BadValue, NotFound, Refusal, redis.RedisError.
        """
        policy = self._limits.address_policy
        target = read_target(request.environ, route=ROUTE)
        if target.path.endswith(TURNS) and ":" not in unquote(target.path):
            # No URL, and no id either: one has no slash in it.
            raise NotFound(f"schedule {target.path[:80]} not found")
        to = Addressing(self._groups, owner, policy=policy).resolve(target.destination)
        group = to if isinstance(to, Group) else None
        headers = read_schedule_headers(request)
        said = from_headers(
            [pair for pair in headers if not pair[0].lower().startswith(OURS)],
            query=target.configuration,
            base=DEFAULTS if group is None else self._drafts.defaults(group),
            caller_ip=request.remote_addr,
            schedule=True,
            limits=self._limits.headers,
        )
        check_callbacks(said, policy=policy)
        chosen = _chosen(said, headers, to_group=group is not None)
        body = read_body(request, limit_bytes=self._limits.body_limit_bytes)
        content = content_of(said, to, body)
        name = schedule_deduplication_name(said, url=content.url, body=body)
        return Wanted(
            name=said.schedule_id,
            expression=said.cron or "",
            tz=chosen.tz,
            content=content,
            deadline_ms=said.timeout_ms or self._limits.default_timeout_ms,
            options=chosen.options,
            deduplication=DeduplicationKey(name, self._limits.deduplication_ms)
            if name
            else None,
        )


def _chosen(
    said: Message, headers: Iterable[tuple[str, str]], *, to_group: bool
) -> ZonedOptions:
    """What a run makes of a group is for its endpoints: they have journals and gates.

    Raises: BadValue.
    """
    zone = said.tz or schedule_options.TIME_ZONE
    own = ScheduleOptions(
        delay_ms=said.delay_ms,
        journal=not to_group,
        gates=NO_GATES if to_group else to_gates(said),
    )
    try:
        asked = schedule_options.read_headers(headers)
        chosen = schedule_options.apply_options(asked, ZonedOptions(zone, own))
    except BadOption as err:
        name = err.name
        known = name in schedule_options.NAMES
        raise BadValue(
            schedule_options.header_name(name) if known else name, err.problem
        ) from err
    if zone != chosen.tz and "TZ=" in (said.cron or ""):
        raise BadValue(ZONE_HEADER, f"is {zone} in Upstash-Cron")
    return chosen


def _unknown(schedule_id: str) -> NotFound:
    return NotFound(f"schedule {schedule_id[:NAME_MAX_LENGTH]} not found")
