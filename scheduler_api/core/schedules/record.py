"""The record of a schedule, by the full names of its fields. Pure."""

from scheduler_api.core.cron.clock_changes import ClockChange, Fold, Gap
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import (
    MissedRuns,
    Overlap,
    Owner,
    Schedule,
    ScheduleOptions,
    ScheduleState,
)
from scheduler_api.core.store import codec, gate_names
from scheduler_api.core.store.records import Record


def fields(schedule: Schedule, *, wanted: int) -> list[str | int]:
    """Names and values of what the schedule does; absent options stay absent.

    Args:
        wanted: how many fire times are to be planned ahead.
    """
    options = schedule.options
    said: dict[str, str | int | None] = {
        "expression": schedule.expression,
        "time_zone": schedule.tz,
        "deadline_ms": schedule.deadline_ms,
        "times_ahead": wanted,
        "delay_ms": options.delay_ms or None,
        "journaled": 1 if options.journal else None,
        "start_ms": options.start_ms,
        "end_ms": options.end_ms,
        "runs": options.max_runs,
        "jitter_ms": options.jitter_ms or None,
        "strict": 1 if options.strict else None,
        "search_terms": " ".join(schedule.search_terms) or None,
    }
    if options.missed_runs is not MissedRuns.LATEST:
        said["missed_policy"] = options.missed_runs.value
        said["missed_limit"] = options.max_missed
    if options.overlap is not Overlap.RUN:
        said["overlap"] = options.overlap.value
    if options.clock != ClockChange():
        said["gap"] = options.clock.gap.value
        said["fold"] = options.clock.fold.value
    return [word for name, v in said.items() if v is not None for word in (name, v)]


def gate_fields(destination: str, gates: str) -> list[str]:
    """Names and values of where its occurrences go, and through which gates."""
    said = ["destination", destination] if destination else []
    return [*said, "gates", gates] if gates else said


def read(schedule_id: str, record: Record, stored: bytes | None) -> Schedule:
    """A schedule from its record and its template.

    Raises: UnreadableRecord.
    """
    try:
        times = record["fire_times"].split(b",") if record["fire_times"] else []
        return Schedule(
            id=schedule_id,
            owner=Owner.parse(record["owner"].decode()),
            content=codec.decode_content(stored or b""),
            state=ScheduleState(record["state"].decode()),
            expression=record["expression"].decode(),
            tz=record["time_zone"].decode(),
            revision=record["revision"].decode(),
            deadline_ms=int(record["deadline_ms"]),
            created_ms=int(record["created_ms"]),
            updated_ms=int(record["updated_ms"]),
            last_used_ms=int(record["last_used_ms"]),
            times_ms=tuple(int(time.partition(b":")[0]) for time in times),
            missed=int(record.get("missed", 0)),
            name=record.get("name", b"").decode(),
            last_fired_ms=_maybe(record, "last_fired_ms"),
            options=_options(record),
            search_terms=tuple(record.get("search_terms", b"").decode().split()),
            first_begun_ms=_maybe(record, "first_begun_ms"),
            pauses=int(record.get("pauses", 0)),
            runs_left=_maybe(record, "runs_left"),
        )
    except (KeyError, ValueError) as err:
        raise UnreadableRecord(f"schedule {schedule_id}") from err


def _options(record: Record) -> ScheduleOptions:
    return ScheduleOptions(
        delay_ms=int(record.get("delay_ms", 0)),
        missed_runs=MissedRuns(record.get("missed_policy", b"latest").decode()),
        max_missed=int(record.get("missed_limit", 0)),
        journal="journaled" in record,
        start_ms=_maybe(record, "start_ms"),
        end_ms=_maybe(record, "end_ms"),
        max_runs=_maybe(record, "runs"),
        jitter_ms=int(record.get("jitter_ms", 0)),
        overlap=Overlap(record.get("overlap", b"run").decode()),
        clock=ClockChange(
            gap=Gap(record.get("gap", b"after").decode()),
            fold=Fold(record.get("fold", b"first").decode()),
        ),
        strict="strict" in record,
        gates=gate_names.decode_gates(record.get("gates", b"").decode()),
    )


def _maybe(record: Record, name: str) -> int | None:
    return int(record[name]) if name in record else None
