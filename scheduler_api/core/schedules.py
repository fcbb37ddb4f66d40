"""Schedules: their rules, and the planning of their fire times.

The claim script makes occurrences from stored fire times; here they are computed: when
a rule is given or changed, and whenever the list runs low.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice, takewhile
from scheduler_api.core import codec, keys
from scheduler_api.core.cron import Cron, CronError, Every, Grammar, parse, upcoming
from scheduler_api.core.errors import Conflict, NotFound, UnreadableRecord
from scheduler_api.core.ids import nonce
from scheduler_api.core.model import Content, Owner, Schedule, ScheduleState
from scheduler_api.core.store import Store
from typing import cast

COVERED_MS = 600_000
FEWEST, MOST = 5, 600
MOST_COUNTED = 10_000
LOOK_BACK_MS = tuple(s * 1000 for s in (60, 3_600, 86_400, 32 * 86_400, 366 * 86_400))


@dataclass(frozen=True)
class Plan:
    """Fire times to store, and the missed ones that they pass over."""

    times_ms: list[int]
    missed: int = 0
    newest_missed_ms: int = 0


def plan_ahead(cron: Cron, *, after_ms: int, last_ms: int | None = None) -> list[int]:
    """The next fire times: those of ten minutes, at least 5, at most 600.

    Args:
        last_ms: the last fire time, which a distance is counted from; else `after_ms`.
    """
    times: list[int] = []
    since_ms = after_ms if last_ms is None else last_ms
    for at_ms in islice(_fire_times(cron, last_ms=since_ms, after_ms=after_ms), MOST):
        if len(times) >= FEWEST and at_ms > after_ms + COVERED_MS:
            break
        times.append(at_ms)
    return times


def newest_past(cron: Cron, *, last_ms: int, now_ms: int) -> int | None:
    """The newest fire time in (last, now], found without walking all of a long gap."""
    for back_ms in (*LOOK_BACK_MS, now_ms - last_ms):
        after_ms = max(last_ms, now_ms - back_ms)
        past = _until(cron, last_ms=last_ms, after_ms=after_ms, now_ms=now_ms)
        newest = deque(past, maxlen=1)
        if newest:
            return newest[0]
    return None


def _until(cron: Cron, *, last_ms: int, after_ms: int, now_ms: int) -> Iterator[int]:
    times = _fire_times(cron, last_ms=last_ms, after_ms=after_ms)
    return takewhile(lambda at: at <= now_ms, times)


def _fire_times(cron: Cron, *, last_ms: int, after_ms: int) -> Iterator[int]:
    """The fire times after an instant; a distance keeps the rhythm of its last one."""
    if isinstance(cron.rule, Every):
        step_ms = cron.rule.seconds * 1000
        start_ms = -(-last_ms // 1000) * 1000
        after_ms = start_ms + max(0, after_ms - start_ms) // step_ms * step_ms
    return upcoming(cron, after_ms=after_ms)


def plan(cron: Cron, *, last_ms: int, now_ms: int, grace_ms: int) -> Plan:
    """What a schedule that ran dry has ahead of it, and what it has missed.

    Of the fire times older than the grace only the newest is kept, and only if nothing
    younger is past; the claim decides what of that is sent.
    """
    ahead = plan_ahead(cron, after_ms=now_ms, last_ms=last_ms)
    if last_ms >= now_ms:
        return Plan(ahead)
    young_ms = max(last_ms, now_ms - grace_ms - 1)
    past = list(_until(cron, last_ms=last_ms, after_ms=young_ms, now_ms=now_ms))
    older = _until(cron, last_ms=last_ms, after_ms=last_ms, now_ms=young_ms)
    missed = sum(1 for _ in islice(older, MOST_COUNTED))
    if not missed:
        return Plan(past + ahead)
    newest = cast(int, newest_past(cron, last_ms=last_ms, now_ms=young_ms))
    if past:
        return Plan(past + ahead, missed, newest)
    before = newest_past(cron, last_ms=last_ms, now_ms=newest - 1)
    return Plan([newest, *ahead], missed - 1, before or 0)


class Schedules:
    """The schedules of one cell."""

    def __init__(self, store: Store, *, grace_ms: int) -> None:
        self._store = store
        self._grace_ms = grace_ms

    def create(
        self,
        owner: Owner,
        content: Content,
        *,
        expression: str,
        tz: str,
        grammar: Grammar,
        deadline_ms: int,
    ) -> Schedule:
        """Stores an active schedule; its first fire time lies after now.

        Redis: schedule_put.lua, atomic; repeated in silence, it is one schedule.

        Raises: CronError, redis.RedisError.
        """
        cron = parse(expression, tz=tz, grammar=grammar)
        while True:
            schedule = Schedule(
                id=self._store.ids.take(),
                owner=owner,
                content=content,
                state=ScheduleState.ACTIVE,
                expression=expression,
                tz=tz,
                revision="",
                deadline_ms=deadline_ms,
                created_ms=0,
                updated_ms=0,
                last_ms=0,
                times_ms=(),
                missed=0,
            )
            if self._put(schedule, cron) == "ok":
                return self.get(owner, schedule.id)

    def edit(
        self,
        schedule: Schedule,
        *,
        grammar: Grammar,
        content: Content | None = None,
        expression: str | None = None,
        state: ScheduleState | None = None,
    ) -> Schedule:
        """Replaces the rule of a schedule as it was read; fire times start from now.

        Once this returns, no occurrence is made from the old rule; one already made
        goes out as it was. Redis: schedule_put.lua, atomic.

        Raises: CronError, NotFound, Conflict (it was changed since it was read),
            redis.RedisError.
        """
        changed = replace(
            schedule,
            content=content or schedule.content,
            expression=expression or schedule.expression,
            state=state or schedule.state,
        )
        cron = parse(changed.expression, tz=changed.tz, grammar=grammar)
        code = self._put(changed, cron)
        if code == "missing":
            raise NotFound
        if code != "ok":
            raise Conflict
        return self.get(schedule.owner, schedule.id)

    def _put(self, schedule: Schedule, cron: Cron) -> str:
        revision = nonce()
        times = plan_ahead(cron, after_ms=self._store.now_ms())
        if not times:
            # What every clock change of its zone skips is only found by asking.
            raise CronError("it never fires", None)
        inline = self._store.write_beforehand(
            keys.template(self._store.prefix, schedule.id, revision),
            codec.encode_content(schedule.content),
        )
        reply = cast(
            list[bytes],
            self._store.run(
                "schedule_put",
                *(schedule.id, str(schedule.owner), schedule.revision, revision),
                *(schedule.state.value, schedule.expression, schedule.tz),
                *(schedule.deadline_ms, len(times)),
                *(",".join(map(str, times)), inline),
            ),
        )
        return reply[0].decode()

    def get(self, owner: Owner, schedule_id: str) -> Schedule:
        """The schedule of that id, if it is this owner's.

        Raises: NotFound, UnreadableRecord, redis.RedisError.
        """
        found = self._read([schedule_id])
        if not found or found[0].owner != owner:
            raise NotFound
        return found[0]

    def all_of(self, owner: Owner) -> list[Schedule]:
        """All schedules of an owner, oldest first.

        Raises: UnreadableRecord, redis.RedisError.
        """
        key = keys.schedules(self._store.prefix, str(owner))
        ids = cast(list[bytes], self._store.client.zrange(key, 0, -1))
        return self._read([schedule_id.decode() for schedule_id in ids])

    def count(self, owner: Owner) -> int:
        """How many schedules an owner has.

        Raises: redis.RedisError.
        """
        key = keys.schedules(self._store.prefix, str(owner))
        return self._store.client.zcard(key)

    def _read(self, schedule_ids: list[str]) -> list[Schedule]:
        prefix, pipe = self._store.prefix, self._store.client.pipeline(False)
        for schedule_id in schedule_ids:
            pipe.hgetall(keys.schedule(prefix, schedule_id))
        found = [
            (schedule_id, record)
            for schedule_id, record in zip(schedule_ids, pipe.execute(), strict=True)
            if record
        ]
        for schedule_id, record in found:
            revision = record.get(b"rv", b"").decode()
            pipe.get(keys.template(prefix, schedule_id, revision))
        return [
            read_schedule(schedule_id, record, stored)
            for (schedule_id, record), stored in zip(found, pipe.execute(), strict=True)
        ]

    def delete(self, schedule: Schedule) -> None:
        """Removes a schedule; an occurrence that was already made goes out as it was.

        Redis: schedule_delete.lua, atomic.

        Raises: NotFound, redis.RedisError.
        """
        if not self._store.run("schedule_delete", schedule.id, str(schedule.owner)):
            raise NotFound

    def next_ms(self, schedule: Schedule) -> int | None:
        """When it fires next, or would if it were not paused; None if never again.

        Raises: redis.RedisError.
        """
        now_ms = self._store.now_ms()
        for at_ms in schedule.times_ms:
            if at_ms > now_ms:
                return at_ms
        cron = parse(schedule.expression, tz=schedule.tz)
        times = _fire_times(cron, last_ms=schedule.last_ms, after_ms=now_ms)
        return next(times, None)

    def top_up(self, schedule_id: str) -> str:
        """Plans the next fire times of a schedule that runs short of them.

        Answers done, stale (edited, paused or deleted meanwhile) or ended. Redis:
        plan.lua, atomic; the rule is compared by its revision.

        Raises: CronError, UnreadableRecord, redis.RedisError.
        """
        found = self._read([schedule_id])
        if not found or found[0].state is not ScheduleState.ACTIVE:
            return "stale"
        schedule = found[0]
        ahead = plan(
            parse(schedule.expression, tz=schedule.tz),
            last_ms=schedule.last_ms,
            now_ms=self._store.now_ms(),
            grace_ms=self._grace_ms,
        )
        reply = self._store.run(
            "plan",
            *(schedule_id, schedule.revision, ahead.missed, ahead.newest_missed_ms),
            *ahead.times_ms,
        )
        return cast(bytes, reply).decode()


def read_schedule(
    schedule_id: str, record: dict[bytes, bytes], stored: bytes | None
) -> Schedule:
    """A schedule from its record and its template.

    Raises: UnreadableRecord.
    """
    try:
        times = record[b"times"].split(b",") if record[b"times"] else []
        return Schedule(
            id=schedule_id,
            owner=Owner.parse(record[b"o"].decode()),
            content=codec.decode_content(stored or b""),
            state=ScheduleState(record[b"st"].decode()),
            expression=record[b"ex"].decode(),
            tz=record[b"tz"].decode(),
            revision=record[b"rv"].decode(),
            deadline_ms=int(record[b"dl"]),
            created_ms=int(record[b"c"]),
            updated_ms=int(record[b"u"]),
            last_ms=int(record[b"last"]),
            times_ms=tuple(int(at) for at in times),
            missed=int(record.get(b"missed", 0)),
        )
    except (KeyError, ValueError) as err:
        raise UnreadableRecord(f"schedule {schedule_id}") from err
