"""What `status` reports: what is wrong with a cell, and what to run."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from redis.exceptions import RedisError
from scheduler_api.commands.common import to_seconds
from scheduler_api.commands.environment import PROGRAM
from scheduler_api.core.delivery.causes import sentence_of
from scheduler_api.core.queries import failing, held, lateness, sentences, store_state
from scheduler_api.core.queries.failing import Destination
from scheduler_api.core.queries.held import Held, Waiters
from scheduler_api.core.queries.lateness import Lateness
from scheduler_api.core.queries.recent_hours import RecentHours, last_hour
from scheduler_api.core.queries.sentences import BAD, Sentence
from scheduler_api.core.queries.store_state import StoreState
from scheduler_api.core.store import fitness
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.connection import connect
from scheduler_api.core.store.epoch import EpochWatch
from scheduler_api.core.store.epoch_memory import StoreMemory
from scheduler_api.core.store.gate_names import DESTINATION, FLOW
from scheduler_api.core.store.processes import RUN
from scheduler_api.core.timestamps import duration
from scheduler_api.dialects import outbound
from scheduler_api.settings import Settings
from scheduler_api.web.banners import Banner, banners, sentence
from scheduler_api.web.readiness import STORE_AWAY, Answer, Readiness

TIMEOUT_S = 2.0
# What a hosted store does not tell, no command mends. The eviction policy is among the
# faults that `/readyz` finds.
LEFT_OUT = tuple(text.partition("{}")[0] for text in (fitness.UNKNOWN, fitness.EVICTS))
APPENDONLY = "`appendonly yes`"
APPEND = 'redis-cli -u "$REDIS_URL" config set appendonly yes'


@dataclass(frozen=True)
class Details:
    """What the store says of its events and of itself.

    Attributes:
        oldest_due_ms: when the oldest event was due that could begin now, if it is
            late; else None.
        sentences: those of the overview: late, failing, held.
    """

    at_ms: int
    oldest_due_ms: int | None
    lateness: Lateness
    failing: Sequence[Destination]
    held: Held
    sentences: Sequence[Sentence]
    store: StoreState


@dataclass(frozen=True)
class Report:
    """The state of a cell.

    Attributes:
        problems: what needs attention, with the command to run.
        details: None if the store cannot be read.
    """

    problems: Sequence[Banner]
    answer: Answer
    details: Details | None


class Reporter:
    """Reports on a cell. Only reads."""

    def __init__(self, settings: Settings, program: str) -> None:
        """
        Args:
            program: how the command line was called, for the commands to run.
        """
        client = connect(settings.store_url, timeout_s=TIMEOUT_S)
        self._cell = Cell(client, settings.prefix)
        self._settings = settings
        self._program = program
        self._hours = RecentHours(self._cell)
        memory = StoreMemory(self._cell, settings.state_dir)
        self._watch = EpochWatch(self._cell, memory)
        self._readiness = Readiness(
            self._cell,
            high_water_percent=settings.store_high_water_percent,
            stops_on_clock_step=settings.stop_on_clock_step,
            tenants=outbound.tenants(self._cell, settings),
            sign=None,
            watch=self._watch,
            sends_alerts=bool(settings.alert_url),
        )

    def report(self) -> Report:
        """Return the state of the cell now. Redis: about ten round trips."""
        try:
            if not self._watch.expected:
                self._watch.load()
            answer = self._readiness.check()
            details = self._details(answer)
            unfit = self._unfit()
        except RedisError:
            answer, details, unfit = self._readiness.check(), None, ()
            if not answer.missing:
                answer = Answer([STORE_AWAY])
        found = [*map(self._called, (*banners(answer), *unfit))]
        if details is not None:
            found += _late(answer, details)
            found += self._held(details.held.fullest)
            found += self._failing(details.failing)
        return Report(found, answer, details)

    def faults(self) -> Report:
        """Return what is wrong with the store and the processes, without `details`.

        Redis: about five round trips.
        """
        self._watch.load()
        answer = self._readiness.check()
        found = [*banners(answer), *self._unfit()]
        return Report([*map(self._called, found)], answer, None)

    def blockers(self) -> list[Banner]:
        """Return what keeps the whole cell from delivering. Redis: four round trips."""
        self._watch.load()
        return [*map(self._called, banners(self._readiness.check()))]

    def _called(self, banner: Banner) -> Banner:
        """Return a banner whose command has the same settings as this one."""
        program, space, arguments = banner.command.partition(" ")
        if program != PROGRAM:
            return banner
        return replace(banner, command=f"{self._program}{space}{arguments}")

    def _details(self, answer: Answer) -> Details:
        now_ms = self._cell.now_ms()
        age_ms = answer.oldest_due_ms or 0
        oldest_ms = now_ms - age_ms if age_ms > sentences.LATE_MS else None
        hours = self._hours.read(None, now_ms=now_ms)
        late = lateness.lateness(hours, now_ms=now_ms)
        failed = failing.failing(self._cell, None, now_ms=now_ms)
        waiting = held.held(self._cell, None, [])
        return Details(
            at_ms=now_ms,
            oldest_due_ms=oldest_ms,
            lateness=late,
            failing=failed,
            held=waiting,
            sentences=(
                sentences.late(late, oldest_ms, waiting=waiting, now_ms=now_ms),
                sentences.failing(
                    failed, **last_hour(hours, now_ms=now_ms), now_ms=now_ms
                ),
                sentences.held(waiting),
            ),
            store=store_state.read(self._cell),
        )

    def _unfit(self) -> Sequence[Banner]:
        """Return why the store may lose what it is given."""
        return [
            Banner(sentence(each), APPEND * (APPENDONLY in each))
            for each in fitness.faults(self._cell.client, self._settings)
            if not each.startswith(LEFT_OUT)
        ]

    def _failing(self, failing: Sequence[Destination]) -> Iterator[Banner]:
        """Yield one problem for all destinations, which the screen lists."""
        if not failing:
            return
        name, counts = failing[0].name, failing[0].counts
        who = f"{name} is failing"
        if len(failing) > 1:
            who = f"{len(failing):,} destinations are failing, most of all {name}"
        text = (
            f"{who}: {sentence_of(counts.cause)}, last at"
            f" {to_seconds(counts.failed_ms)}. Events are retried by themselves;"
            " correct the receiver, and see whether a breaker holds it"
        )
        yield Banner(text, f"{self._program} destination list")

    def _held(self, waiting: Sequence[Waiters]) -> Iterator[Banner]:
        """Yield the gates that hold events until something changes."""
        for each in waiting:
            if not (each.is_paused or each.is_failing):
                continue
            number = sentences.count(each.events, "event")
            since = f" since {to_seconds(each.since_ms)}" if each.since_ms else ""
            verb = "is" if each.events == 1 else "are"
            text = f"{number} {verb} held by {sentences.gate(each)}:"
            text += f" {sentences.reason(each)}{since}. "
            yield remedy(each, text=text, program=self._program)


def remedy(waiters: Waiters, *, text: str, program: str) -> Banner:
    """Return what lets the events at a gate go on.

    Args:
        text: what to say before.
    """
    kind = waiters.kind
    if kind == DESTINATION and waiters.is_paused:
        name = f"{waiters.tenant} {shlex.quote(waiters.name)}"
        command = f"{program} destination resume {name}"
        return Banner(f"{text}An operator paused it; resume it", command)
    if kind == DESTINATION:
        command = f"{program} destination list"
        why = "A breaker holds it until the receiver answers a probe; see when"
        return Banner(f"{text}{why}", command)
    group = "flow" if kind == FLOW else "queue"
    name = f"{shlex.quote(waiters.name)} --tenant {waiters.tenant}"
    return Banner(f"{text}Resume it", f"{program} {group} resume {name}")


def _late(answer: Answer, details: Details) -> Iterator[Banner]:
    """Yield whether events wait for a process."""
    first, oldest_ms = details.sentences[0], details.oldest_due_ms
    if first.kind != BAD or oldest_ms is None:
        return
    waited = duration(details.at_ms - oldest_ms)
    text = f"Events are late: one has been due for {waited}, since"
    text += f" {to_seconds(oldest_ms)}"
    if answer.missing:
        yield Banner(f"{text}; the reason is above")
    else:
        more = "The workers have no room for more; start another one"
        yield Banner(f"{text}. {more}", RUN["worker"])
