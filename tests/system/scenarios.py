"""What is done to a system under load, and what must hold; sizes are the caller's."""

import os
import time
from contextlib import suppress
from scheduler_api.core.cron import FULL
from scheduler_api.core.model import AttemptKind, Content, State
from signal import SIGKILL
from tests.system.harness import Cell, wait_until
from tests.system.load import Load
from tests.system.plug import Plug
from tests.system.report import Report

SLOW = "delay_ms=200"
REDELIVERY_SLACK_S = 5
OUTAGE_SLACK_S = 5
POISON_AFTER = 5
LEAD_MS = 500


def on_time(cell: Cell, *, events: int, over_s: float) -> Report:
    """Events at random times, nobody is hurt."""
    cell.start("ticker", "worker")
    accepted = cell.create_many(events, over_s=over_s)
    cell.wait_drained(within_s=over_s + 60)
    return Report(cell.tally(accepted))


def kills(
    cell: Cell, *, events: int, over_s: float, workers: int, tickers: int
) -> Report:
    """Worker and ticker are killed again and again, and started again at once."""
    cell.start("ticker", "worker")
    accepted = cell.create_many(events, over_s=over_s, query=SLOW)
    deaths = ["worker"] * workers + ["ticker"] * tickers
    cell.random.shuffle(deaths)
    for number, name in enumerate(deaths, start=1):
        arrivals = events * number // (len(deaths) + 1)
        wait_until(lambda n=arrivals: len(cell.receiver.arrivals) >= n, within_s=120)
        if name == "worker":
            cell.kill_worker()
        else:
            cell[name].kill()
        cell[name].start()
    cell.wait_drained(within_s=600)
    return Report(cell.tally(accepted))


def interruption(cell: Cell, *, events: int) -> Report:
    """A worker is killed while it sends; another one sends it all again, in time."""
    cell.start("ticker", "worker", "worker-2")
    cell["worker-2"].freeze()
    accepted = cell.create_many(events, over_s=0, query="delay_ms=1000")
    wait_until(lambda: len(cell.receiver.arrivals) >= events)
    in_hand = cell.kill_worker()
    killed_ms = time.time() * 1000
    cell["worker-2"].thaw()
    cell.wait_drained()
    times_ms = cell.receiver.times_ms()
    again_s = max((times_ms[e.label][-1] - killed_ms) / 1000 for e in accepted)
    attempts = [cell.attempts(event) for event in accepted]
    report = Report(cell.tally(accepted), {"sent again within": f"{again_s:.1f} s"})
    report.expect(len(in_hand) == events, "all were in flight at the kill")
    report.expect(
        again_s <= cell.settings.lease_ms / 1000 + REDELIVERY_SLACK_S,
        "what was in flight is sent again within lease + 5 s",
    )
    report.expect(
        all(
            [each.kind for each in one]
            == [AttemptKind.INTERRUPTED, AttemptKind.SETTLED]
            for one in attempts
        ),
        "each shows one interrupted attempt, then one that was settled",
    )
    return report


def outage(cell: Cell, *, away_s: float, how: str) -> Report:
    """The store goes away under load and returns with its data; that is all.

    It is `stopped`, `killed`, or `frozen`: connections stay, answers do not come.
    """
    roles = ("web", "ticker", "worker", "clock")
    cell.start(*roles)
    pids = {role: cell[role].pid for role in roles}
    wait_until(cell.is_ready)
    span_s = away_s + 6
    due = cell.create_many(int(50 * span_s), over_s=span_s, query=SLOW)
    # Under way when the store ends: some end while it is away, some after its return.
    under_way = [
        cell.create(
            f"under-way-{number}",
            at_ms=min(event.at_ms for event in due),
            query=f"delay_ms={int(away_s * 1000) + 1500 * (number - 3)}",
            deadline_ms=int(away_s * 1000) + 30_000,
        )
        for number in range(6)
    ]
    with Load(cell, per_s=20, in_ms=3_000, query=SLOW) as load:
        wait_until(lambda: load.accepted)
        wait_until(lambda: all(cell.receiver.count(e.label) for e in under_way))
        leave, return_ = {
            "stopped": (cell.store.terminate, cell.start_store),
            "killed": (cell.store.kill, cell.start_store),
            "frozen": (cell.store.freeze, cell.store.thaw),
        }[how]
        leave()
        stopped_s = time.monotonic()
        unready_s = wait_until(lambda: not cell.is_ready())
        wait_until(lambda: time.monotonic() > stopped_s + away_s, within_s=away_s + 5)
        return_()
        returned_s, arrived = time.monotonic(), len(cell.receiver.arrivals)
        delivering_s = wait_until(lambda: len(cell.receiver.arrivals) > arrived)
        wait_until(cell.is_ready)
        ready_s = time.monotonic() - returned_s
        taken = len(load.accepted)
        wait_until(lambda: len(load.accepted) >= taken + 20)
    cell.wait_drained(within_s=away_s + 120)
    report = Report(
        cell.tally([*due, *under_way, *load.accepted]),
        {
            "unready after": f"{unready_s:.1f} s",
            "delivering again after": f"{delivering_s:.1f} s",
            "ready again after": f"{ready_s:.1f} s",
            "answers 503": len(load.retry_after),
        },
    )
    report.expect(unready_s <= OUTAGE_SLACK_S, "/readyz turns 503 within 5 s")
    report.expect(delivering_s <= OUTAGE_SLACK_S, "deliveries go on within 5 s")
    report.expect(ready_s <= OUTAGE_SLACK_S, "/readyz turns 200 within 5 s")
    report.expect(load.retry_after, "the API answers 503 meanwhile")
    report.expect(all(load.retry_after), "each 503 has a Retry-After")
    report.expect(not load.unexpected, f"nothing else is answered: {load.unexpected}")
    for role, pid in pids.items():
        alive = cell[role].is_running() and cell[role].pid == pid
        report.expect(alive, f"{role} outlives the outage")
    return report


def web_kills(cell: Cell, *, kills: int) -> Report:
    """What answers HTTP dies after what it may just have accepted."""
    cell.start("web", "ticker", "worker")
    with Load(cell, per_s=200, in_ms=3_000) as load:
        for number in range(1, kills + 1):
            wait_until(lambda n=number: len(load.accepted) >= 30 * n)
            for pid in cell["web"].children():
                with suppress(ProcessLookupError):
                    os.kill(pid, SIGKILL)
            wait_until(cell.is_healthy)
    cell.wait_drained()
    figures = {"requests without an answer": load.unanswered}
    report = Report(cell.tally(load.accepted), figures)
    report.expect(not load.unexpected, f"nothing else is answered: {load.unexpected}")
    return report


def drain(cell: Cell, *, events: int, outlasting: int) -> Report:
    """A worker is told to end under load; what it cannot finish goes to another."""
    grace_ms = cell.settings.drain_grace_s * 1000
    cell.start("ticker", "worker")
    waiting = cell.create_many(events, over_s=0, query="delay_ms=1000")
    long = [
        cell.create(
            f"outlasting-{number}",
            at_ms=waiting[0].at_ms - 300,
            query=f"delay_ms={grace_ms + 2_000}",
            deadline_ms=grace_ms + 30_000,
        )
        for number in range(outlasting)
    ]
    full = min(cell.settings.window, events + outlasting)
    wait_until(lambda: len(cell.receiver.arrivals) >= full)
    started_s = time.monotonic()
    exit_code = cell["worker"].terminate(within_s=grace_ms / 1000 + 30)
    took_s = time.monotonic() - started_s
    left = cell.note_in_flight()
    ended = cell.receiver.times_ms().keys() - {event.label for event in long}
    settled = [e for e in waiting if cell.event(e).state is State.DELIVERED]
    cell.start("worker-2")
    cell.wait_drained(within_s=grace_ms / 1000 + 120)
    again = [event for event in long if cell.receiver.count(event.label) == 2]
    report = Report(
        cell.tally([*waiting, *long]),
        {"ended after": f"{took_s:.1f} s", "left to their leases": len(left)},
    )
    report.expect(exit_code == 0, f"the worker ends in peace, not with {exit_code}")
    report.expect(took_s <= grace_ms / 1000 + 3, "it ends within its grace")
    report.expect(
        ended == {event.label for event in settled},
        "what it had sent and could finish is settled",
    )
    report.expect(
        left == {event.id for event in long} and len(again) == len(long),
        "the rest, and only that, comes back by its lease",
    )
    return report


def frozen_ticker(cell: Cell, *, per_s: int, frozen_s: float) -> Report:
    """Three tickers at once; one is frozen, and later goes on with what it held."""
    cell.start("ticker-1", "ticker-2", "ticker-3", "worker")
    over_s = frozen_s + 4
    accepted = cell.create_many(int(per_s * over_s), over_s=over_s)
    wait_until(lambda: len(cell.receiver.arrivals) >= per_s)
    cell["ticker-1"].freeze()
    arrived, end_s = len(cell.receiver.arrivals), time.monotonic() + frozen_s
    wait_until(lambda: time.monotonic() > end_s, within_s=frozen_s + 5)
    meanwhile = len(cell.receiver.arrivals) - arrived
    cell["ticker-1"].thaw()
    cell.wait_drained(within_s=60)
    report = Report(cell.tally(accepted), {"delivered meanwhile": meanwhile})
    report.expect(meanwhile >= per_s * frozen_s / 2, "the others go on")
    return report


def frozen_worker(cell: Cell) -> Report:
    """A worker freezes while it connects, beyond its lease, and then goes on."""
    cell.start("ticker", "worker-a")
    with Plug() as plug:
        event = cell.create(
            "frozen", at_ms=cell.events.now_ms() + 300, url=plug.url, deadline_ms=60_000
        )
        wait_until(cell.begun)
        first = cell.begun()
        cell["worker-a"].freeze()
        cell.start("worker-b")
        taken_s = wait_until(lambda: cell.begun() - first, within_s=60)
        plug.open()
        wait_until(lambda: plug.requests == 1)
        cell["worker-a"].thaw()
        wait_until(lambda: "attempt.dropped" in cell["worker-a"].printed, within_s=60)
        after = cell.create_many(20, over_s=1)
        cell.wait_drained()
        report = Report(cell.tally(after), {"taken over after": f"{taken_s:.1f} s"})
        report.expect(plug.requests == 1, "what was not yet written is never written")
    report.expect(cell.event(event).state is State.DELIVERED, "the other delivers it")
    return report


def poison(cell: Cell, *, neighbours: int) -> Report:
    """An event that kills its process, among others."""
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
    attempts = [cell.attempts(neighbour) for neighbour in accepted]
    interrupted = [sum(a.kind is AttemptKind.INTERRUPTED for a in n) for n in attempts]
    dead = cell.event(event)
    figures = {"a neighbour was interrupted at most": f"{max(interrupted)} times"}
    report = Report(cell.tally(accepted), figures)
    report.expect(
        (dead.state, dead.reason) == (State.DEAD, "poison"),
        f"it ends as a dead letter, not {dead.state} {dead.reason}",
    )
    report.expect(
        all(cell.event(n).state is State.DELIVERED for n in accepted),
        "its neighbours are delivered",
    )
    return report


def per_second(cell: Cell, *, seconds: int) -> Report:
    """A schedule of every second; ticker and worker are killed on the way."""
    cell.start("ticker", "worker")
    schedule = cell.schedules.create(
        cell.owner,
        Content(cell.receiver.url(), b"tick"),
        expression="* * * * * *",
        tz="UTC",
        grammar=FULL,
        deadline_ms=10_000,
    )
    for share, name in ((3, "ticker"), (2, "worker")):
        wait_until(
            lambda n=seconds // share: cell.receiver.count("tick") >= n,
            within_s=seconds + 30,
        )
        cell.kill_worker() if name == "worker" else cell[name].kill()
        cell[name].start()
    wait_until(lambda: cell.receiver.count("tick") >= seconds, within_s=seconds + 60)
    cell.schedules.delete(cell.schedules.get(cell.owner, schedule.id))
    cell.wait_drained()
    arrived = {a.scheduled_ms for a in cell.receiver.arrivals if a.label == "tick"}
    return Report(
        cell.tally_occurrences(range(min(arrived), max(arrived) + 1, 1000), "tick")
    )


def backlog(cell: Cell, *, events: int) -> Report:
    """Much came due while there was no worker."""
    cell.start("ticker")
    accepted = [
        cell.create(f"event-{number}", at_ms=time.time_ns() // 1_000_000 + LEAD_MS)
        for number in range(events)
    ]
    # A fifth of each envelope is for what came due in the last two seconds.
    wait_until(lambda: cell.events.now_ms() > accepted[-1].at_ms + 2_000)
    cell.start("worker")
    idle_mib = cell["worker"].memory_mib()
    started_s = time.monotonic()
    peak_mib = [idle_mib]

    def is_drained() -> bool:
        peak_mib.append(cell["worker"].memory_mib())
        return cell.waiting() == 0

    wait_until(is_drained, within_s=120 + events / 200)
    took_s = time.monotonic() - started_s
    tally = cell.tally(accepted)
    by_time = sorted(accepted, key=lambda event: event.at_ms)
    times_ms = cell.receiver.times_ms()
    by_arrival = sorted(accepted, key=lambda event: times_ms[event.label][0])
    rank = {event.label: number for number, event in enumerate(by_time)}
    moved = max(n - rank[event.label] for n, event in enumerate(by_arrival))
    report = Report(
        tally,
        {
            "drained": f"{events / took_s:.0f}/s",
            "worker's memory": f"{idle_mib:.0f} to {max(peak_mib):.0f} MiB",
            "furthest out of turn": f"{moved} places",
        },
    )
    report.expect(moved < events / 10, "the oldest go first")
    report.expect(max(peak_mib) < idle_mib + 64, "the worker's memory stays flat")
    return report


def travelling_alone(cell: Cell, *, suspects: int, others: int) -> Report:
    """Many events have lost their worker twice; then comes ordinary traffic."""
    cell.start("ticker", "worker")
    suspected = [
        cell.create(
            f"suspect-{number}",
            at_ms=cell.events.now_ms() + LEAD_MS,
            query="delay_ms=1000&first=2",
        )
        for number in range(suspects)
    ]
    for times in (1, 2):
        wait_until(lambda n=times: len(cell.receiver.arrivals) >= n * suspects)
        cell.kill_worker()
        cell.start("worker")
    ordinary = cell.create_many(others, over_s=2)
    cell.wait_drained(within_s=60 + suspects)
    arrivals = list(cell.receiver.arrivals)
    last = max(n for n, a in enumerate(arrivals) if a.label.startswith("event-"))
    left = sum(a.label.startswith("suspect-") for a in arrivals[last:])
    report = Report(cell.tally(ordinary), {"suspects left meanwhile": left})
    report.expect(left > suspects / 4, "ordinary events need not wait for suspects")
    report.expect(report.tally.duplicates == 0, "ordinary events are sent once")
    report.expect(
        all(cell.event(each).state is State.DELIVERED for each in suspected),
        "suspects are delivered, one at a time",
    )
    return report
