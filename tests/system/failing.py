"""Scenarios: destinations that hang, or that are ill for a while."""

import re
import time
from collections import Counter
from collections.abc import Sequence
from scheduler_api.core.model import Gates
from statistics import median
from tests.system.arrivals import Receiver
from tests.system.cell import Cell
from tests.system.messages import accept, out_of_turn
from tests.system.observer import Accepted
from tests.system.processes import wait_until
from tests.system.report import Report

HANGS_MS = 2_000
CHANGED = re.compile(r"breaker\.changed .*state=(\w+)")


def hanging_destination(
    cell: Cell, *, events: int, over_s: float, rounds: int = 1, slack_ms: float = 0
) -> Report:
    """Half of the events go to a destination that never answers.

    Each round has the other half alone first; the medians of the rounds are compared.
    """
    cell.start("ticker", "worker")
    alone_ms, beside_ms, well = [], [], []
    for number in range(rounds):
        alone = spread(cell, f"alone-{number}", events // 2, over_s)
        alone_ms.append(late_at_99(cell, alone))
        other = Receiver()
        beside = spread(cell, f"beside-{number}", events // 2, over_s, other)
        beside_ms.append(late_at_99(cell, beside))
        other.clear_away()
        well += [*alone, *beside]
    figures = {
        name: f"{median(late_ms):.1f} ms ({' '.join(f'{ms:.1f}' for ms in late_ms)})"
        for name, late_ms in (("p99 alone", alone_ms), ("beside", beside_ms))
    }
    report = Report(cell.tally(well), figures)
    most_ms = 2 * median(alone_ms) + slack_ms
    report.expect(median(beside_ms) <= most_ms, "the other is hardly later")
    return report


def spread(
    cell: Cell, name: str, count: int, over_s: float, other: Receiver | None = None
) -> list[Accepted]:
    """Events at random times, beside each one to a destination that hangs; all arrive.

    What hangs is cancelled afterwards.
    """
    well, ill = [], []
    from_ms = cell.soon_ms(count)
    for number in range(count):
        at_ms = from_ms + cell.random.randrange(int(over_s * 1000) + 1)
        if other is not None:
            hangs = other.url("hang=1")
            ill.append(
                cell.create(
                    f"ill-{name}-{number}",
                    at_ms=at_ms,
                    url=hangs,
                    deadline_ms=HANGS_MS,
                )
            )
        well.append(cell.create(f"{name}-{number}", at_ms=at_ms))
    wanted = {each.label for each in well}
    wait_until(lambda: wanted <= cell.receiver.times_ms().keys(), within_s=over_s + 60)
    cell.events.cancel(cell.owner, [each.id for each in ill])
    wait_until(lambda: not cell.begun())
    return well


def late_at_99(cell: Cell, events: Sequence[Accepted]) -> float:
    """How late all but a hundredth of them arrived at most, in ms."""
    times_ms = cell.receiver.times_ms()
    late_ms = sorted(times_ms[each.label][0] - each.at_ms for each in events)
    return late_ms[int(0.99 * len(late_ms))]


def destination_outage(cell: Cell, *, events: int, away_s: float) -> Report:
    """A destination answers 503 while all events wait for it; then it is well."""
    cell.start("ticker", "worker")
    until_ms = time.time_ns() // 1_000_000 + int(away_s * 1_000)
    url = cell.receiver.url(f"status=503&until_ms={until_ms}")
    labels = [f"event-{n}" for n in range(events)]
    accepted = accept(cell, labels, [url] * events, [Gates()] * events)
    cell.wait_drained(within_s=away_s + 180)
    cell.receiver.catch_up()
    wanted_ms = {each.label: each.at_ms for each in accepted}
    arrivals = [a for a in cell.receiver.arrivals if a.label in wanted_ms]
    during = [a for a in arrivals if a.at_ms < until_ms]
    well = [a for a in arrivals if a.at_ms >= until_ms]
    first_s = (well[0].at_ms - until_ms) / 1000
    ramp = Counter(int((a.at_ms - well[0].at_ms) / 1000) for a in well)
    turns_ms = out_of_turn([wanted_ms[a.label] for a in well])
    tries = Counter(a.label for a in arrivals)
    accepted = [
        Accepted(each.id, each.label, each.at_ms, sends=tries[each.label])
        for each in accepted
    ]
    figures = {
        "requests meanwhile": len(during),
        "breaker": " ".join(CHANGED.findall(cell["worker"].printed)),
        "well again after": f"{first_s:.1f} s",
        "then per second": " ".join(str(ramp[n]) for n in range(max(ramp) + 1)),
        "out of turn by": f"{turns_ms:.0f} ms",
    }
    report = Report(cell.tally(accepted), figures)
    # What is in hand when enough have failed, what is begun until that is told, probes.
    most = 3 * cell.settings.window + away_s
    report.expect(len(during) <= most, "an ill destination is left in peace")
    report.expect({a.label for a in well} == {*labels}, "all arrive in the end")
    return report
