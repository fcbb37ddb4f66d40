"""Decides what is wrong with a cell, and what is no longer. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from scheduler_api.core.flow_control.held_destinations import FailingDestination
from scheduler_api.core.store.alerts import Change, LastMessage, Notice
from scheduler_api.core.store.memory import RAISE_LIMIT, has_no_room
from scheduler_api.core.store.processes import RUN, Process
from scheduler_api.core.timestamps import duration, to_iso
from typing import Any

# A process that has not reported for this long is gone. Processes report every two
# seconds.
SILENT_MS = 7_000
# After this time, the number of processes that run counts as intended.
INTENDED_AFTER_MS = 3_600_000

STORE, LATE = "store", "late"
DESTINATION, PROCESS, ROLE = "destination:", "process:", "role:"
STATUS, DESTINATIONS = "scheduler status", "scheduler destination list"
START = RUN | {
    "web": "gunicorn -c python:scheduler_api.gunicorn_conf"
    " 'scheduler_api.app:create_app()'"
}
# What stands still if no process of a role runs.
EFFECTS = {
    "web": "nothing new is accepted",
    "ticker": "nothing is delivered",
    "worker": "nothing is delivered",
    "clock": "old events are not deleted",
    "chores": "old events are not deleted",
}


@dataclass(frozen=True)
class Seen:
    """The state of a cell at a time.

    Attributes:
        last: the last message about each subject.
        processes: also those that ended within the last minute; None: too early to
            judge them.
        memory: the section `memory` of INFO.
        due_ms: when the oldest event is due; None if there is none.
        failing: destinations whose breakers are not closed.
        knows_all_failing: whether there are no more of them.
    """

    now_ms: int
    last: Mapping[str, LastMessage]
    processes: Sequence[Process] | None
    memory: Mapping[str, Any]
    due_ms: int | None
    failing: Sequence[FailingDestination]
    knows_all_failing: bool


@dataclass(frozen=True)
class Limits:
    """From when on something is wrong; see the settings of the same names."""

    high_water_percent: int
    oldest_due_ms: int


def changes(seen: Seen, limits: Limits) -> Iterator[Change]:
    """Yield what has changed since operators were told, the most urgent first."""
    yield from _processes(seen)
    yield from _store(seen, limits)
    yield from _late(seen, limits)
    yield from _destinations(seen)


def _processes(seen: Seen) -> Iterator[Change]:
    for role in START if seen.processes is not None else ():
        mine = [each for each in seen.processes or () if each.role == role]
        yield from _role(role, mine, seen)
        yield from _some(role, mine, seen)


def _role(role: str, mine: Sequence[Process], seen: Seen) -> Iterator[Change]:
    """Yield whether all processes of a role are gone, or at least one is back."""
    subject = ROLE + role
    recent = [each for each in mine if not _is_silent(each, seen.now_ms)]
    running = sum(not each.has_ended for each in recent)
    before = _wrong(seen, subject)
    if before is None and not recent:
        since_ms = max((each.seen_ms for each in mine), default=seen.now_ms)
        text = f"No {role} process runs, so {EFFECTS[role]}."
        notice = Notice("role.gone", role, since_ms, text, START[role])
        yield Change(subject, is_wrong=True, notice=notice)
    elif before and running:
        yield _recovered(
            subject, before, "role.back", f"{_number(running, role)} again."
        )


def _some(role: str, mine: Sequence[Process], seen: Seen) -> Iterator[Change]:
    """Yield whether some processes of a role are gone, or as many run as before."""
    subject = PROCESS + role
    gone = [each for each in mine if each.has_ended or _is_silent(each, seen.now_ms)]
    running = [each for each in mine if each not in gone]
    before, number = _wrong(seen, subject), _number(len(running), role)
    if before is None:
        lost = _not_replaced(gone, mine)
        if running and lost:
            since_ms, expected = max(lost), len(running) + len(lost)
            text = f"{number}, of {expected} before: the others have not reported since"
            text += f" {to_iso(since_ms)}."
            command = START[role]
            notice = Notice("process.gone", role, since_ms, text, command, expected)
            yield Change(subject, is_wrong=True, notice=notice)
    elif len(running) >= before.expected:
        yield _recovered(subject, before, "process.back", f"{number} again.")
    elif running and seen.now_ms - before.since_ms > INTENDED_AFTER_MS:
        text = f"{number} since {to_iso(before.since_ms)}; this now counts as intended."
        yield _recovered(subject, before, "process.back", text)


def _is_silent(process: Process, now_ms: int) -> bool:
    return now_ms - process.seen_ms > SILENT_MS


def _not_replaced(gone: Sequence[Process], mine: Sequence[Process]) -> list[int]:
    """Return when those processes last reported that died and were not replaced.

    Each process that started later replaces one of them; those that were asked to end
    come first.
    """
    started_ms, lost = sorted(each.since_ms for each in mine), []
    for each in sorted(gone, key=lambda p: (not p.has_ended, p.seen_ms)):
        later_ms = next((ms for ms in started_ms if ms > each.seen_ms), None)
        if later_ms is not None:
            started_ms.remove(later_ms)
        elif not each.has_ended:
            lost.append(each.seen_ms)
    return lost


def _number(running: int, role: str) -> str:
    return f"{running} {role} process{'es run' if running > 1 else ' runs'}"


def _store(seen: Seen, limits: Limits) -> Iterator[Change]:
    percent = limits.high_water_percent
    is_full = has_no_room(seen.memory, high_water_percent=percent)
    before = _wrong(seen, STORE)
    if is_full and before is None:
        text = f"The store uses {percent} % of its memory limit or more, so new events"
        text += " are refused."
        notice = Notice("store.full", STORE, seen.now_ms, text, RAISE_LIMIT)
        yield Change(STORE, is_wrong=True, notice=notice)
    elif before and not is_full:
        text = f"The store uses less than {percent} % of its memory limit again, and"
        text += " takes new events."
        yield _recovered(STORE, before, "store.has_room", text)


def _late(seen: Seen, limits: Limits) -> Iterator[Change]:
    bound = duration(limits.oldest_due_ms)
    due_ms = seen.now_ms if seen.due_ms is None else seen.due_ms
    is_late = seen.now_ms - due_ms > limits.oldest_due_ms
    before = _wrong(seen, LATE)
    if is_late and before is None:
        text = f"Events are late: the oldest has been due for more than {bound}."
        notice = Notice("events.late", "oldest due event", due_ms, text, STATUS)
        yield Change(LATE, is_wrong=True, notice=notice)
    elif before and not is_late:
        text = f"No event has been due for more than {bound} any more."
        yield _recovered(LATE, before, "events.in_time", text)


def _destinations(seen: Seen) -> Iterator[Change]:
    failing = {DESTINATION + each.url: each for each in seen.failing}
    for subject, each in sorted(failing.items(), key=lambda item: item[1].since_ms):
        if _wrong(seen, subject) is None:
            text = f"{each.url} is failing: {each.cause or 'nearly all attempts fail'}."
            text += " Most of its events wait until it works again."
            notice = Notice(
                "destination.failing", each.url, each.since_ms, text, DESTINATIONS
            )
            yield Change(subject, is_wrong=True, notice=notice)
    for subject in seen.last if seen.knows_all_failing else ():
        before = _wrong(seen, subject)
        if before and subject.startswith(DESTINATION) and subject not in failing:
            text = f"{before.what} no longer makes its events wait, as it did from"
            text += f" {to_iso(before.since_ms)} on."
            yield _recovered(subject, before, "destination.recovered", text)


def _wrong(seen: Seen, subject: str) -> Notice | None:
    """Return what operators were told to be wrong with a subject; None if nothing."""
    last = seen.last.get(subject)
    return last.notice if last and last.is_wrong else None


def _recovered(subject: str, before: Notice, kind: str, text: str) -> Change:
    notice = replace(before, type=kind, text=text, command="")
    return Change(subject, is_wrong=False, notice=notice)
