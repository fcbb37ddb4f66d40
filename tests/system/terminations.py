"""Scenarios: processes are killed or stopped under load."""

import os
import time
from contextlib import suppress
from scheduler_api.core.model import AttemptKind, State
from signal import SIGKILL
from tests.system.cell import Cell
from tests.system.load import Load
from tests.system.processes import wait_until
from tests.system.report import Report
from tests.system.supervised import Supervised

SLOW = "delay_ms=200"
REDELIVERY_SLACK_S = 5
# An event becomes a dead letter if its worker dies during this many attempts.
POISON_AFTER = 5
LEAD_MS = 500
# Parts of the command lines of the processes that `scripts/up` restarts.
SUPERVISED = (
    "valkey-server",
    "gunicorn",
    "workers.ticker",
    "workers.clock",
    "housekeeping",
    "watchdog.py",
    "workers.DeliveryWorker",
)


def worker_and_ticker_kills(
    cell: Cell, *, events: int, over_s: float, workers: int, tickers: int
) -> Report:
    """The worker and the ticker are killed repeatedly, and restarted at once."""
    cell.start("ticker", "worker")
    accepted = cell.create_many(events, over_s=over_s, query=SLOW)
    # Some events fail at first, so that kills also interrupt retries.
    accepted += [
        cell.create(
            f"retried-{number}",
            at_ms=event.at_ms,
            query="status=500&first=1",
            sends=2,
        )
        for number, event in enumerate(accepted[:: events // 20])
    ]
    victims = ["worker"] * workers + ["ticker"] * tickers
    cell.random.shuffle(victims)
    for number, name in enumerate(victims, start=1):
        arrivals = events * number // (len(victims) + 1)
        wait_until(lambda n=arrivals: len(cell.receiver.arrivals) >= n, within_s=120)
        if name == "worker":
            cell.kill_worker()
        else:
            cell[name].kill()
        cell[name].start()
    cell.wait_drained(within_s=600)
    return Report(cell.tally(accepted), kills=len(victims))


def interruption(cell: Cell, *, events: int) -> Report:
    """A worker is killed during requests; another worker soon repeats the requests."""
    cell.start("ticker", "worker", "worker-2")
    cell["worker-2"].freeze()
    cell.warm_up()
    accepted = cell.create_many(events, over_s=0, query="delay_ms=1000")
    wait_until(lambda: len(cell.receiver.arrivals) >= events)
    interrupted = cell.kill_worker()
    killed_ms = time.time() * 1000
    cell["worker-2"].thaw()
    cell.wait_drained()
    times_ms = cell.receiver.times_ms()
    repeated_s = max((times_ms[e.label][-1] - killed_ms) / 1000 for e in accepted)
    kinds = [[attempt.kind for attempt in cell.attempts(event)] for event in accepted]
    report = Report(cell.tally(accepted), recovery_s=repeated_s, kills=1)
    report.expect(len(interrupted) == events, "all were in flight at the kill")
    report.expect(
        repeated_s <= cell.settings.lease_ms / 1000 + REDELIVERY_SLACK_S,
        "attempts in flight are repeated within lease + 5 s",
    )
    report.expect(
        all(k == [AttemptKind.INTERRUPTED, AttemptKind.SETTLED] for k in kinds),
        "each event has an interrupted attempt, then a settled one",
    )
    return report


def web_kills(cell: Cell, *, kills: int) -> Report:
    """Web processes are killed; no accepted event is lost."""
    cell.start("web", "ticker", "worker")
    killed = 0
    with Load(cell, per_s=200, in_ms=3_000) as load:
        for number in range(1, kills + 1):
            wait_until(lambda n=number: len(load.accepted) >= 30 * n)
            for pid in cell["web"].children():
                with suppress(ProcessLookupError):
                    os.kill(pid, SIGKILL)
                    killed += 1
            wait_until(cell.is_healthy)
    cell.wait_drained()
    figures = {"requests without a response": load.unanswered}
    report = Report(cell.tally(load.accepted), figures, kills=killed)
    report.expect(
        not load.unexpected,
        "the web process gives no other responses",
        found=load.unexpected,
    )
    return report


def drain(cell: Cell, *, events: int, outlasting: int) -> Report:
    """A worker is stopped under load; another worker repeats unfinished requests."""
    grace_ms = cell.settings.drain_grace_s * 1000
    cell.start("ticker", "worker")
    cell.warm_up()
    at_ms = cell.earliest_start_ms(events)
    short = [
        cell.create(
            f"event-{number}",
            at_ms=at_ms,
            query=f"delay_ms={cell.random.randrange(500, 2500)}",
        )
        for number in range(events)
    ]
    long = [
        cell.create(
            f"long-{number}",
            at_ms=at_ms - 300,
            query=f"delay_ms={grace_ms + 2_000}",
            deadline_ms=grace_ms + 30_000,
        )
        for number in range(outlasting)
    ]
    # The worker begins fewer slow requests to one destination than it has room for.
    begun = outlasting + cell.settings.max_in_flight // 2
    wait_until(lambda: len(cell.receiver.arrivals) >= begun)
    started_s, sent = time.monotonic(), len(cell.receiver.arrivals)
    exit_code = cell["worker"].terminate(within_s=grace_ms / 1000 + 30)
    took_s = time.monotonic() - started_s
    more = len(cell.receiver.arrivals) - sent
    unfinished = cell.record_in_flight()
    sent_short = cell.receiver.times_ms().keys() - {event.label for event in long}
    settled = [e for e in short if cell.event(e).state is State.DELIVERED]
    cell.start("worker-2")
    cell.wait_drained(within_s=grace_ms / 1000 + 120)
    repeated = [event for event in long if cell.receiver.count(event.label) == 2]
    report = Report(
        cell.tally([*short, *long]),
        {
            "stopped after": f"{took_s:.1f} s",
            "begun meanwhile": more,
            "unfinished": len(unfinished),
        },
    )
    report.expect(
        more <= cell.settings.max_in_flight / 2, "the worker begins nothing more"
    )
    report.expect(exit_code == 0, "the worker exits with 0", found=exit_code)
    report.expect(took_s <= grace_ms / 1000 + 3, "the worker exits within its grace")
    report.expect(
        sent_short == {event.label for event in settled},
        "requests that ended within the grace are settled",
    )
    report.expect(
        unfinished == {event.id for event in long} and len(repeated) == len(long),
        "the others, and only they, are repeated after their lease",
    )
    return report


def rolling_restart(cell: Cell) -> Report:
    """Each process is replaced by a new process under load."""
    cell.start("web", "ticker", "worker", "clock")
    codes = {}
    with Load(cell, per_s=50, in_ms=3_000, query=SLOW) as load:
        for role in ("worker", "ticker", "clock", "web"):
            before = len(load.accepted)
            wait_until(lambda n=before: len(load.accepted) >= n + 20)
            if role == "web":
                # Stop the old process first: the new process needs its port.
                codes[role] = cell[role].terminate()
                cell.start("web")
            else:
                cell.start(f"{role}-2")
                codes[role] = cell[role].terminate()
    cell.wait_drained()
    figures = {"requests without a response": load.unanswered}
    report = Report(cell.tally(load.accepted), figures)
    report.expect(not any(codes.values()), "each process exits with 0", found=codes)
    report.expect(
        not load.unexpected,
        "the web process gives no other responses",
        found=load.unexpected,
    )
    report.expect(not load.retry_after, "no request is refused")
    return report


def poison_event(cell: Cell, *, neighbours: int) -> Report:
    """An event that kills its worker becomes a dead letter; other events arrive."""
    cell.start("ticker", "worker")
    accepted = cell.create_many(neighbours, over_s=0.2, query="delay_ms=300")
    event = cell.create(
        "poison", at_ms=accepted[0].at_ms, query="hang=1", deadline_ms=60_000
    )
    for number in range(1, POISON_AFTER + 1):
        wait_until(lambda n=number: cell.receiver.count("poison") == n, within_s=60)
        cell.kill_worker()
        cell["worker"].start()
    cell.wait_drained(within_s=120)
    interruptions = [
        sum(a.kind is AttemptKind.INTERRUPTED for a in cell.attempts(neighbour))
        for neighbour in accepted
    ]
    dead = cell.event(event)
    figures = {"most interruptions of a neighbour": max(interruptions)}
    report = Report(cell.tally(accepted), figures, kills=POISON_AFTER)
    report.expect(
        (dead.state, dead.reason) == (State.DEAD, "poison"),
        "the event becomes a dead letter",
        found=f"{dead.state} {dead.reason}",
    )
    return report


def isolated_events(cell: Cell, *, suspects: int, others: int) -> Report:
    """Many events whose worker died twice do not delay ordinary events."""
    cell.start("ticker", "worker")
    suspected = [
        cell.create(
            f"suspect-{number}",
            at_ms=cell.events.cell.now_ms() + LEAD_MS,
            query="delay_ms=20000&first=2",
            deadline_ms=60_000,
        )
        for number in range(suspects)
    ]
    for times in (1, 2):
        wait_until(lambda n=times: len(cell.receiver.arrivals) >= n * suspects)
        cell.kill_worker()
        cell.start("worker")
    ordinary = cell.create_many(others, over_s=2)
    cell.wait_drained(within_s=60 + suspects)
    tally = cell.tally([*suspected, *ordinary])
    times_ms = cell.receiver.times_ms()
    passed = [
        sum(
            event.at_ms < at_ms < times_ms[event.label][0]
            for suspect in suspected
            for at_ms in times_ms[suspect.label]
        )
        for event in ordinary
    ]
    figures = {"suspects sent before an ordinary one": max(passed)}
    report = Report(tally, figures, kills=2)
    report.expect(max(passed) <= 10, "ordinary events do not wait for suspects")
    return report


def supervised_kills(system: Supervised, *, kills: int) -> Report:
    """The processes that `scripts/up` supervises are killed one after the other."""
    observer = system.observer
    with Load(observer, per_s=50, in_ms=3_000, query=SLOW) as load:
        for number in range(1, kills + 1):
            wait_until(lambda n=number: len(load.accepted) >= 15 * n, within_s=60)
            wait_until(observer.is_ready, within_s=60)
            role = SUPERVISED[number % len(SUPERVISED)]
            os.kill(
                min(p for p, line in system.pids().items() if role in line), SIGKILL
            )
            if role == "workers.DeliveryWorker":
                observer.record_in_flight()
        wait_until(observer.is_ready, within_s=60)
    observer.wait_drained(within_s=120)
    return Report(
        observer.tally(load.accepted),
        {
            "responses 503": len(load.retry_after),
            "requests without a response": load.unanswered,
        },
        kills=kills,
    )
