"""Scenarios: queues, limits, pauses, and two limits at once."""

import time
from scheduler_api.core.delivery.destinations import parse
from scheduler_api.core.flow_control.held_destinations import HeldDestinations
from scheduler_api.core.fsck import walk
from scheduler_api.core.model import FlowLimits, Gates
from statistics import median
from tests.system.arrivals import Receiver
from tests.system.cell import Cell
from tests.system.messages import accept, begun, most_in_a_second
from tests.system.processes import wait_until
from tests.system.report import Report

WORKERS = ("worker-1", "worker-2", "worker-3")
LONGEST_S = 600


def queue_order(cell: Cell, *, events: int, every_s: float) -> Report:
    """A queue of parallelism one, three workers, of which one dies again and again."""
    cell.start("ticker", *WORKERS)
    labels = [f"event-{n}" for n in range(events)]
    urls = [
        cell.receiver.url(f"delay_ms={cell.random.randrange(5, 50)}") for _ in labels
    ]
    accepted = accept(cell, labels, urls, [Gates(queue="orders")] * events)
    kills = kill_in_turn(cell, every_s=every_s)
    tally = cell.tally(accepted)
    rank = {label: number for number, label in enumerate(labels)}
    arrived = [rank[a.label] for a in cell.receiver.arrivals if a.label in rank]
    at_once = cell.receiver.most_at_once()
    report = Report(tally, {"kills": kills, "most at once": at_once})
    report.expect(kills, "somebody is killed")
    report.expect(arrived == sorted(arrived), "order is kept, repeats included")
    report.expect(at_once == 1, "never two at once, the requests of the dead included")
    return report


def kill_in_turn(cell: Cell, *, every_s: float) -> int:
    """Kills one worker after the other until nothing is left to do; tells how often."""
    kills, from_s = 0, time.monotonic()
    while kills * every_s < LONGEST_S:
        at_s = from_s + (kills + 1) * every_s
        wait_until(
            lambda until_s=at_s: time.monotonic() > until_s or cell.waiting() == 0,
            within_s=LONGEST_S,
        )
        if cell.waiting() == 0:
            break
        name = WORKERS[kills % len(WORKERS)]
        cell.kill_worker(name)
        cell.start(name)
        kills += 1
    return kills


def paused_destination(cell: Cell, *, events: int) -> Report:
    """A destination is paused with some in flight, and resumed once all others wait."""
    cell.start("ticker", "worker")
    held, tenant = HeldDestinations(cell.events.cell), cell.owner.tenant
    place, other = parse(cell.receiver.url("")), Receiver()
    at_ms = cell.events.cell.now_ms()
    running = [
        cell.create(f"run-{n}", at_ms=at_ms + 200, query="delay_ms=500")
        for n in range(5)
    ]
    wait_until(lambda: len(cell.receiver.times_ms()) == len(running), within_s=20)
    held.set_paused(tenant, place, paused=True)
    at_ms = cell.events.cell.now_ms()
    waiting = [cell.create(f"wait-{n}", at_ms=at_ms + 200 + n) for n in range(events)]
    cell.create("free", at_ms=at_ms + 200, url=other.url(""))

    def waits() -> int:
        return sum(each.waiting for each in held.all())

    wait_until(lambda: waits() == events, within_s=20)
    wait_until(other.times_ms, within_s=20)
    other.clear_away()
    arrived = set(cell.receiver.times_ms())
    faults = walk.check(cell.events.cell)
    held.set_paused(tenant, place, paused=False)
    cell.wait_drained(within_s=30)
    report = Report(cell.tally([*running, *waiting]), {"waited": events})
    report.expect(arrived == {each.label for each in running}, "what waits is not sent")
    report.expect(faults == [], f"records and sets agree, but {faults}")
    gone = not held.all()
    report.expect(gone, "a destination that nobody waits for is told no more")
    return report


def rate_and_parallelism(
    cell: Cell, *, events: int, rate: int, parallelism: int, timed: bool = False
) -> Report:
    """A rate and a parallelism, three workers; the receiver takes 20 ms for each.

    Args:
        timed: whether times are judged that depend on the machine as well.
    """
    cell.start("ticker", *WORKERS)
    labels = [f"event-{n}" for n in range(events)]
    gates = Gates(flow=FlowLimits("key", parallelism=parallelism, rate=rate))
    started_s = time.monotonic()
    urls = [cell.receiver.url("delay_ms=20")] * events
    accepted = accept(cell, labels, urls, [gates] * events)
    cell.wait_drained(within_s=120)
    took_s = time.monotonic() - started_s
    tally = cell.tally(accepted)
    at_once, began_ms = cell.receiver.most_at_once(), begun(cell)
    began = most_in_a_second([at_ms for at_ms, _ in began_ms])
    times_ms = {label: at[0] for label, at in cell.receiver.times_ms().items()}
    arrived = most_in_a_second(sorted(times_ms[label] for label in labels))
    label_of = {each.id: each.label for each in accepted}
    on_its_way_ms = [times_ms[label_of[id_]] - at_ms for at_ms, id_ in began_ms]
    figures = {
        "most at once": at_once,
        "begun in a second": began,
        "arrived in a second": arrived,
        "from begin to arrival": f"{median(on_its_way_ms):.1f} ms"
        f" (first {rate} up to {max(on_its_way_ms[:rate]):.1f},"
        f" others up to {max(on_its_way_ms[rate:]):.1f})",
        "drained in": f"{took_s:.1f} s",
    }
    report = Report(tally, figures)
    report.expect(at_once <= parallelism, "no more at once than the parallelism")
    report.expect(began <= rate, "no second sees more begins than the rate")
    if timed:
        report.expect(arrived <= rate * 1.04, "hardly more arrive in any second")
        report.expect(took_s <= events / rate * 1.075, "it is hardly slower")
    return report


def starvation(cell: Cell, *, few: int, others: int) -> Report:
    """Few messages need a key and a destination, of which many others keep one full.

    A tenth of the others comes before them. Key and destinations let five go at once.
    """
    cell.start("ticker", *WORKERS)
    key, elsewhere = Gates(flow=FlowLimits("key", parallelism=5)), Receiver()
    here_url, there_url = (r.url("delay_ms=20") for r in (cell.receiver, elsewhere))
    kinds = [("here", here_url, Gates()), ("there", there_url, key)] * (others // 2)
    many = [(f"{kind}-{n}", url, gates) for n, (kind, url, gates) in enumerate(kinds)]
    both = [(f"few-{n}", here_url, key) for n in range(few)]
    early, those, later = (
        accept(cell, *zip(*part, strict=True))
        for part in (many[: others // 10], both, many[others // 10 :])
    )
    cell.wait_drained(within_s=120)
    elsewhere.catch_up()
    arrived = {*cell.receiver.times_ms(), *elsewhere.times_ms()}
    at_once = (cell.receiver.most_at_once(), elsewhere.most_at_once())
    elsewhere.clear_away()
    here = [each for each in (*early, *later) if each.label.startswith("here")]
    turn = {event_id: n for n, (_, event_id) in enumerate(begun(cell))}
    last = max(turn[each.id] for each in those)
    overtaken_by = sum(turn[each.id] < last for each in later)
    figures = {"most at once": at_once, "later ones begun before": overtaken_by}
    report = Report(cell.tally([*here, *those]), figures)
    report.expect({label for label, *_ in many} <= arrived, "all arrive elsewhere too")
    report.expect(max(at_once) <= 5, "no more at once than five")
    report.expect(overtaken_by < 100, "the last of the few is not starved")
    return report
