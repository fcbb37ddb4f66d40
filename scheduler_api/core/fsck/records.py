"""What may stand in a record, and where its subject stands then: pure judgement."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from scheduler_api.core.model import FINAL_STATES, ScheduleState, State

Problem = str
Record = Mapping[str, str]
Places = Mapping[str, float]

FORMAT = "1"
GOOD = -1
ISOLATED_FROM = 2
RESERVES_FROM = 4
EVENT_NUMBERS = ("due_ms", "created_ms", "deadline_ms")
MAYBE_NUMBERS = (
    *("attempts", "failures", "interruptions", "first_due_ms", "renewable_until_ms"),
    *("updated_ms", "finished_ms", "end_ms"),
)
SCHEDULE_NUMBERS = (
    *("created_ms", "updated_ms", "deadline_ms", "times_ahead", "last_used_ms"),
)
MAYBE_SCHEDULE_NUMBERS = (
    *("start_ms", "end_ms", "runs", "runs_left", "pauses", "first_begun_ms"),
    *("last_fired_ms", "jitter_ms"),
)
OF_A_BEGIN = ("token", "interrupted_token", "renewable_until_ms", "interruptions")
STATES = (State.ACTIVE, *FINAL_STATES)


def judge_event(record: Record, places: Places) -> Iterator[Problem]:
    """What is wrong with an event, by its record and all places that it stands in."""
    if "misspelt" in places:
        yield "stands in due or leased as what it is not"
    quarantined = "quarantine" in places
    yield from _where(places, wanted=0 if "state" in record else 1)
    if quarantined:
        # What no function could read is not read here either.
        return
    unreadable = list(_unreadable(record, EVENT_NUMBERS, MAYBE_NUMBERS))
    if unreadable:
        yield from unreadable
        return
    state = record.get("state", State.ACTIVE.value)
    if state not in STATES or record.get("state") == State.ACTIVE:
        yield f"has the state {state!r}"
        return
    yield from _content(
        places, needed="schedule" not in record or "state" not in record
    )
    yield from _indexed(record, places, state)
    if "state" in record:
        yield from _ended(record, places)
    else:
        yield from _under_way(record, places)
        yield from _at_gates(record, places)


def _where(places: Places, *, wanted: int) -> Iterator[Problem]:
    stands = [
        place for place in ("due", "leased", "quarantine", "line") if place in places
    ]
    if len(stands) != wanted:
        yield "stands " + (" and ".join(f"in {place}" for place in stands) or "nowhere")
    if ("quarantine_reasons" in places) != ("quarantine" in places):
        yield "stands in one of quarantine and quarantine_reasons"
    if "paused_schedules" in places:
        yield "stands in paused_schedules"


def _unreadable(
    record: Record, numbers: tuple[str, ...], maybe: tuple[str, ...] = ()
) -> Iterator[Problem]:
    if record.get("format") != FORMAT:
        yield f"has the format {record.get('format')!r}"
    if "owner" not in record:
        yield "has no owner"
    for name in (*numbers, *maybe):
        if name not in record and name in maybe:
            continue
        if not record.get(name, "").removeprefix("-").isdecimal():
            yield f"{name} is not a number: {record.get(name)!r}"


def _content(places: Places, *, needed: bool) -> Iterator[Problem]:
    if "owners" not in places:
        yield "belongs to an owner that owners does not name"
    if "content" not in places:
        if needed:
            yield "what it sends is missing"
    elif places["content"] != GOOD:
        yield "what it sends expires"


def _indexed(record: Record, places: Places, state: str) -> Iterator[Problem]:
    """In the indexes of its state; an occurrence also in its schedule's.

    What else an index names, `fsck` finds from there.
    """
    wanted_ms = int(record.get("first_due_ms", record["due_ms"]))
    indexes: dict[str, int] = {}
    if "state" in record:
        indexes["finished"] = int(record.get("finished_ms", 0))
    if "schedule" in record:
        indexes["occurrences"] = wanted_ms
    if "schedule" not in record or "state" not in record:
        indexes["by_time"] = wanted_ms
    for name in ("occurrences", "by_time", "finished"):
        if indexes.get(name) != places.get(name):
            stands = f"{places[name]:.0f}" if name in places else "absent"
            where = name if name == "occurrences" else f"{name} {state}"
            yield f"is {stands} in {where}, not {indexes.get(name, 'absent')}"


def _ended(record: Record, places: Places) -> Iterator[Problem]:
    if "isolated" in places:
        yield "has ended and is isolated"
    for name in OF_A_BEGIN:
        if name in record:
            yield f"has ended and bears {name}"
    for name in ("turns", "slots"):
        if name in places:
            yield f"has ended and has {name}"
    if "finished_ms" not in record:
        yield "has ended without a time"


def _under_way(record: Record, places: Places) -> Iterator[Problem]:
    if "due" in places and places["due"] != int(record["due_ms"]):
        yield f"is due at {places['due']:.0f}, its record says {record['due_ms']}"
    if "due" in places and "token" in record:
        yield "is due, and in a worker's hand"
    if ("token" in record) != ("renewable_until_ms" in record):
        yield "bears one of token and renewable_until_ms"
    if "token" in record and int(record.get("attempts", 0)) < 1:
        yield "was begun, but never counted"
    interruptions = int(record.get("interruptions", 0))
    if ("isolated" in places) != (interruptions >= ISOLATED_FROM):
        yield f"being isolated does not go with {interruptions} interruptions"
    for name in ("finished_ms", "reason"):
        if name in record:
            yield f"has not ended and bears {name}"


def _at_gates(record: Record, places: Places) -> Iterator[Problem]:
    """Its line is its place; whoever is being sent has its turn and all its slots."""
    gates = record.get("gates", "").split()
    queues = sum(gate.startswith("q:") for gate in gates)
    slots = places.get("slots", 0)
    if ("waits_at" in record) != ("line" in places):
        yield f"names the line {record.get('waits_at')!r}, and does not stand there"
    if "line" in places and "checked" not in places:
        yield "waits at a gate that nobody checks"
    if "line" in places and slots and int(record.get("passed_over", 0)) < RESERVES_FROM:
        yield "holds slots while it waits"
    if "token" in record and slots != len(gates) - queues:
        yield f"is being sent with {slots:.0f} of its slots"
    if places.get("turns", 0) != queues:
        yield "does not stand in the order of its queue"


def judge_schedule(record: Record, places: Places) -> Iterator[Problem]:
    """What is wrong with a schedule, by its record and all places that it stands in."""
    if "quarantine" in places:
        yield from _where(places, wanted=1)
        return
    unreadable = list(_unreadable(record, SCHEDULE_NUMBERS, MAYBE_SCHEDULE_NUMBERS))
    if unreadable:
        yield from unreadable
        return
    yield from _stands(record, places)
    yield from _content(places, needed=True)
    if places.get("schedules") != int(record["created_ms"]):
        yield f"is {places.get('schedules', 'absent')} in schedules"
    if ("name" in record) != ("names" in places):
        yield f"does not own its name {record.get('name')!r}"
    terms = len(record.get("search_terms", "").split())
    if places.get("search_terms", 0) != terms:
        yield f"stands in {places.get('search_terms', 0):.0f} of its {terms} terms"
    times = record.get("fire_times", "")
    listed = _listed(times)
    if listed is None:
        yield f"has unreadable times: {times[:80]!r}"
        return
    wanted_ms = _check_at(record, [at_ms for at_ms, _ in listed])
    if wanted_ms is not None and places.get("due", wanted_ms) != wanted_ms:
        yield f"is due at {places['due']:.0f}, its next time is {wanted_ms}"


def _listed(times: str) -> list[tuple[int, int]] | None:
    """When each is wanted, and its fire time; None if they are not all before the next.

    What is wanted late is still wanted before the next fire time.
    """
    if not times:
        return []
    words = [word.partition(":") for word in times.split(",")]
    try:
        listed = [(int(at), int(nominal or at)) for at, _, nominal in words]
    except ValueError:
        return None
    flat = [ms for at_ms, nominal_ms in listed for ms in (nominal_ms, at_ms)]
    rising = all(
        first <= second and (n % 2 == 0 or first < second)
        for n, (first, second) in enumerate(pairwise(flat))
    )
    return listed if rising else None


def _check_at(record: Record, listed: list[int]) -> int | None:
    """When a schedule must be checked; None if that does not follow from it."""
    if "exhausted_since_ms" in record:
        return None
    checks = listed[:1] if record["state"] == ScheduleState.ACTIVE else []
    checks += [int(record["end_ms"]) + 1] if "end_ms" in record else []
    return min(checks, default=None)


def _stands(record: Record, places: Places) -> Iterator[Problem]:
    state = record.get("state", "")
    wanted = {
        ScheduleState.ACTIVE.value: ["due"],
        ScheduleState.PAUSED.value: [
            "due" if "end_ms" in record else "paused_schedules"
        ],
        ScheduleState.ENDED.value: [],
    }
    stands = [
        place
        for place in ("due", "leased", "paused_schedules", "quarantine_reasons")
        if place in places
    ]
    if state not in wanted:
        yield f"has the state {state!r}"
    elif stands != wanted[state]:
        where = " and ".join(f"in {place}" for place in stands) or "nowhere"
        yield f"is {state} and stands {where}"
