"""What may stand in a record, and where its subject stands then: pure judgement."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from scheduler_api.core.model import FINAL_STATES, ScheduleState, State

Problem = str
Record = Mapping[str, str]
Places = Mapping[str, float]

FORMAT = "1"
GOOD = -1
ALONE_FROM = 2
RESERVES_FROM = 4
EVENT_NUMBERS = ("at", "c", "dl")
MAYBE_NUMBERS = ("n", "fl", "in", "w", "un", "u", "fin", "end")
SCHEDULE_NUMBERS = ("c", "u", "dl", "k", "last")
MAYBE_SCHEDULE_NUMBERS = ("start", "end", "max", "left", "pn", "cd", "lf", "jt")
OF_A_BEGIN = ("tok", "ptok", "un", "in")
STATES = (State.ACTIVE, *FINAL_STATES)


def judge_event(record: Record, places: Places) -> Iterator[Problem]:
    """What is wrong with an event, by its record and all places that it stands in."""
    if "misspelt" in places:
        yield "stands in due or leased as what it is not"
    aside = "stuck" in places
    yield from _where(places, wanted=0 if "st" in record else 1)
    if aside:
        # What no script could read is not read here either.
        return
    unreadable = list(_unreadable(record, EVENT_NUMBERS, MAYBE_NUMBERS))
    if unreadable:
        yield from unreadable
        return
    state = record.get("st", State.ACTIVE.value)
    if state not in STATES or record.get("st") == State.ACTIVE:
        yield f"has the state {state!r}"
        return
    yield from _content(places, needed="s" not in record or "st" not in record)
    yield from _indexed(record, places, state)
    if "st" in record:
        yield from _ended(record, places)
    else:
        yield from _under_way(record, places)
        yield from _at_gates(record, places)


def _where(places: Places, *, wanted: int) -> Iterator[Problem]:
    stands = [place for place in ("due", "leased", "stuck", "line") if place in places]
    if len(stands) != wanted:
        yield "stands " + (" and ".join(f"in {place}" for place in stands) or "nowhere")
    if ("why" in places) != ("stuck" in places):
        yield "stands in one of stuck and why"
    if "parked" in places:
        yield "stands in parked"


def _unreadable(
    record: Record, numbers: tuple[str, ...], maybe: tuple[str, ...] = ()
) -> Iterator[Problem]:
    if record.get("f") != FORMAT:
        yield f"has the format {record.get('f')!r}"
    if "o" not in record:
        yield "has no owner"
    for name in (*numbers, *maybe):
        if name not in record and name in maybe:
            continue
        if not record.get(name, "").removeprefix("-").isdecimal():
            yield f"{name} is no number: {record.get(name)!r}"


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
    wanted_ms = int(record.get("w", record["at"]))
    indexes: dict[str, int] = {}
    if "st" in record:
        indexes["fin"] = int(record.get("fin", 0))
    if "s" in record:
        indexes["occ"] = wanted_ms
    if "s" not in record or "st" not in record:
        indexes["ix"] = wanted_ms
    for name in ("occ", "ix", "fin"):
        if indexes.get(name) != places.get(name):
            stands = f"{places[name]:.0f}" if name in places else "absent"
            where = name if name == "occ" else f"{name} {state}"
            yield f"is {stands} in {where}, not {indexes.get(name, 'absent')}"


def _ended(record: Record, places: Places) -> Iterator[Problem]:
    if "solo" in places:
        yield "has ended and stands in solo"
    for name in OF_A_BEGIN:
        if name in record:
            yield f"has ended and bears {name}"
    for name in ("turns", "slots"):
        if name in places:
            yield f"has ended and has {name}"
    if "fin" not in record:
        yield "has ended without a time"


def _under_way(record: Record, places: Places) -> Iterator[Problem]:
    if "due" in places and places["due"] != int(record["at"]):
        yield f"is due at {places['due']:.0f}, its record says {record['at']}"
    if "due" in places and "tok" in record:
        yield "is due, and in a worker's hand"
    if ("tok" in record) != ("un" in record):
        yield "bears one of tok and un"
    if "tok" in record and int(record.get("n", 0)) < 1:
        yield "was begun, but never counted"
    if ("solo" in places) != (int(record.get("in", 0)) >= ALONE_FROM):
        yield f"solo does not go with {record.get('in', 0)} interruptions"
    for name in ("fin", "y"):
        if name in record:
            yield f"has not ended and bears {name}"


def _at_gates(record: Record, places: Places) -> Iterator[Problem]:
    """Its line is its place; whoever is being sent has its turn and all its slots."""
    gates = record.get("g", "").split()
    queues = sum(gate.startswith("q:") for gate in gates)
    slots = places.get("slots", 0)
    if ("l" in record) != ("line" in places):
        yield f"names the line {record.get('l')!r}, and does not stand there"
    if "line" in places and "looked" not in places:
        yield "waits at a gate that nobody looks at"
    if "line" in places and slots and int(record.get("ps", 0)) < RESERVES_FROM:
        yield "holds slots while it waits"
    if "tok" in record and slots != len(gates) - queues:
        yield f"is being sent with {slots:.0f} of its slots"
    if places.get("turns", 0) != queues:
        yield "does not stand in the order of its queue"


def judge_schedule(record: Record, places: Places) -> Iterator[Problem]:
    """What is wrong with a schedule, by its record and all places that it stands in."""
    if "stuck" in places:
        yield from _where(places, wanted=1)
        return
    unreadable = list(_unreadable(record, SCHEDULE_NUMBERS, MAYBE_SCHEDULE_NUMBERS))
    if unreadable:
        yield from unreadable
        return
    yield from _stands(record, places)
    yield from _content(places, needed=True)
    if places.get("schedules") != int(record["c"]):
        yield f"is {places.get('schedules', 'absent')} in schedules"
    if ("nm" in record) != ("names" in places):
        yield f"does not own its name {record.get('nm')!r}"
    terms = len(record.get("ix", "").split())
    if places.get("terms", 0) != terms:
        yield f"stands in {places.get('terms', 0):.0f} of its {terms} terms"
    times = record.get("times", "")
    listed = _listed(times)
    if listed is None:
        yield f"has unreadable times: {times[:80]!r}"
        return
    wanted_ms = _look(record, [at_ms for at_ms, _ in listed])
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


def _look(record: Record, listed: list[int]) -> int | None:
    """When a schedule must be looked at; None if that does not follow from it."""
    if "dry" in record:
        return None
    looks = listed[:1] if record["st"] == ScheduleState.ACTIVE else []
    looks += [int(record["end"]) + 1] if "end" in record else []
    return min(looks, default=None)


def _stands(record: Record, places: Places) -> Iterator[Problem]:
    state = record.get("st", "")
    wanted = {
        ScheduleState.ACTIVE.value: ["due"],
        ScheduleState.PAUSED.value: ["due" if "end" in record else "parked"],
        ScheduleState.ENDED.value: [],
    }
    stands = [place for place in ("due", "leased", "parked", "why") if place in places]
    if state not in wanted:
        yield f"has the state {state!r}"
    elif stands != wanted[state]:
        where = " and ".join(f"in {place}" for place in stands) or "nowhere"
        yield f"is {state} and stands {where}"
