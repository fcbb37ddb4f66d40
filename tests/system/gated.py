"""Scenarios: queues, flow control, and destinations that are ill."""

import json
import time
from bisect import bisect_left
from itertools import pairwise
from scheduler_api.core import fsck, keys
from scheduler_api.core.destinations import parse
from scheduler_api.core.gates import GateKeeper
from scheduler_api.core.held_destinations import held_destinations
from scheduler_api.core.model import Content, Draft, FlowLimits, Gates, Owner
from scheduler_api.core.timing import to_iso
from tests.system.arrivals import Receiver
from tests.system.cell import Cell
from tests.system.observer import DEADLINE_MS, Accepted
from tests.system.processes import wait_until
from tests.system.report import Report
from typing import cast

# As a QStash message says it: 50 retries, one each second.
RETRIES = {"r": 50, "rd": "1000"}
SLACK_MS = 100
WORKERS = ("worker-1", "worker-2", "worker-3")


def accept(
    cell: Cell, labels: list[str], queries: list[str], gates: Gates
) -> list[Accepted]:
    """Messages for now, accepted in one call and in this order."""
    at = to_iso(cell.events.now_ms())
    drafts = [
        Draft(
            Content(
                cell.receiver.url(query),
                json.dumps({"payload": label, "scheduledTime": at}).encode(),
                RETRIES,
            ),
            DEADLINE_MS,
            # No number at its end: the receiver takes that for a fire time.
            id=f"{label.replace('-', '')}x",
            gates=gates,
            journal=True,
        )
        for label, query in zip(labels, queries, strict=True)
    ]
    cell.owner = Owner(cell.owner.tenant, "qstash")
    answers = cell.events.create_many(cell.owner, drafts, at_once=100)
    return [
        Accepted(answer.id, label, answer.wanted_ms)
        for answer, label in zip(answers, labels, strict=True)
    ]


def ordered(cell: Cell, *, events: int, kills: int, every_s: float) -> Report:
    """A queue of parallelism one, three workers, of which one dies again and again."""
    cell.start("ticker", *WORKERS)
    delays_ms = [cell.random.randrange(5, 50) for _ in range(events)]
    labels = [f"event-{n}" for n in range(events)]
    queries = [f"delay_ms={ms}" for ms in delays_ms]
    accepted = accept(cell, labels, queries, Gates(queue="orders"))
    for number in range(kills):
        until_s = time.monotonic() + every_s
        wait_until(lambda end_s=until_s: time.monotonic() > end_s, within_s=60)
        name = WORKERS[number % len(WORKERS)]
        cell.kill_worker(name)
        cell.start(name)
    cell.wait_drained(within_s=300)
    report = Report(cell.tally(accepted))
    times_ms = cell.receiver.times_ms()
    first_ms = [times_ms[label][0] for label in labels]
    overlaps = sum(
        after < before + delay_ms
        for (before, after), delay_ms in zip(
            pairwise(first_ms), delays_ms[:-1], strict=True
        )
    )
    report.expect(first_ms == sorted(first_ms), "the order of acceptance is kept")
    report.expect(overlaps == 0, f"never two at once, but {overlaps} times")
    return report


def paused(cell: Cell, *, events: int) -> Report:
    """A destination is paused with some in flight, and resumed once all others wait."""
    cell.start("ticker", "worker")
    gates, tenant = GateKeeper(cell.events), cell.owner.tenant
    place, other = parse(cell.receiver.url("")), Receiver()
    at_ms = cell.events.now_ms()
    running = [
        cell.create(f"run-{n}", at_ms=at_ms + 200, query="delay_ms=500")
        for n in range(5)
    ]
    wait_until(lambda: len(cell.receiver.times_ms()) == len(running), within_s=20)
    gates.turn_destination(tenant, place, paused=True)
    at_ms = cell.events.now_ms()
    waiting = [cell.create(f"wait-{n}", at_ms=at_ms + 200 + n) for n in range(events)]
    cell.create("free", at_ms=at_ms + 200, url=other.url(""))

    def waits() -> int:
        return sum(each.waiting for each in held_destinations(cell.events))

    wait_until(lambda: waits() == events, within_s=20)
    wait_until(other.times_ms, within_s=20)
    other.clear_away()
    arrived = set(cell.receiver.times_ms())
    faults = fsck.check(cell.client, cell.prefix)
    gates.turn_destination(tenant, place, paused=False)
    cell.wait_drained(within_s=30)
    report = Report(cell.tally([*running, *waiting]), {"waited": events})
    report.expect(arrived == {each.label for each in running}, "what waits is not sent")
    report.expect(faults == [], f"records and sets agree, but {faults}")
    gone = not held_destinations(cell.events)
    report.expect(gone, "a destination that nobody waits for is told no more")
    return report


def limited(cell: Cell, *, events: int, rate: int, parallelism: int) -> Report:
    """A rate and a parallelism, three workers; the receiver takes 20 ms for each."""
    cell.start("ticker", *WORKERS)
    labels = [f"event-{n}" for n in range(events)]
    limits = FlowLimits("key", parallelism=parallelism, rate=rate)
    started_s = time.monotonic()
    accepted = accept(cell, labels, ["delay_ms=20"] * events, Gates(flow=limits))
    cell.wait_drained(within_s=120)
    took_s = time.monotonic() - started_s
    tally = cell.tally(accepted)
    at_ms = sorted(arrival.at_ms for arrival in cell.receiver.arrivals[:events])
    at_once = max(
        sum(before <= at < before + 20 for at in at_ms[n : n + parallelism + 1])
        for n, before in enumerate(at_ms)
    )
    begun = most_in_a_second(begins_ms(cell))
    figures = {
        "begun in a second": begun,
        "arrived in a second": most_in_a_second(at_ms),
        "drained in": f"{took_s:.1f} s",
    }
    report = Report(tally, figures)
    report.expect(at_once <= parallelism, f"{at_once} at once")
    report.expect(begun <= rate, "no second sees more begins than the rate")
    ideal_s = events / rate * 1.02
    report.expect(
        took_s <= ideal_s + 3, f"drained in {took_s:.1f}, not {ideal_s:.1f} s"
    )
    return report


def begins_ms(cell: Cell) -> list[float]:
    """When attempts were begun, by the journal of the cell's owner."""
    told = cell.client.xrange(keys.journal(cell.prefix, str(cell.owner)))
    entries = cast(list[tuple[bytes, dict[bytes, bytes]]], told)
    return [float(at.split(b"-")[0]) for at, said in entries if said[b"k"] == b"begun"]


def most_in_a_second(times_ms: list[float]) -> int:
    """The most of them in any second."""
    return max(
        bisect_left(times_ms, first + 1_000) - n for n, first in enumerate(times_ms)
    )


def hanging(cell: Cell, *, events: int, over_s: float) -> Report:
    """Half of the events go to a destination that never answers."""
    cell.start("ticker", "worker")
    alone = cell.create_many(events // 2, over_s=over_s)
    cell.wait_drained()
    alone_p99_ms = cell.tally(alone).late_at(0.99)
    other = Receiver()
    from_ms = cell.events.now_ms() + 2_000 + events
    mixed = []
    for number in range(events // 2):
        at_ms = from_ms + cell.random.randrange(int(over_s * 1000) + 1)
        cell.create(
            f"ill-{number}", at_ms=at_ms, url=other.url("hang=1"), deadline_ms=2_000
        )
        mixed.append(cell.create(f"well-{number}", at_ms=at_ms))
    wait_until(
        lambda: all(each.label in cell.receiver.times_ms() for each in mixed),
        within_s=over_s + 60,
    )
    other.clear_away()
    times_ms = cell.receiver.times_ms()
    late_ms = sorted(times_ms[each.label][0] - each.at_ms for each in mixed)
    p99_ms = late_ms[int(0.99 * len(late_ms))]
    figures = {"p99 alone": f"{alone_p99_ms:.0f} ms", "beside": f"{p99_ms:.0f} ms"}
    report = Report(cell.tally(alone), figures)
    report.expect(p99_ms <= 2 * alone_p99_ms + SLACK_MS, "the other is hardly later")
    return report


def outage(cell: Cell, *, events: int, away_s: float) -> Report:
    """A destination answers 503 while all events wait for it; then it is well."""
    cell.start("ticker", "worker")
    until_ms = time.time_ns() // 1_000_000 + int(away_s * 1_000)
    query = f"status=503&until_ms={until_ms}"
    labels = [f"event-{n}" for n in range(events)]
    accepted = accept(cell, labels, [query] * events, Gates())
    cell.wait_drained(within_s=away_s + 120)
    cell.receiver.catch_up()
    arrivals = [a for a in cell.receiver.arrivals if a.label in set(labels)]
    during = [a for a in arrivals if a.at_ms < until_ms]
    well_ms = {a.label: a.at_ms for a in arrivals if a.at_ms >= until_ms}
    first_s = (min(well_ms.values()) - until_ms) / 1000
    tries = {label: sum(a.label == label for a in arrivals) for label in labels}
    accepted = [
        Accepted(each.id, each.label, each.at_ms, sends=tries[each.label])
        for each in accepted
    ]
    figures = {
        "requests meanwhile": len(during),
        "well again after": f"{first_s:.1f} s",
    }
    report = Report(cell.tally(accepted), figures)
    # Each is sent before any has failed; afterwards there is no more than a probe.
    report.expect(len(during) < 1.5 * events, "an ill destination is left in peace")
    report.expect(set(well_ms) == set(labels), "all arrive in the end")
    return report
