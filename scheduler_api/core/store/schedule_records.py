"""Converts schedules to records with full field names, and back. Pure."""

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


def fields(schedule: Schedule, *, times_ahead: int) -> list[str | int]:
    """Return the rule and the options as alternating field names and values.

    Options with default values are left out.

    Args:
        times_ahead: how many fire times to plan ahead.
    """
    options = schedule.options
    values: dict[str, str | int | None] = {
        "expression": schedule.expression,
        "time_zone": schedule.tz,
        "deadline_ms": schedule.deadline_ms,
        "times_ahead": times_ahead,
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
        values["missed_policy"] = options.missed_runs.value
        values["missed_limit"] = options.max_missed
    if options.overlap is not Overlap.RUN:
        values["overlap"] = options.overlap.value
    if options.clock != ClockChange():
        values["gap"] = options.clock.gap.value
        values["fold"] = options.clock.fold.value
    return [word for name, v in values.items() if v is not None for word in (name, v)]


def gate_fields(destination: str, gates: str) -> list[str]:
    """Return the destination and gates of occurrences as field names and values.

    Empty values are left out.
    """
    words = ["destination", destination] if destination else []
    return [*words, "gates", gates] if gates else words


def decode(schedule_id: str, record: Record, template: bytes | None) -> Schedule:
    """Decode a schedule from its record and its stored content.

    Raises: UnreadableRecord.
    """
    try:
        times = record["fire_times"].split(b",") if record["fire_times"] else []
        return Schedule(
            id=schedule_id,
            owner=Owner.parse(record["owner"].decode()),
            content=codec.decode_content(template or b""),
            state=ScheduleState(record["state"].decode()),
            expression=record["expression"].decode(),
            tz=record["time_zone"].decode(),
            revision=record["revision"].decode(),
            deadline_ms=codec.stored_integer(record["deadline_ms"]),
            created_ms=codec.stored_integer(record["created_ms"]),
            updated_ms=codec.stored_integer(record["updated_ms"]),
            last_used_ms=codec.stored_integer(record["last_used_ms"]),
            times_ms=tuple(
                codec.stored_integer(time.partition(b":")[0]) for time in times
            ),
            missed=codec.stored_integer(record.get("missed", 0)),
            name=record.get("name", b"").decode(),
            last_fired_ms=_optional_int(record, "last_fired_ms"),
            options=_options(record),
            search_terms=tuple(record.get("search_terms", b"").decode().split()),
            first_begun_ms=_optional_int(record, "first_begun_ms"),
            pauses=codec.stored_integer(record.get("pauses", 0)),
            runs_left=_optional_int(record, "runs_left"),
        )
    except (KeyError, ValueError) as err:
        raise UnreadableRecord(f"schedule {schedule_id}") from err


def _options(record: Record) -> ScheduleOptions:
    return ScheduleOptions(
        delay_ms=codec.stored_integer(record.get("delay_ms", 0)),
        missed_runs=MissedRuns(record.get("missed_policy", b"latest").decode()),
        max_missed=codec.stored_integer(record.get("missed_limit", 0)),
        journal="journaled" in record,
        start_ms=_optional_int(record, "start_ms"),
        end_ms=_optional_int(record, "end_ms"),
        max_runs=_optional_int(record, "runs"),
        jitter_ms=codec.stored_integer(record.get("jitter_ms", 0)),
        overlap=Overlap(record.get("overlap", b"run").decode()),
        clock=ClockChange(
            gap=Gap(record.get("gap", b"after").decode()),
            fold=Fold(record.get("fold", b"first").decode()),
        ),
        strict="strict" in record,
        gates=gate_names.decode_gates(record.get("gates", b"").decode()),
    )


def _optional_int(record: Record, name: str) -> int | None:
    return codec.stored_integer(record[name]) if name in record else None
