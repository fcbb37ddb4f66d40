"""The endpoints of `/v2/schedules`: schedules publish messages by cron expressions.

Clients identify a schedule by the name that its owner chose. A schedule without a name
has a generated id instead.

Source: https://upstash.com/docs/qstash/features/schedules
"""

import re
from collections.abc import Callable, Iterable
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
from scheduler_api.dialects.qstash.parsing.ids import SCHEDULE_PREFIX
from scheduler_api.dialects.qstash.parsing.ignored_names import (
    Describer,
    ignored_names,
)
from scheduler_api.dialects.qstash.parsing.message import (
    Headers,
    Message,
    message_id,
    to_gates,
)
from scheduler_api.dialects.qstash.parsing.request_headers import (
    DEFAULTS,
    from_headers,
)
from scheduler_api.dialects.qstash.parsing.requests import (
    read_body,
    read_schedule_headers,
)
from scheduler_api.dialects.qstash.parsing.targets import (
    Target,
    check_callbacks,
    read_target,
)
from scheduler_api.dialects.qstash.rendering import (
    response_schemas,
    responses,
    schedule_responses,
)
from scheduler_api.dialects.qstash.rendering.group_runs import content_of, error_of
from scheduler_api.dialects.qstash.rendering.header_schemas import schedule_headers
from scheduler_api.dialects.qstash.rendering.responses import Json
from scheduler_api.dialects.qstash.rendering.schedule_responses import (
    public_id,
)
from scheduler_api.services import Services
from scheduler_api.web import schedule_options, schedule_runs
from scheduler_api.web.access import change
from scheduler_api.web.documented import array_of, documented
from scheduler_api.web.held_by import note_held_by
from scheduler_api.web.query_string import read_parameters
from scheduler_api.web.refusal import Refusal
from scheduler_api.web.schedule_log import log_schedule
from scheduler_api.web.schedule_options import BadOption, ZonedOptions
from scheduler_api.web.schedule_schemas import RunsQuery
from urllib.parse import unquote

OPTIONS_PREFIX = schedule_options.HEADER_PREFIX.lower()
END_HEADER = schedule_options.header_name("endDate")
ZONE_HEADER = schedule_options.header_name("timeZone")
ENDED = "the schedule has ended"
RUN_IN_PROGRESS = "the previous run has not finished"
ROUTE = "/v2/schedules/"
ACTIONS = ("/pause", "/resume")
# How often a request tries to change a schedule that other requests keep changing. Many
# copies of an application may replace the same schedule when they start, and the SDKs
# do not retry after a conflict.
MAX_TRIES = 50

_GENERATED_ID = re.compile(rf"{SCHEDULE_PREFIX}([0-9a-z]{{1,32}})")


@dataclass(frozen=True)
class ScheduleRequest:
    """The schedule that a request describes; without a `name`, it gets a new id."""

    name: str | None
    expression: str
    tz: str
    content: Content
    deadline_ms: int
    options: ScheduleOptions
    deduplication: DeduplicationKey | None
    ignored: str


class Scheduling:
    """Views of schedules. `owner` is the owner that the token identifies."""

    def __init__(self, services: Services) -> None:
        self._holding = services.holding
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
        headers=schedule_headers(schedule_options.header_descriptions()),
        response=response_schemas.ScheduleId,
        errors=(400, 404, 412, 413),
    )
    def create(self, owner: Owner, destination: str) -> Response:
        """Create a schedule, or replace the schedule with the same name.

        If an earlier request had the same deduplication key, nothing changes, and the
        response contains the id of the earlier request's schedule.
        """
        parsed = self._parse_request(owner)
        schedule = self.create_or_find(owner, parsed)
        answer = {"scheduleId": public_id(schedule)}
        return responses.respond(answer, ignored=parsed.ignored)

    def create_or_find(self, owner: Owner, parsed: ScheduleRequest) -> Schedule:
        """Return the schedule of a request, or of the request that it repeats.

        Raises: BadValue, Conflict.
        """
        for _ in range(MAX_TRIES):
            try:
                schedule = self._store(owner, parsed)
            except CronError as err:
                raise BadValue("Upstash-Cron", f"cannot be planned: {err}") from err
            except TimePassed as err:
                raise BadValue(END_HEADER, "should be in the future") from err
            except Repeated as err:
                try:
                    existing = self._schedules.get(owner, err.duplicate_of.id)
                except NotFound:
                    # `_store` found the earlier schedule. Since then, the earlier
                    # schedule and its deduplication key were deleted. Try again.
                    continue
                log_schedule("schedule.deduplicated", existing)
                return existing
            log_schedule("schedule.accepted", schedule)
            return schedule
        raise Conflict

    @documented(response=response_schemas.ScheduleResponse, errors=(404,))
    def get(self, owner: Owner, schedule_id: str) -> Response:
        """Get a schedule."""
        schedule = self._find(owner, schedule_id)
        [rendered] = self._render([schedule], now_ms=self._cell.now_ms())
        return responses.respond(rendered)

    @documented(
        response=array_of(response_schemas.ScheduleResponse),
        success="The schedules, oldest first",
    )
    def all(self, owner: Owner) -> Response:
        """List all schedules, oldest first."""
        now_ms, schedules = self._cell.now_ms(), list[Json]()
        for batch in self._schedules.batches_of(owner):
            schedules += self._render(batch, now_ms=now_ms)
        return responses.respond(schedules)

    @documented(success="The schedule is deleted", errors=(404,))
    def delete(self, owner: Owner, schedule_id: str) -> Response:
        """Delete a schedule; its published messages are still delivered."""
        schedule = self._find(owner, schedule_id)
        deleted = change(owner, "schedule.delete", schedule_id)
        try:
            self._schedules.delete(schedule, change=deleted)
        except NotFound as err:
            raise _not_found(schedule_id) from err
        log_schedule("schedule.deleted", schedule)
        return responses.empty()

    @documented(success="The schedule is paused", errors=(404,))
    def pause(self, owner: Owner, schedule_id: str) -> Response:
        """Pause a schedule; fire times during the pause are skipped."""
        return self._set_state(owner, schedule_id, ScheduleState.PAUSED)

    @documented(success="The schedule is resumed", errors=(404,))
    def resume(self, owner: Owner, schedule_id: str) -> Response:
        """Resume a schedule; `Scheduler-Held-By` says what would hold its messages.

        The schedule fires next at its first fire time after now.
        """
        response = self._set_state(owner, schedule_id, ScheduleState.ACTIVE)
        held_by = self._holding.of_schedule(self._find(owner, schedule_id))
        return note_held_by(response, held_by)

    @documented(response=response_schemas.ManualRun, errors=(404, 409, 412))
    def run(self, owner: Owner, schedule_id: str) -> Response:
        """Publish a schedule's message now; the fire times do not change."""
        schedule = self._find(owner, schedule_id)
        try:
            event_id = self._schedules.run(schedule)
        except NotFound as err:
            raise _not_found(schedule_id) from err
        except ScheduleEnded as err:
            raise Refusal(409, ENDED) from err
        except RunInProgress as err:
            raise Refusal(409, RUN_IN_PROGRESS) from err
        log_schedule("schedule.run", schedule)
        return responses.respond(
            {"scheduleId": public_id(schedule), "messageId": message_id(event_id)}
        )

    @documented(query=RunsQuery, response=response_schemas.Runs, errors=(400, 404))
    def runs(self, owner: Owner, schedule_id: str) -> Response:
        """List the outcomes of a schedule's latest fire times, latest first."""
        limit = schedule_runs.read_count(dict(read_parameters(request.environ)))
        schedule = self._find(owner, schedule_id)
        runs = [
            schedule_runs.render_run(run, messageId=message_id(run.event_id or ""))
            for run in run_history.newest(self._cell, schedule, limit=limit)
        ]
        return responses.respond({"runs": runs})

    def _set_state(
        self, owner: Owner, schedule_id: str, state: ScheduleState
    ) -> Response:
        for _ in range(MAX_TRIES):
            schedule = self._find(owner, schedule_id)
            if schedule.state in (state, ScheduleState.ENDED):
                return responses.empty()
            try:
                edited = self._schedules.edit(
                    schedule,
                    grammar=GRAMMAR,
                    state=state,
                    change=change(owner, "schedule.state", schedule_id),
                )
            except Conflict:
                continue
            except NotFound as err:
                raise _not_found(schedule_id) from err
            log_schedule("schedule.edited", edited)
            return responses.empty()
        raise Conflict

    def _store(self, owner: Owner, parsed: ScheduleRequest) -> Schedule:
        """Raises: Conflict, CronError, Repeated, TimePassed."""
        if parsed.name is None:
            return self._create_unnamed(owner, parsed)
        return self._upsert(owner, parsed, parsed.name)

    def _create(
        self, owner: Owner, parsed: ScheduleRequest, name: str = ""
    ) -> Schedule:
        """Raises: Conflict (the name is taken), CronError, Repeated, TimePassed."""
        return self._schedules.create(
            owner,
            parsed.content,
            expression=parsed.expression,
            tz=parsed.tz,
            grammar=GRAMMAR,
            deadline_ms=parsed.deadline_ms,
            name=name,
            options=parsed.options,
            deduplication=parsed.deduplication,
        )

    def _create_unnamed(self, owner: Owner, parsed: ScheduleRequest) -> Schedule:
        """Create a schedule whose generated id is not the name of another schedule.

        An owner who moves schedules from another server may use the ids from that
        server as names. If the new id is such a name, the new schedule is deleted, and
        is created again with another id.
        """
        while True:
            schedule = self._create(owner, parsed)
            try:
                self._schedules.id_of(owner, public_id(schedule))
            except NotFound:
                return schedule
            self._schedules.delete(schedule)

    def _upsert(self, owner: Owner, parsed: ScheduleRequest, name: str) -> Schedule:
        """Raises: Conflict, after too many concurrent changes."""
        for _ in range(MAX_TRIES):
            try:
                return self._replace(self._find(owner, name), parsed)
            except Conflict:
                continue
            except NotFound:
                pass
            try:
                return self._create(owner, parsed, name)
            except Conflict:
                continue
        raise Conflict

    def _replace(self, schedule: Schedule, parsed: ScheduleRequest) -> Schedule:
        """Replace a schedule; keep its creation time. A paused schedule stays paused.

        Raises: Conflict, NotFound.
        """
        paused = schedule.state is ScheduleState.PAUSED
        return self._schedules.edit(
            schedule,
            grammar=GRAMMAR,
            content=parsed.content,
            expression=parsed.expression,
            tz=parsed.tz,
            state=ScheduleState.PAUSED if paused else ScheduleState.ACTIVE,
            deadline_ms=parsed.deadline_ms,
            options=parsed.options,
            deduplication=parsed.deduplication,
            change=change(schedule.owner, "schedule.state", public_id(schedule)),
        )

    def _find(self, owner: Owner, schedule_id: str) -> Schedule:
        """Raises: NotFound, UnreadableRecord."""
        try:
            return self._schedules.get(owner, self._internal_id(owner, schedule_id))
        except NotFound as err:
            raise _not_found(schedule_id) from err

    def _internal_id(self, owner: Owner, schedule_id: str) -> str:
        """Raises: NotFound."""
        try:
            return self._schedules.id_of(owner, schedule_id)
        except NotFound:
            match = _GENERATED_ID.fullmatch(schedule_id)
            if match is None:
                raise
        # A schedule that has a name is found only by the name, not by the generated id.
        if self._schedules.get(owner, match[1]).name:
            raise NotFound
        return match[1]

    def _render(self, batch: list[Schedule], *, now_ms: int) -> list[Json]:
        states = self._schedules.newest_states(batch)
        secret_key = self._settings.secret_key
        return [
            schedule_responses.render_schedule(
                schedule,
                next_ms=self._schedules.next_ms(schedule, now_ms=now_ms),
                states=states,
                error=error_of(schedule, states=states, queries=self._queries),
                key=redaction.key_of(schedule.owner.tenant, secret_key=secret_key),
            )
            for schedule in batch
        ]

    def _parse_request(self, owner: Owner) -> ScheduleRequest:
        """Raises: BadValue, NotFound, Refusal."""
        target = read_target(request.environ, route=ROUTE)
        if target.path.lower().endswith(ACTIONS) and ":" not in unquote(target.path):
            # The path is not a destination. The client wants to pause or resume a
            # schedule, but the schedule id is invalid, such as in `a/b/pause`.
            raise NotFound(f"schedule {target.path[:80]} not found")
        limit_bytes = self._limits.body_limit_bytes
        return self.parse(
            *(owner, target, read_schedule_headers(request)),
            read=lambda: read_body(request, limit_bytes=limit_bytes),
            caller_ip=request.remote_addr,
        )

    def parse(
        self,
        owner: Owner,
        target: Target,
        headers: Headers,
        *,
        read: Callable[[], bytes],
        caller_ip: str | None = None,
    ) -> ScheduleRequest:
        """Return the schedule that a target, headers and a body describe.

        Args:
            read: returns the body; called after the headers are checked.

        Raises: BadValue, NotFound, Refusal.
        """
        policy = self._limits.address_policy
        addressing = Addressing(self._groups, owner, policy=policy)
        destination = addressing.resolve(target.destination)
        group = destination if isinstance(destination, Group) else None
        message = from_headers(
            [
                pair
                for pair in headers
                if not pair[0].lower().startswith(OPTIONS_PREFIX)
            ],
            query=target.configuration,
            base=DEFAULTS if group is None else self._drafts.defaults(group),
            caller_ip=caller_ip,
            schedule=True,
            limits=self._limits.headers,
        )
        check_callbacks(message, policy=policy)
        options = _options(message, headers, to_group=group is not None)
        body = read()
        content = content_of(message, destination, body)
        name = schedule_deduplication_name(message, url=content.url, body=body)
        ignored = ignored_names(headers, target.configuration, schedule=True)
        return ScheduleRequest(
            name=message.schedule_id,
            expression=message.cron or "",
            tz=options.tz,
            content=content,
            deadline_ms=message.timeout_ms or self._limits.default_timeout_ms,
            options=options.options,
            deduplication=DeduplicationKey(name, self._limits.deduplication_ms)
            if name
            else None,
            ignored=Describer(schedule=True).describe(ignored),
        )


def _options(
    message: Message, headers: Iterable[tuple[str, str]], *, to_group: bool
) -> ZonedOptions:
    """Return the options of a schedule.

    A schedule's run to a url group only creates the messages to the group's endpoints.
    Only these messages need gates and journal entries.

    Raises: BadValue.
    """
    zone = message.tz or schedule_options.TIME_ZONE
    defaults = ScheduleOptions(
        delay_ms=message.delay_ms,
        journal=not to_group,
        gates=NO_GATES if to_group else to_gates(message),
    )
    try:
        fields = schedule_options.read_headers(headers)
        zoned = schedule_options.apply_options(fields, ZonedOptions(zone, defaults))
    except BadOption as err:
        name = err.name
        if name in schedule_options.NAMES:
            name = schedule_options.header_name(name)
        raise BadValue(name, err.problem) from err
    if zone != zoned.tz and "TZ=" in (message.cron or ""):
        raise BadValue(ZONE_HEADER, f"is {zone} in Upstash-Cron")
    return zoned


def _not_found(schedule_id: str) -> NotFound:
    return NotFound(f"schedule {schedule_id[:NAME_MAX_LENGTH]} not found")
