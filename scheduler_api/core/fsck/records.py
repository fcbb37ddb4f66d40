"""Checks that events and schedules are in the sets that fit their records.

The functions receive the records and sets as arguments; they do not read the store.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from scheduler_api.core.model import FINAL_STATES, ScheduleState, State

Problem = str
Record = Mapping[str, str]
# The places that refer to an event or schedule, with their values. The Lua function
# `inspect_records` returns and documents them.
Places = Mapping[str, float]

FORMAT = "1"
PERMANENT = -1
ISOLATED_FROM = 2
RESERVES_FROM = 4
EVENT_NUMBERS = ("due_ms", "created_ms", "deadline_ms")
OPTIONAL_EVENT_NUMBERS = (
    *("attempts", "failures", "interruptions", "first_due_ms", "renewable_until_ms"),
    *("updated_ms", "finished_ms", "end_ms"),
)
SCHEDULE_NUMBERS = (
    *("created_ms", "updated_ms", "deadline_ms", "times_ahead", "last_used_ms"),
)
OPTIONAL_SCHEDULE_NUMBERS = (
    *("start_ms", "end_ms", "runs", "runs_left", "pauses", "first_begun_ms"),
    *("last_fired_ms", "jitter_ms"),
)
ATTEMPT_FIELDS = ("token", "interrupted_token", "renewable_until_ms", "interruptions")
STATES = (State.ACTIVE, *FINAL_STATES)


def check_event(record: Record, places: Places) -> Iterator[Problem]:
    """Check the record of an event and the sets that contain the event."""
    if "misspelt" in places:
        yield "has a wrong member in due or leased"
    quarantined = "quarantine" in places
    yield from _check_place(places, expected=0 if "state" in record else 1)
    if quarantined:
        # The record of a quarantined event is unreadable: skip the other checks.
        return
    unreadable = list(_unreadable_fields(record, EVENT_NUMBERS, OPTIONAL_EVENT_NUMBERS))
    if unreadable:
        yield from unreadable
        return
    state = record.get("state", State.ACTIVE.value)
    if state not in STATES or record.get("state") == State.ACTIVE:
        yield f"has the state {state!r}"
        return
    yield from _check_content(
        places, required="schedule" not in record or "state" not in record
    )
    yield from _check_indexes(record, places, state)
    if "state" in record:
        yield from _check_ended(record, places)
    else:
        yield from _check_unfinished(record, places)
        yield from _check_gates(record, places)


def _check_place(places: Places, *, expected: int) -> Iterator[Problem]:
    found = [
        place for place in ("due", "leased", "quarantine", "line") if place in places
    ]
    if len(found) != expected:
        yield "is " + (" and ".join(f"in {place}" for place in found) or "nowhere")
    if ("quarantine_reasons" in places) != ("quarantine" in places):
        yield "is in only one of quarantine and quarantine_reasons"
    if "paused_schedules" in places:
        yield "is in paused_schedules"


def _unreadable_fields(
    record: Record, numbers: tuple[str, ...], optional: tuple[str, ...] = ()
) -> Iterator[Problem]:
    if record.get("format") != FORMAT:
        yield f"has the format {record.get('format')!r}"
    if "owner" not in record:
        yield "has no owner"
    for name in (*numbers, *optional):
        if name not in record and name in optional:
            continue
        if not record.get(name, "").removeprefix("-").isdecimal():
            yield f"{name} is not a number: {record.get(name)!r}"


def _check_content(places: Places, *, required: bool) -> Iterator[Problem]:
    if "owners" not in places:
        yield "its owner is missing in owners"
    if "content" not in places:
        if required:
            yield "its content is missing"
    elif places["content"] != PERMANENT:
        yield "its content expires"


def _check_indexes(record: Record, places: Places, state: str) -> Iterator[Problem]:
    """Check that the event is in all its indexes, with the right scores.

    The module `walk` checks that an index contains no other events.
    """
    first_due_ms = int(record.get("first_due_ms", record["due_ms"]))
    expected: dict[str, int] = {}
    if "state" in record:
        expected["finished"] = int(record.get("finished_ms", 0))
    if "schedule" in record:
        expected["occurrences"] = first_due_ms
    if "schedule" not in record or "state" not in record:
        expected["by_time"] = first_due_ms
    for name in ("occurrences", "by_time", "finished"):
        if expected.get(name) != places.get(name):
            index = name if name == "occurrences" else f"{name} {state}"
            yield _wrong_score(index, places.get(name), expected.get(name))


def _wrong_score(place: str, found: float | None, expected: int | None) -> Problem:
    score = "absent" if found is None else f"{found:.0f}"
    return (
        f"its score in {place} is {score},"
        f" expected {'absent' if expected is None else expected}"
    )


def _check_ended(record: Record, places: Places) -> Iterator[Problem]:
    if "isolated" in places:
        yield "has ended, but is isolated"
    for name in ATTEMPT_FIELDS:
        if name in record:
            yield f"has ended, but has {name}"
    for name in ("turns", "slots"):
        if name in places:
            yield f"has ended, but has {name}"
    if "finished_ms" not in record:
        yield "has ended, but has no finished_ms"


def _check_unfinished(record: Record, places: Places) -> Iterator[Problem]:
    due_ms = int(record["due_ms"])
    if "due" in places and places["due"] != due_ms:
        yield _wrong_score("due", places["due"], due_ms)
    if "due" in places and "token" in record:
        yield "is in due, but an attempt is running"
    if ("token" in record) != ("renewable_until_ms" in record):
        yield "has only one of token and renewable_until_ms"
    if "token" in record and int(record.get("attempts", 0)) < 1:
        yield "an attempt is running, but none is counted"
    interruptions = int(record.get("interruptions", 0))
    if ("isolated" in places) != (interruptions >= ISOLATED_FROM):
        isolated = "isolated" if "isolated" in places else "not isolated"
        yield f"is {isolated} after {interruptions} interruptions"
    for name in ("finished_ms", "reason"):
        if name in record:
            yield f"has not ended, but has {name}"


def _check_gates(record: Record, places: Places) -> Iterator[Problem]:
    gates = record.get("gates", "").split()
    queues = sum(gate.startswith("q:") for gate in gates)
    slots = places.get("slots", 0)
    if ("waits_at" in record) != ("line" in places):
        yield f"waits_at is {record.get('waits_at')!r}, but it does not wait there"
    if "line" in places and "checked" not in places:
        yield "waits at a gate without a planned check"
    if "line" in places and slots and int(record.get("passed_over", 0)) < RESERVES_FROM:
        yield "holds slots while it waits"
    if "token" in record and slots != len(gates) - queues:
        yield f"holds {slots:.0f} of {len(gates) - queues} slots during its attempt"
    if places.get("turns", 0) != queues:
        yield "is missing in its queue"


def check_schedule(record: Record, places: Places) -> Iterator[Problem]:
    """Check the record of a schedule and the sets that contain the schedule."""
    if "quarantine" in places:
        yield from _check_place(places, expected=1)
        return
    unreadable = list(
        _unreadable_fields(record, SCHEDULE_NUMBERS, OPTIONAL_SCHEDULE_NUMBERS)
    )
    if unreadable:
        yield from unreadable
        return
    yield from _check_schedule_place(record, places)
    yield from _check_content(places, required=True)
    created_ms = int(record["created_ms"])
    if places.get("schedules") != created_ms:
        yield _wrong_score("schedules", places.get("schedules"), created_ms)
    if ("name" in record) != ("names" in places):
        yield f"names does not map its name {record.get('name')!r} to it"
    terms = len(record.get("search_terms", "").split())
    if places.get("search_terms", 0) != terms:
        indexed = f"{places.get('search_terms', 0):.0f}"
        yield f"is indexed under {indexed} of its {terms} search terms"
    text = record.get("fire_times", "")
    fire_times = _parse_fire_times(text)
    if fire_times is None:
        yield f"has unreadable fire times: {text[:80]!r}"
        return
    expected_ms = _expected_score(record, [due_ms for due_ms, _ in fire_times])
    if expected_ms is not None and places.get("due", expected_ms) != expected_ms:
        yield _wrong_score("due", places["due"], expected_ms)


def _parse_fire_times(text: str) -> list[tuple[int, int]] | None:
    """Return pairs of a due time and a fire time, or None if the text is invalid.

    The pairs must ascend. With jitter, a due time may be later than its fire time, but
    it must be earlier than the next fire time.
    """
    if not text:
        return []
    pairs = [word.partition(":") for word in text.split(",")]
    try:
        fire_times = [(int(due), int(fire or due)) for due, _, fire in pairs]
    except ValueError:
        return None
    flat = [ms for due_ms, fire_ms in fire_times for ms in (fire_ms, due_ms)]
    ascending = all(
        first <= second and (n % 2 == 0 or first < second)
        for n, (first, second) in enumerate(pairwise(flat))
    )
    return fire_times if ascending else None


def _expected_score(record: Record, due_times: list[int]) -> int | None:
    """Return the score that the schedule must have in `due`.

    None if the record does not determine the score.
    """
    if "exhausted_since_ms" in record:
        return None
    checks = due_times[:1] if record["state"] == ScheduleState.ACTIVE else []
    checks += [int(record["end_ms"]) + 1] if "end_ms" in record else []
    return min(checks, default=None)


def _check_schedule_place(record: Record, places: Places) -> Iterator[Problem]:
    state = record.get("state", "")
    expected = {
        ScheduleState.ACTIVE.value: ["due"],
        ScheduleState.PAUSED.value: [
            "due" if "end_ms" in record else "paused_schedules"
        ],
        ScheduleState.ENDED.value: [],
    }
    found = [
        place
        for place in ("due", "leased", "paused_schedules", "quarantine_reasons")
        if place in places
    ]
    if state not in expected:
        yield f"has the state {state!r}"
    elif found != expected[state]:
        where = " and ".join(f"in {place}" for place in found) or "nowhere"
        yield f"is {state}, but is {where}"
