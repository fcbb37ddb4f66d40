"""Scenarios: destinations that hang, or that fail for a while."""

import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from scheduler_api.core.model import Gates
from statistics import median
from tests.system.arrivals import Receiver
from tests.system.cell import Cell
from tests.system.messages import max_overtaking_ms, publish
from tests.system.observer import Accepted
from tests.system.processes import wait_until
from tests.system.report import Report

DEADLINE_MS = 2_000
BREAKER_STATE = re.compile(r"breaker\.changed .*state=(\w+)")


def hanging_destination(
    cell: Cell, *, events: int, over_s: float, rounds: int = 1, slack_ms: float = 0
) -> Report:
    """A destination that never answers does not delay events for other destinations.

    Each round has two phases. In the first phase, only a healthy destination gets
    events. In the second phase, a hanging destination gets as many events as the
    healthy destination. Each phase measures the 99th percentile of the lateness at the
    healthy destination. Each phase has a median of this percentile over all rounds. The
    second median may be at most twice the first median plus `slack_ms`.
    """
    cell.start("ticker", "worker")
    without_ms, with_ms, healthy = [], [], []
    for number in range(rounds):
        events_without = spread(cell, f"without-{number}", events // 2, over_s)
        without_ms.append(late_at_99(cell, events_without))
        hanging = Receiver()
        events_with = spread(cell, f"with-{number}", events // 2, over_s, hanging)
        with_ms.append(late_at_99(cell, events_with))
        hanging.close()
        healthy += [*events_without, *events_with]
    figures = {
        name: f"{median(late_ms):.1f} ms ({' '.join(f'{ms:.1f}' for ms in late_ms)})"
        for name, late_ms in (("p99 without", without_ms), ("p99 with", with_ms))
    }
    report = Report(cell.tally(healthy), figures)
    maximum_ms = 2 * median(without_ms) + slack_ms
    report.expect(
        median(with_ms) <= maximum_ms, "events to the healthy destination stay on time"
    )
    return report


def spread(
    cell: Cell, name: str, count: int, over_s: float, hanging: Receiver | None = None
) -> list[Accepted]:
    """Create events at random times, and wait until they have arrived.

    Args:
        hanging: a receiver that never answers. For each event, another event with the
            same time is created for this receiver, and cancelled at the end.
    """
    answered, unanswered = [], []
    start_ms = cell.earliest_start_ms(count)
    for number in range(count):
        at_ms = start_ms + cell.random.randrange(int(over_s * 1000) + 1)
        if hanging is not None:
            unanswered.append(
                cell.create(
                    f"hanging-{name}-{number}",
                    at_ms=at_ms,
                    url=hanging.url("hang=1"),
                    deadline_ms=DEADLINE_MS,
                )
            )
        answered.append(cell.create(f"{name}-{number}", at_ms=at_ms))
    labels = {event.label for event in answered}
    wait_until(lambda: labels <= cell.receiver.times_ms().keys(), within_s=over_s + 60)
    cell.events.cancel(cell.owner, [event.id for event in unanswered])
    wait_until(lambda: not cell.begun())
    return answered


def late_at_99(cell: Cell, events: Sequence[Accepted]) -> float:
    """The 99th percentile of the lateness of these events, in ms."""
    times_ms = cell.receiver.times_ms()
    late_ms = sorted(times_ms[event.label][0] - event.at_ms for event in events)
    return late_ms[int(0.99 * len(late_ms))]


def destination_outage(cell: Cell, *, events: int, away_s: float) -> Report:
    """The destination of all events answers 503 for a while, and then recovers."""
    cell.start("ticker", "worker")
    until_ms = time.time_ns() // 1_000_000 + int(away_s * 1_000)
    url = cell.receiver.url(f"status=503&until_ms={until_ms}")
    labels = [f"event-{n}" for n in range(events)]
    published = publish(cell, labels, [url] * events, [Gates()] * events)
    cell.wait_drained(within_s=away_s + 180)
    cell.receiver.sync()
    wanted_ms = {message.label: message.at_ms for message in published}
    arrivals = [a for a in cell.receiver.arrivals if a.label in wanted_ms]
    during = [a for a in arrivals if a.at_ms < until_ms]
    after = [a for a in arrivals if a.at_ms >= until_ms]
    first_s = (after[0].at_ms - until_ms) / 1000
    ramp = Counter(int((a.at_ms - after[0].at_ms) / 1000) for a in after)
    overtaking_ms = max_overtaking_ms([wanted_ms[a.label] for a in after])
    requests = Counter(a.label for a in arrivals)
    accepted = [replace(m, sends=requests[m.label]) for m in published]
    figures = {
        "requests meanwhile": len(during),
        "breaker": " ".join(BREAKER_STATE.findall(cell["worker"].output)),
        "first delivery after": f"{first_s:.1f} s",
        "then per second": " ".join(str(ramp[n]) for n in range(max(ramp) + 1)),
        "overtaken by": f"{overtaking_ms:.0f} ms",
    }
    report = Report(cell.tally(accepted), figures)
    # During the outage, the destination gets three kinds of requests: those in flight
    # when there are enough failures to open the breaker, those that begin before the
    # worker has reported these failures, and probes.
    maximum = 3 * cell.settings.max_in_flight + away_s
    report.expect(len(during) <= maximum, "a failing destination gets few requests")
    report.expect({a.label for a in after} == {*labels}, "all arrive in the end")
    return report
