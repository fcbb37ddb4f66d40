"""What happened to an event or a schedule, and what must happen for it to go on."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from scheduler_api.commands.attempt_words import attempt_words
from scheduler_api.commands.common import to_seconds
from scheduler_api.commands.event_filters import find
from scheduler_api.commands.reports import remedy
from scheduler_api.core import public_ids
from scheduler_api.core.cron.expression import CronError
from scheduler_api.core.delivery.causes import end_of
from scheduler_api.core.errors import NotFound, UnreadableRecord
from scheduler_api.core.model import (
    Attempt,
    Event,
    Owner,
    Schedule,
    ScheduleState,
    State,
)
from scheduler_api.core.queries import held, sentences
from scheduler_api.core.queries.event_places import read_place
from scheduler_api.core.queries.filters import Phase, phase_of
from scheduler_api.core.queries.held import Waiters
from scheduler_api.core.queries.ids import Found
from scheduler_api.core.schedules import fire_times
from scheduler_api.core.store.gate_names import DESTINATION, readable_gate
from scheduler_api.core.timestamps import duration
from scheduler_api.services import Services
from scheduler_api.web.banners import Banner
from scheduler_api.web.schedule_words import (
    PastRun,
    past_runs,
    public_id,
    state_of,
    words_of,
    zone_of,
)

# How many runs of a schedule are listed.
PAST_RUNS, NEXT_RUNS = 10, 3


@dataclass(frozen=True)
class Step:
    """Something that happened, or is to happen."""

    at_ms: int
    text: str


@dataclass(frozen=True)
class Explanation:
    """What became of an event or a schedule.

    Attributes:
        id: the id that clients use.
        facts: the rest of its description, by name.
        gate: what holds it, in words, or ''.
        steps: its timeline, oldest first.
        next: what must happen for it to go on, with the command to run.
    """

    id: str
    is_schedule: bool
    owner: Owner
    state: str
    url: str
    facts: dict[str, str]
    gate: str
    steps: Sequence[Step]
    next: Sequence[Banner]


class Explainer:
    """Explains events and schedules by any id that a client may have."""

    def __init__(
        self, services: Services, program: str, blockers: Sequence[Banner]
    ) -> None:
        """
        Args:
            program: how the command line was called, for the commands to run.
            blockers: what keeps the whole cell from delivering.
        """
        self._services = services
        self._cell = services.cell
        self._program = program
        self._blockers = blockers

    def explain(self, text: str) -> list[Explanation]:
        """Return what an id stands for.

        An event or schedule whose record cannot be read is explained as such.

        Raises: click.ClickException: it stands for nothing.
        """
        found = find(self._services, text)
        return [each for one in found for each in self._explain(one)]

    def _explain(self, found: Found) -> Iterator[Explanation]:
        services = self._services
        try:
            if found.is_schedule:
                yield self._schedule(services.schedules.get(found.owner, found.id))
            else:
                yield self._event(services.queries.event(found.owner, found.id))
        except UnreadableRecord:
            text = "Its record cannot be read; see why"
            check = Banner(text, f"{self._program} fsck")
            yield Explanation(
                *(found.id, found.is_schedule, found.owner, Phase.QUARANTINED, ""),
                *({}, "", [], [check]),
            )
        except NotFound:
            return

    def _event(self, event: Event) -> Explanation:
        now_ms = self._cell.now_ms()
        attempts = self._services.queries.attempts(event.id)
        gate, url = "", event.content.url
        if event.state is State.ACTIVE:
            gate, _ = self._services.holding.gate_of_event(event.owner, event.id)
        waiters = self._waiters(gate, url)
        steps = [Step(event.created_ms, f"created, due {to_seconds(event.wanted_ms)}")]
        steps += map(_attempt, attempts)
        if event.held is not None:
            text = f"due, and waits since then: {event.held.by} is held"
            steps.append(Step(event.held.since_ms, text))
        if event.finished_ms is not None:
            end = end_of(event.reason or "")
            steps.append(
                Step(event.finished_ms, ": ".join(filter(None, (event.state, end))))
            )
        facts = {"created": to_seconds(event.created_ms)}
        if event.state is State.ACTIVE:
            is_due = event.next_ms <= now_ms
            name = "due since" if is_due else "next attempt"
            facts[name] = to_seconds(event.next_ms)
        return Explanation(
            id=public_ids.event_id(event.owner, event.id),
            is_schedule=False,
            owner=event.owner,
            state=phase_of(event),
            url=url,
            facts=facts,
            gate=_gate(waiters),
            steps=sorted(steps, key=lambda step: step.at_ms),
            next=[*self._event_goes_on(event, waiters, now_ms)],
        )

    def _event_goes_on(
        self, event: Event, waiters: Waiters | None, now_ms: int
    ) -> Iterator[Banner]:
        """Yield what must happen for an event to go on."""
        if event.quarantined_ms is not None:
            yield Banner("It is in the quarantine; see why", f"{self._program} fsck")
        elif event.state is State.DEAD:
            url = event.content.url
            yield Banner(
                "It is not sent again by itself. To send all dead letters of its URL"
                " again",
                f"{self._program} dead-letters retry --tenant {event.owner.tenant}"
                f" --url {shlex.quote(url)}",
            )
        elif event.state is not State.ACTIVE:
            yield Banner("Nothing: it has ended")
        else:
            yield from self._active_goes_on(event, waiters, now_ms)

    def _active_goes_on(
        self, event: Event, waiters: Waiters | None, now_ms: int
    ) -> Iterator[Banner]:
        yield from self._blockers
        if event.next_ms > now_ms:
            number = "next" if event.attempts else "first"
            wait = duration(event.next_ms - now_ms)
            yield Banner(
                f"The {number} attempt is at {to_seconds(event.next_ms)}, in {wait}"
            )
        if waiters is not None:
            yield self._remedy(waiters)
        elif event.next_ms <= now_ms:
            yield self._due(event, duration(now_ms - event.next_ms))

    def _due(self, event: Event, waited: str) -> Banner:
        """Return what an event without a gate waits for since it is due."""
        late, command = f"It has been due for {waited}", f"{self._program} status"
        place = read_place(self._cell, event.id)
        if place.is_sent:
            limit = duration(event.deadline_ms)
            return Banner(
                f"{late}. A worker sends it, and waits up to {limit} for the receiver"
            )
        if self._blockers:
            return Banner(f"{late}; the reason is above")
        if place.is_claimed:
            text = f"{late}. It waits for a worker with room; see whether they work"
            return Banner(text, f"{self._program} doctor")
        return Banner(f"{late}, and no ticker has claimed it; see why", command)

    def _schedule(self, schedule: Schedule) -> Explanation:
        now_ms = self._cell.now_ms()
        state, url = state_of(schedule, now_ms), schedule.content.url
        gate = self._services.holding.gate_of_schedule(schedule)
        waiters = self._waiters(gate, url)
        runs = past_runs(self._cell, schedule, limit=PAST_RUNS)
        steps = [Step(each.run.at_ms, _run(each)) for each in reversed(runs)]
        rule = words_of(schedule) or "a rule that cannot be read"
        return Explanation(
            id=public_id(schedule),
            is_schedule=True,
            owner=schedule.owner,
            state=state,
            url=url,
            facts={
                "rule": f"{rule}, {zone_of(schedule)} ({schedule.expression})",
                "last run": to_seconds(schedule.last_fired_ms)
                if schedule.last_fired_ms
                else "none yet",
                "next runs": _next_runs(schedule, state, now_ms),
                "missed": f"{schedule.missed:,}",
            },
            gate=_gate(waiters),
            steps=steps,
            next=[*self._schedule_goes_on(schedule, state, waiters, now_ms)],
        )

    def _schedule_goes_on(
        self, schedule: Schedule, state: str, waiters: Waiters | None, now_ms: int
    ) -> Iterator[Banner]:
        """Yield what must happen for a schedule to run."""
        if state == ScheduleState.PAUSED:
            name, tenant = shlex.quote(public_id(schedule)), schedule.owner.tenant
            yield Banner(
                "It is paused, so its runs are skipped. Resume it",
                f"{self._program} schedules resume {name} --tenant {tenant}",
            )
        elif state == ScheduleState.ENDED:
            yield Banner("Nothing: it has ended, and does not run again")
        else:
            yield from self._blockers
            if waiters is not None:
                yield self._remedy(waiters)
            elif (next_ms := fire_times.next_ms(schedule, now_ms)) is not None:
                yield Banner(f"The next run is in {duration(max(0, next_ms - now_ms))}")

    def _remedy(self, waiters: Waiters) -> Banner:
        if not (waiters.is_paused or waiters.is_failing):
            others = sentences.count(waiters.events, "event")
            gate = sentences.gate(waiters)
            return Banner(f"It is sent when its turn comes; {others} wait for {gate}")
        text = f"It waits for {sentences.gate(waiters)}. "
        return remedy(waiters, text=text, program=self._program)

    def _waiters(self, gate: str, url: str) -> Waiters | None:
        """Return who waits at a gate; None without a gate."""
        if not gate:
            return None
        found = held.at_gate(self._cell, gate)
        if found.kind == DESTINATION and not found.name:
            return replace(found, name=readable_gate(gate, url) or "")
        return found


def _gate(waiters: Waiters | None) -> str:
    """Return which gate holds an event, and why, in words."""
    if waiters is None:
        return ""
    since = f" since {to_seconds(waiters.since_ms)}" if waiters.since_ms else ""
    return f"{sentences.gate(waiters)}: {sentences.reason(waiters)}{since}"


def _attempt(attempt: Attempt) -> Step:
    text = f"attempt {attempt.number}: {attempt_words(attempt)}"
    return Step(attempt.started_ms, text)


def _run(past: PastRun) -> str:
    """Return what became of a run, in words."""
    run = past.run
    if not past.status:
        return "; ".join(filter(None, (f"did not run: {past.reason}", past.clock)))
    attempts = f"{run.attempts} attempts" if run.attempts > 1 else ""
    waits = f"waits for {run.held.by}" if run.held else ""
    by_hand = "run by hand" if run.by_hand else ""
    words = (past.status, by_hand, attempts, past.reason, waits, past.clock)
    return "; ".join(filter(None, (*words, f"event {past.event}")))


def _next_runs(schedule: Schedule, state: str, now_ms: int) -> str:
    if state == ScheduleState.ENDED:
        return "none"
    try:
        found = fire_times.upcoming_runs(schedule, now_ms, count=NEXT_RUNS).runs
    except CronError:
        return "none"
    times = ", ".join(to_seconds(run.at_ms) for run in found) or "none"
    return f"{times}, if it is resumed" if state == ScheduleState.PAUSED else times
