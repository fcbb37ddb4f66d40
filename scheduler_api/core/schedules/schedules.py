"""Creates, edits, reads, runs and deletes schedules, and plans their fire times.

The store keeps the next fire times of a schedule. A claim creates an occurrence for
each fire time that has come. New fire times are planned when a schedule is created or
edited, and when only few stored fire times are left.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from redis.exceptions import OutOfMemoryError
from scheduler_api.core.batches import batches
from scheduler_api.core.cron.expression import Cron, CronError, Grammar
from scheduler_api.core.deduplication import (
    DeduplicationKey,
    Duplicate,
    Repeated,
    deduplication_options,
)
from scheduler_api.core.errors import (
    Conflict,
    LimitReached,
    NotFinished,
    NotFound,
    RunInProgress,
    ScheduleEnded,
    SchedulerError,
    StoreFull,
    TimePassed,
    UnreadableRecord,
)
from scheduler_api.core.ids import by_hand_id, nonce
from scheduler_api.core.model import (
    Content,
    Owner,
    Schedule,
    ScheduleOptions,
    ScheduleState,
    State,
)
from scheduler_api.core.schedules import fire_times
from scheduler_api.core.schedules.planning import (
    DEFAULT_OPTIONS,
    Ahead,
    encode_times,
    first_after_ms,
    plan,
    plan_ahead,
)
from scheduler_api.core.settings.limits import (
    NO_CAPS,
    NO_LIMITS,
    Caps,
    LimitsByDialect,
    limits_of,
)
from scheduler_api.core.store import audit, codec, gate_names, keys, schedule_records
from scheduler_api.core.store.audit import Change
from scheduler_api.core.store.cell import NO_OPTIONS, Cell
from scheduler_api.core.store.functions import Arg, Options
from scheduler_api.core.store.id_sequence import IdSequence
from scheduler_api.core.store.large_content import discard, write_if_large
from scheduler_api.core.store.reads import (
    execute_reads,
    log_unreadable,
    named_schedule,
    readable,
)
from scheduler_api.core.store.records import EVENT, SCHEDULE, Record
from typing import Any, cast

# How many schedules are read at once. More schedules would take too much memory.
BATCH = 100
# Maps codes of the Lua functions to errors. If `create` gets a code other than these
# and `ok`, it tries again with a new id.
REFUSALS: dict[str, type[SchedulerError]] = {
    "missing": NotFound,
    "named": Conflict,
    "past": TimePassed,
    "ended": ScheduleEnded,
    "overlaps": RunInProgress,
    "full": StoreFull,
    "unfinished": NotFinished,
}
NEWEST = EVENT.codes("owner", "state")
ACTIVE_TO_PAUSED = (ScheduleState.ACTIVE, ScheduleState.PAUSED)
PAUSED_TO_ACTIVE = (ScheduleState.PAUSED, ScheduleState.ACTIVE)


class Schedules:
    """The schedules of one cell.

    `caps` and `owner_limits` apply to the gates of occurrences. A fire time is missed
    if no claim handles it within `grace_ms`.
    """

    def __init__(
        self,
        cell: Cell,
        *,
        grace_ms: int,
        caps: Caps = NO_CAPS,
        owner_limits: LimitsByDialect = NO_LIMITS,
        tenant_options: Callable[[str], Options] = lambda _tenant: NO_OPTIONS,
    ) -> None:
        self._cell = cell
        self._grace_ms = grace_ms
        self._caps = caps
        self._owner_limits = owner_limits
        self._tenant_options = tenant_options
        self._ids = IdSequence(cell)

    def create(
        self,
        owner: Owner,
        content: Content,
        *,
        expression: str,
        tz: str,
        grammar: Grammar,
        deadline_ms: int,
        name: str = "",
        options: ScheduleOptions = DEFAULT_OPTIONS,
        search_terms: Sequence[str] = (),
        deduplication: DeduplicationKey | None = None,
    ) -> Schedule:
        """Create an active schedule; its first fire time is in the future.

        Redis: put_schedule, atomic. If the client repeats the call, the schedule is
        still created only once.

        Raises: CronError, Conflict (the owner has a schedule with that name),
            TimePassed (the end is not in the future), StoreFull, LimitReached,
            Repeated.
        """
        while True:
            schedule = Schedule.new(
                self._ids.next(),
                owner,
                content,
                expression=expression,
                tz=tz,
                deadline_ms=deadline_ms,
                name=name,
                options=options,
                search_terms=search_terms,
            )
            code = self._put(schedule, grammar, deduplication=deduplication)
            if code == "ok":
                return self.get(owner, schedule.id)
            if code in REFUSALS:
                raise REFUSALS[code]

    def edit(
        self,
        schedule: Schedule,
        *,
        grammar: Grammar,
        content: Content | None = None,
        expression: str | None = None,
        tz: str | None = None,
        state: ScheduleState | None = None,
        deadline_ms: int | None = None,
        options: ScheduleOptions | None = None,
        search_terms: Sequence[str] | None = None,
        deduplication: DeduplicationKey | None = None,
        change: Change | None = None,
    ) -> Schedule:
        """Change a schedule; arguments that are None keep the present values.

        Existing occurrences do not change. If the edit changes neither the rule nor the
        state, the schedule keeps its stored fire times, so a fire time that is due now
        is not lost. Otherwise, the new fire times begin now. If the schedule has ended,
        a new end makes the schedule active again, unless `state` is given.

        Redis: put_schedule, atomic.

        Args:
            change: what the audit log records if the state changes.

        Raises: CronError, NotFound, Conflict (the schedule was changed since it was
            read), TimePassed (the new end is not in the future), LimitReached,
            Repeated, StoreFull (only a pause that changes no content is stored then).
        """
        now_ms = self._cell.now_ms()
        end_ms = schedule.options.end_ms
        options = options or schedule.options
        if state is None and schedule.is_over(now_ms) and options.end_ms != end_ms:
            state = ScheduleState.ACTIVE
        changed = replace(
            schedule,
            content=content or schedule.content,
            expression=expression or schedule.expression,
            tz=tz or schedule.tz,
            state=state or schedule.state,
            deadline_ms=deadline_ms or schedule.deadline_ms,
            options=options,
            search_terms=schedule.search_terms
            if search_terms is None
            else tuple(search_terms),
        )
        pauses = changed.content == schedule.content and (
            (schedule.state, changed.state) == ACTIVE_TO_PAUSED
        )
        same_rule = fire_times.rule_of(changed) == fire_times.rule_of(schedule)
        resumed = (schedule.state, changed.state) == PAUSED_TO_ACTIVE
        code = self._put(
            changed,
            grammar,
            deduplication=deduplication,
            change=change,
            pauses=pauses,
            keep_times=same_rule and not schedule.is_over(now_ms),
            skipped=fire_times.skipped_by_pause(schedule, now_ms) if resumed else [],
        )
        if code != "ok":
            raise REFUSALS.get(code, Conflict)
        return self.get(schedule.owner, schedule.id)

    def _put(
        self,
        schedule: Schedule,
        grammar: Grammar,
        *,
        deduplication: DeduplicationKey | None,
        change: Change | None = None,
        pauses: bool = False,
        keep_times: bool = False,
        skipped: Sequence[int] = (),
    ) -> str:
        revision, now_ms = nonce(), self._cell.now_ms()
        after_ms = first_after_ms(schedule.options, now_ms)
        since_ms = schedule.last_used_ms if keep_times else after_ms
        cron = fire_times.cron_of(schedule, grammar)
        times = encode_times(
            _plan(cron, after_ms=after_ms, since_ms=since_ms),
            schedule.options,
            seed=schedule.id,
        )
        options = self._rule_options(schedule) | {
            "revision": revision,
            "keeps_times": keep_times,
            "pauses": pauses,
            "fire_times": ",".join(times),
            "skipped": skipped,
            **deduplication_options(deduplication),
            **audit.options(change),
        }
        if since_ms > now_ms:
            options["last_used_ms"] = since_ms
        key, inline = keys.template(self._cell.prefix, schedule.id, revision), b""
        if not pauses:
            content = codec.encode_content(schedule.content, self._cell.cipher)
            try:
                inline, _ = write_if_large(self._cell.client, key, content)
            except OutOfMemoryError:
                raise StoreFull from None
        fields = self._fields(schedule, times_ahead=len(times))
        reply = self._cell.call("put_schedule", options, [inline, *fields])
        code, _, value = reply
        if code != b"ok":
            discard(self._cell.client, key, inline)
        _refuse(code.decode(), value.decode())
        return str(code.decode())

    def _rule_options(self, schedule: Schedule) -> dict[str, object]:
        """Return those options of put_schedule that the schedule determines."""
        options: dict[str, object] = {
            "id": schedule.id,
            "owner": str(schedule.owner),
            "read_revision": schedule.revision,
            "name": schedule.name,
            "state": schedule.state.value,
            **self._tenant_options(schedule.owner.tenant),
        }
        if schedule.options.end_ms is not None:
            options["end_ms"] = schedule.options.end_ms
        if schedule.options.max_runs is not None:
            options["runs"] = schedule.options.max_runs
        return options

    def _fields(self, schedule: Schedule, *, times_ahead: int) -> list[Arg]:
        """Return names and values of the fields of the record."""
        owner, url = schedule.owner, schedule.content.url
        gates = gate_names.encode_gates(
            *(owner, schedule.options.gates),
            url=url,
            caps=self._caps,
            owner_limits=limits_of(owner.dialect, self._owner_limits),
        )
        fields = schedule_records.fields(schedule, times_ahead=times_ahead)
        return [
            *fields,
            *schedule_records.gate_fields(gate_names.route_digest(url), gates),
        ]

    def run(
        self,
        schedule: Schedule,
        *,
        replay_of: str = "",
        deduplication: DeduplicationKey | None = None,
    ) -> str:
        """Run a schedule by hand: create an occurrence that is due now; return its id.

        The run changes neither the fire times nor the number of runs left. A paused
        schedule can be run, too. Redis: run_schedule, atomic.

        Args:
            replay_of: the id of a finished occurrence whose content is sent again. If
                '', the present content of the schedule is sent.

        Raises: NotFound, NotFinished, ScheduleEnded, RunInProgress, StoreFull,
            LimitReached, Repeated.
        """
        event_id = by_hand_id(schedule.id, self._cell.now_ms())
        options = {
            "id": schedule.id,
            "owner": str(schedule.owner),
            "event_id": event_id,
            "replay_of": replay_of,
            **deduplication_options(deduplication),
            **self._tenant_options(schedule.owner.tenant),
        }
        reply = self._cell.call("run_schedule", options)
        code, _, value = reply.decode().partition(":")
        _refuse(code, value)
        if code != "ok":
            raise REFUSALS[code]
        return event_id

    def id_of(self, owner: Owner, name: str) -> str:
        """Return the id of an owner's schedule, given its name.

        Raises: NotFound.
        """
        found = named_schedule(self._cell, owner, name)
        if found is None:
            raise NotFound
        return found

    def get(self, owner: Owner, schedule_id: str) -> Schedule:
        """Return an owner's schedule, given its id.

        Raises: NotFound, UnreadableRecord.
        """
        found = self._find(schedule_id)
        if found is None or found.owner != owner:
            raise NotFound
        return found

    def _find(self, schedule_id: str) -> Schedule | None:
        for _, read in self._read([schedule_id]):
            return read()
        return None

    def all_of(self, owner: Owner) -> list[Schedule]:
        """All readable schedules of an owner, oldest first."""
        return [schedule for batch in self.batches_of(owner) for schedule in batch]

    def batches_of(self, owner: Owner) -> Iterator[list[Schedule]]:
        """Yield all schedules of an owner in batches, oldest first.

        Each batch is read when it is requested. Unreadable schedules are logged and
        left out.
        """
        key = keys.schedules(self._cell.prefix, str(owner))
        ids = cast(list[bytes], self._cell.client.zrange(key, 0, -1))
        return self.batches(owner, [member.decode() for member in ids])

    def batches(
        self, owner: Owner, schedule_ids: Sequence[str]
    ) -> Iterator[list[Schedule]]:
        """Yield the schedules with the given ids in batches, as `batches_of` does.

        Schedules that do not exist or have another owner are left out.
        """
        for ids in batches(schedule_ids, BATCH):
            reads = self._read(ids)
            found = (self._if_readable(*each) for each in reads)
            yield [each for each in found if each is not None and each.owner == owner]

    def count(self, owner: Owner) -> int:
        """The number of schedules of an owner."""
        key = keys.schedules(self._cell.prefix, str(owner))
        return self._cell.client.zcard(key)

    def _if_readable(
        self, schedule_id: str, read: Callable[[], Schedule]
    ) -> Schedule | None:
        try:
            return read()
        except UnreadableRecord as err:
            log_unreadable(self._cell, f"s:{schedule_id}", err)
            return None

    def _read(
        self, schedule_ids: list[str]
    ) -> Iterator[tuple[str, Callable[[], Schedule]]]:
        """Read schedules; yield id and a function for each schedule that exists.

        The function decodes and returns the schedule. It raises UnreadableRecord if the
        schedule is unreadable, so callers can skip the schedule and go to the next.
        """
        prefix, pipe = self._cell.prefix, self._cell.client.pipeline(False)
        for schedule_id in schedule_ids:
            pipe.hgetall(keys.schedule(prefix, schedule_id))
        found = []
        for schedule_id, stored in zip(schedule_ids, execute_reads(pipe), strict=True):
            if isinstance(stored, UnreadableRecord):
                yield schedule_id, partial(readable, stored)
            elif stored:
                found.append((schedule_id, SCHEDULE.named(stored)))
        for schedule_id, record in found:
            revision = record.get("revision", b"").decode(errors="replace")
            pipe.get(keys.template(prefix, schedule_id, revision))
        for (schedule_id, record), stored in zip(
            found, execute_reads(pipe), strict=True
        ):
            yield schedule_id, partial(_decode, schedule_id, record, stored)

    def delete(self, schedule: Schedule, *, change: Change | None = None) -> None:
        """Delete a schedule.

        Existing occurrences are still sent, unless the schedule is strict.

        Redis: delete_schedule, atomic.

        Args:
            change: what the audit log records.

        Raises: NotFound.
        """
        options = {
            "id": schedule.id,
            "owner": str(schedule.owner),
            "read_revision": schedule.revision,
            **audit.options(change),
        }
        if not self._cell.call("delete_schedule", options):
            raise NotFound

    def newest_states(self, schedules: Sequence[Schedule]) -> dict[str, State]:
        """Return the states of the newest occurrences of schedules, by event id.

        Occurrences that are no longer stored, or unreadable, are left out. Redis: one
        round trip.
        """
        newest = map(newest_occurrence, schedules)
        ids = [event_id for event_id in newest if event_id is not None]
        pipe = self._cell.client.pipeline(transaction=False)
        for event_id in ids:
            pipe.hmget(keys.event(self._cell.prefix, event_id), NEWEST)
        states = {}
        for event_id, values in zip(ids, execute_reads(pipe), strict=True):
            try:
                owner, state = readable(values)
                if owner is not None:
                    states[event_id] = _state(event_id, state)
            except UnreadableRecord as err:
                log_unreadable(self._cell, event_id, err)
        return states

    def next_ms(self, schedule: Schedule, *, now_ms: int | None = None) -> int | None:
        """The next fire time, even if the schedule is paused; None if there is none.

        Args:
            now_ms: the store's time, if the caller has already read it.
        """
        if now_ms is None:
            now_ms = self._cell.now_ms()
        return fire_times.next_ms(schedule, now_ms)

    def top_up(self, schedule_id: str) -> str:
        """Plan further fire times of a schedule that has few left.

        Return `done`; `ended` if the schedule has ended; or `stale` if the schedule was
        edited, paused or deleted in the meantime.

        Redis: reads, then plan_schedule, atomic. The function stores nothing if the
        schedule was edited after the reads.

        Raises: CronError, UnreadableRecord.
        """
        schedule = self._find(schedule_id)
        if schedule is None or schedule.state is not ScheduleState.ACTIVE:
            return "stale"
        planned = plan(
            fire_times.cron_of(schedule),
            last_ms=schedule.last_used_ms,
            now_ms=self._cell.now_ms(),
            grace_ms=self._grace_ms,
            options=schedule.options,
        )
        options = {
            "id": schedule_id,
            "revision": schedule.revision,
            "missed": planned.missed,
            "missed_times": planned.dropped_ms,
        }
        times = encode_times(planned.ahead, schedule.options, seed=schedule_id)
        return str(self._cell.call("plan_schedule", options, times).decode())


def _plan(cron: Cron, *, after_ms: int, since_ms: int) -> Ahead:
    ahead = plan_ahead(cron, after_ms=after_ms, last_ms=since_ms)
    if not ahead.times_ms:
        # A valid rule may still never fire: clock changes may skip all its times.
        raise CronError(
            "the expression never fires: clock changes or 'startDate' exclude all"
            " of its times"
        )
    return ahead


def _refuse(code: str, value: str) -> None:
    """Raise the error of a code that comes with a value.

    Raises: Repeated, LimitReached.
    """
    if code == "duplicate":
        raise Repeated(Duplicate.parse(value.encode()))
    if code == "limit_reached":
        raise LimitReached(value)


def newest_occurrence(schedule: Schedule) -> str | None:
    """Return the id of the occurrence of the newest fire time.

    None if no fire time has created an occurrence. Runs by hand do not count.
    """
    if schedule.last_fired_ms is None:
        return None
    return f"{schedule.id}.{schedule.last_fired_ms // 1000}"


def _decode(schedule_id: str, record: Record, template: Any) -> Schedule:
    return schedule_records.decode(schedule_id, record, readable(template))


def _state(event_id: str, stored: bytes | None) -> State:
    try:
        return State.ACTIVE if stored is None else State(stored.decode())
    except ValueError as err:
        raise UnreadableRecord(f"event {event_id}") from err
