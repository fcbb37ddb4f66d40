"""The record of a schedule: its fields (`keys.schedule` lists them). Pure."""

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

Record = dict[bytes, bytes]


def fields(schedule: Schedule, *, wanted: int) -> list[str | int]:
    """Fields and values that say what the schedule does; absent options stay absent.

    Args:
        wanted: how many fire times are to be planned ahead.
    """
    said: list[str | int] = ["ex", schedule.expression, "tz", schedule.tz]
    said += ["dl", schedule.deadline_ms, "k", wanted]
    options = schedule.options
    if options.delay_ms:
        said += ["dy", options.delay_ms]
    if options.missed_runs is not MissedRuns.LATEST:
        said += ["mp", options.missed_runs.value, "mb", options.most_missed]
    if options.journal:
        said += ["j", "1"]
    if options.start_ms is not None:
        said += ["start", options.start_ms]
    if options.end_ms is not None:
        said += ["end", options.end_ms]
    if options.most_runs is not None:
        said += ["max", options.most_runs]
    if options.jitter_ms:
        said += ["jt", options.jitter_ms]
    if options.overlap is not Overlap.RUN:
        said += ["ov", options.overlap.value]
    if options.clock != ClockChange():
        said += ["gap", options.clock.gap.value, "fold", options.clock.fold.value]
    if options.strict:
        said += ["sr", "1"]
    if schedule.terms:
        said += ["ix", " ".join(schedule.terms)]
    return said


def gate_fields(destination: str, gates: str) -> list[str]:
    """Where its occurrences go, and through which gates, as scripts take them."""
    said = ["d", destination] if destination else []
    return [*said, "g", gates] if gates else said


def read(schedule_id: str, record: Record, stored: bytes | None) -> Schedule:
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
            times_ms=tuple(int(time.partition(b":")[0]) for time in times),
            missed=int(record.get(b"missed", 0)),
            name=record.get(b"nm", b"").decode(),
            fired_ms=_maybe(record, b"lf"),
            options=_options(record),
            terms=tuple(record.get(b"ix", b"").decode().split()),
            called_ms=_maybe(record, b"cd"),
            pauses=int(record.get(b"pn", 0)),
            runs_left=_maybe(record, b"left"),
        )
    except (KeyError, ValueError) as err:
        raise UnreadableRecord(f"schedule {schedule_id}") from err


def _options(record: Record) -> ScheduleOptions:
    return ScheduleOptions(
        delay_ms=int(record.get(b"dy", 0)),
        missed_runs=MissedRuns(record.get(b"mp", b"latest").decode()),
        most_missed=int(record.get(b"mb", 0)),
        journal=b"j" in record,
        start_ms=_maybe(record, b"start"),
        end_ms=_maybe(record, b"end"),
        most_runs=_maybe(record, b"max"),
        jitter_ms=int(record.get(b"jt", 0)),
        overlap=Overlap(record.get(b"ov", b"run").decode()),
        clock=ClockChange(
            gap=Gap(record.get(b"gap", b"after").decode()),
            fold=Fold(record.get(b"fold", b"first").decode()),
        ),
        strict=b"sr" in record,
        gates=gate_names.read(record.get(b"g", b"").decode()),
    )


def _maybe(record: Record, name: bytes) -> int | None:
    return int(record[name]) if name in record else None
