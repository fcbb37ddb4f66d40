"""The run history of a schedule: what happened at each of its fire times."""

from collections.abc import Iterator
from dataclasses import dataclass
from scheduler_api.core.cron.clock_changes import CLOCK_CHANGE
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import Held, Schedule, State
from scheduler_api.core.schedules import fire_times
from scheduler_api.core.store import codec, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.reads import execute_reads, log_unreadable, readable
from scheduler_api.core.store.records import EVENT
from typing import cast

PAUSED = "paused"
RUN = (
    *("owner", "state", "attempts", "reason", "replay_of", "revision"),
    *("waits_at", "waits_since_ms", "due_ms"),
)
RUN_CODES = EVENT.codes(*RUN)
# How many occurrences are read at most to count the unfinished ones.
MAX_COUNTED = 1_000


@dataclass(frozen=True)
class Run:
    """An entry of the run history: a fire time, or a run by hand.

    Attributes:
        event_id: the event that was created; None if the fire time was skipped.
        reason: why the fire time was skipped, or why the event was not delivered.
        replay_of: the id of the event whose content a run by hand sends again.
        held: where the event waits for its destination, if it does.
    """

    at_ms: int
    event_id: str | None = None
    state: State | None = None
    attempts: int = 0
    reason: str = ""
    by_hand: bool = False
    replay_of: str | None = None
    held: Held | None = None


def newest(cell: Cell, schedule: Schedule, *, limit: int) -> list[Run]:
    """Return up to `limit` newest runs, newest first.

    The run of an event is listed while the event is stored. Skipped fire times are
    listed for 30 days, at most the newest thousand. If a clock change skips several
    fire times, they are listed as one run, at the time of the change. The runs
    of unreadable events are logged and left out.

    Redis: three reads, and one for each event that waits for its destination; not
    atomic.
    """
    skipped_key = keys.skipped(cell.prefix, schedule.id)
    with cell.client.pipeline(transaction=False) as pipe:
        pipe.zrange(
            keys.occurrences(cell.prefix, schedule.id),
            *(0, limit - 1),
            desc=True,
            withscores=True,
        )
        pipe.zrange(skipped_key, 0, limit - 1, desc=True)
        occurrences, skipped = pipe.execute()
    now_ms = cell.now_ms()
    paused = fire_times.skipped_by_pause(schedule, now_ms)
    clock = fire_times.skipped_by_clock(schedule, now_ms)
    found = [
        *_fired(cell, schedule, cast(list[tuple[bytes, float]], occurrences)),
        *map(_skipped, skipped),
        *(Run(at_ms, reason=PAUSED) for at_ms in paused),
        *(Run(at_ms, reason=CLOCK_CHANGE) for at_ms in clock),
    ]
    return sorted(found, key=lambda run: run.at_ms, reverse=True)[:limit]


def count_unfinished(cell: Cell, schedule_id: str) -> int:
    """Return how many of the newest `MAX_COUNTED` occurrences have not ended.

    Redis: two round trips.
    """
    key = keys.occurrences(cell.prefix, schedule_id)
    newest = cast(list[bytes], cell.client.zrange(key, 0, MAX_COUNTED - 1, desc=True))
    pipe = cell.client.pipeline(transaction=False)
    for event_id in newest:
        pipe.hmget(
            keys.event(cell.prefix, event_id.decode()), EVENT.codes("owner", "state")
        )
    found = [
        values
        for values in execute_reads(pipe)
        if not isinstance(values, UnreadableRecord)
    ]
    return sum(owner is not None and state is None for owner, state in found)


def _fired(
    cell: Cell, schedule: Schedule, occurrences: list[tuple[bytes, float]]
) -> Iterator[Run]:
    pipe = cell.client.pipeline(transaction=False)
    for event_id, _ in occurrences:
        pipe.hmget(keys.event(cell.prefix, event_id.decode()), RUN_CODES)
    for (event_id, wanted_ms), values in zip(
        occurrences, execute_reads(pipe), strict=True
    ):
        fired_s = event_id.decode().partition(".")[2]
        try:
            stored = zip(RUN, readable(values), strict=True)
            record = {name: value for name, value in stored if value is not None}
            if "owner" not in record:
                continue
            yield Run(
                at_ms=int(fired_s) * 1000 if fired_s.isdecimal() else int(wanted_ms),
                event_id=event_id.decode(),
                state=State(record.get("state", b"active").decode()),
                attempts=int(record.get("attempts", 0)),
                reason=record.get("reason", b"").decode(),
                by_hand=not fired_s.isdecimal(),
                replay_of=record.get("replay_of", b"").decode() or None,
                held=_held(cell, schedule, record) if "waits_at" in record else None,
            )
        except (KeyError, ValueError, UnreadableRecord) as err:
            problem = UnreadableRecord(f"event {event_id.decode()}: {err}")
            log_unreadable(cell, event_id.decode(), problem)


def _held(cell: Cell, schedule: Schedule, record: dict[str, bytes]) -> Held | None:
    revision = record.get("revision", b"").decode()
    if revision == schedule.revision:
        return codec.decode_held(record, schedule.content.url)
    key = keys.template(cell.prefix, schedule.id, revision)
    stored = cast(bytes | None, cell.client.get(key))
    content = codec.decode_content(stored or b"")
    return codec.decode_held(record, content.url)


def _skipped(member: bytes) -> Run:
    at_ms, _, reason = member.decode().partition(":")
    return Run(int(at_ms), reason=reason)
