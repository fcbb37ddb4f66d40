"""Scenarios: queues, rates, parallelism, pauses, and messages that need two gates."""

import time
from scheduler_api.core.delivery.destinations import parse
from scheduler_api.core.flow_control.held_destinations import HeldDestinations
from scheduler_api.core.fsck import walk
from scheduler_api.core.model import FlowLimits, Gates
from statistics import median
from tests.system.arrivals import Receiver
from tests.system.cell import Cell
from tests.system.messages import begin_times, max_per_second, publish
from tests.system.observer import CREATED_WITHIN_MS
from tests.system.processes import wait_until
from tests.system.report import Report

WORKERS = ("worker-1", "worker-2", "worker-3")
TIMEOUT_S = 600


def queue_order(cell: Cell, *, events: int, every_s: float) -> Report:
    """A queue of parallelism one delivers in order, although workers are killed."""
    cell.start("ticker", *WORKERS)
    labels = [f"event-{n}" for n in range(events)]
    urls = [
        cell.receiver.url(f"delay_ms={cell.random.randrange(5, 50)}") for _ in labels
    ]
    accepted = publish(cell, labels, urls, [Gates(queue="orders")] * events)
    kills = kill_in_turn(cell, every_s=every_s)
    tally = cell.tally(accepted)
    rank = {label: number for number, label in enumerate(labels)}
    arrived = [rank[a.label] for a in cell.receiver.arrivals if a.label in rank]
    at_once = cell.receiver.max_in_flight()
    report = Report(tally, {"kills": kills, "most at once": at_once})
    report.expect(kills, "a worker is killed")
    report.expect(arrived == sorted(arrived), "order is kept, repeats included")
    report.expect(
        at_once == 1, "never two at once, including requests of killed workers"
    )
    return report


def kill_in_turn(cell: Cell, *, every_s: float) -> int:
    """Kill and restart the workers in turn until no event is pending.

    Returns: the number of kills.
    """
    kills, start_s = 0, time.monotonic()
    while kills * every_s < TIMEOUT_S:
        at_s = start_s + (kills + 1) * every_s
        wait_until(
            lambda until_s=at_s: time.monotonic() > until_s or cell.pending() == 0,
            within_s=TIMEOUT_S,
        )
        if cell.pending() == 0:
            break
        name = WORKERS[kills % len(WORKERS)]
        cell.kill_worker(name)
        cell.start(name)
        kills += 1
    return kills


def paused_destination(cell: Cell, *, events: int) -> Report:
    """A paused destination gets no events until it is resumed."""
    cell.start("ticker", "worker")
    held, tenant = HeldDestinations(cell.events.cell), cell.owner.tenant
    destination, other = parse(cell.receiver.url("")), Receiver()
    at_ms = cell.events.cell.now_ms() + CREATED_WITHIN_MS
    running = cell.create_at(
        {f"run-{n}": at_ms for n in range(5)}, query="delay_ms=500"
    )
    wait_until(lambda: len(cell.receiver.times_ms()) == len(running), within_s=20)
    held.set_paused(tenant, destination, paused=True)
    at_ms = cell.events.cell.now_ms() + CREATED_WITHIN_MS
    waiting = cell.create_at({f"wait-{n}": at_ms + n for n in range(events)})
    cell.create("other", at_ms=at_ms, url=other.url(""))

    def count_waiting() -> int:
        return sum(destination.waiting for destination in held.all())

    wait_until(lambda: count_waiting() == events, within_s=20)
    wait_until(other.times_ms, within_s=20)
    other.close()
    arrived = set(cell.receiver.times_ms())
    faults = walk.check(cell.events.cell)
    held.set_paused(tenant, destination, paused=False)
    cell.wait_drained(within_s=30)
    report = Report(cell.tally([*running, *waiting]), {"waited": events})
    report.expect(
        arrived == {event.label for event in running}, "waiting events are not sent"
    )
    report.expect(
        faults == [], "the store is consistent while events wait", found=faults
    )
    report.expect(not held.all(), "a resumed destination is no longer listed as held")
    return report


def rate_and_parallelism(
    cell: Cell, *, events: int, rate: int, parallelism: int, timed: bool = False
) -> Report:
    """Three workers respect a flow-control key's rate and parallelism.

    Args:
        timed: whether to check figures that depend on the speed of the machine.
    """
    cell.start("ticker", *WORKERS)
    labels = [f"event-{n}" for n in range(events)]
    gates = Gates(flow=FlowLimits("key", parallelism=parallelism, rate=rate))
    started_s = time.monotonic()
    urls = [cell.receiver.url("delay_ms=20")] * events
    accepted = publish(cell, labels, urls, [gates] * events)
    cell.wait_drained(within_s=120)
    took_s = time.monotonic() - started_s
    tally = cell.tally(accepted)
    at_once, begins = cell.receiver.max_in_flight(), begin_times(cell)
    begun_per_s = max_per_second([at_ms for at_ms, _ in begins])
    times_ms = {label: at[0] for label, at in cell.receiver.times_ms().items()}
    arrived_per_s = max_per_second(sorted(times_ms[label] for label in labels))
    label_of = {message.id: message.label for message in accepted}
    transit_ms = [times_ms[label_of[id_]] - at_ms for at_ms, id_ in begins]
    figures = {
        "most at once": at_once,
        "most begun in a second": begun_per_s,
        "most arrived in a second": arrived_per_s,
        "from begin to arrival": f"{median(transit_ms):.1f} ms"
        f" (first {rate} up to {max(transit_ms[:rate]):.1f},"
        f" others up to {max(transit_ms[rate:]):.1f})",
        "drained in": f"{took_s:.1f} s",
    }
    report = Report(tally, figures)
    report.expect(at_once <= parallelism, "no more at once than the parallelism")
    report.expect(begun_per_s <= rate, "no second has more begins than the rate")
    if timed:
        report.expect(
            arrived_per_s <= rate * 1.04, "arrivals per second exceed the rate by < 4 %"
        )
        report.expect(
            took_s <= events / rate * 1.075,
            "draining exceeds the ideal time by < 7.5 %",
        )
    return report


def starvation(cell: Cell, *, few: int, others: int) -> Report:
    """Messages that need two full gates get through despite messages that need one.

    The two gates are a flow-control key and a destination; each admits five messages at
    the same time. The `few` messages need both gates. Half of the `others` fill the
    key, the other half fill the destination. A tenth of the `others` is published
    before the `few`, the rest afterwards.

    The cell needs `SCHED_DESTINATION_PARALLELISM=5`.
    """
    cell.start("ticker", *WORKERS)
    key, other = Gates(flow=FlowLimits("key", parallelism=5)), Receiver()
    url, other_url = (r.url("delay_ms=20") for r in (cell.receiver, other))
    kinds = [("same", url, Gates()), ("other", other_url, key)] * (others // 2)
    many = [(f"{kind}-{n}", to, gates) for n, (kind, to, gates) in enumerate(kinds)]
    both = [(f"few-{n}", url, key) for n in range(few)]
    early, waiting, later = (
        publish(cell, *zip(*part, strict=True))
        for part in (many[: others // 10], both, many[others // 10 :])
    )
    cell.wait_drained(within_s=120)
    other.sync()
    arrived = {*cell.receiver.times_ms(), *other.times_ms()}
    at_once = (cell.receiver.max_in_flight(), other.max_in_flight())
    other.close()
    same = [m for m in (*early, *later) if m.label.startswith("same")]
    rank = {event_id: n for n, (_, event_id) in enumerate(begin_times(cell))}
    last = max(rank[message.id] for message in waiting)
    overtaken_by = sum(rank[message.id] < last for message in later)
    figures = {"most at once": at_once, "later messages begun first": overtaken_by}
    report = Report(cell.tally([*same, *waiting]), figures)
    report.expect({label for label, *_ in many} <= arrived, "all messages arrive")
    report.expect(max(at_once) <= 5, "no more than five at once per destination")
    report.expect(overtaken_by < 100, "the last of the few is not starved")
    return report
