"""Scenarios: destinations that hang, or that fail for a while."""

import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from scheduler_api.core.model import Gates
from statistics import median
from tests.system.arrivals import Receiver
from tests.system.cell import Cell
from tests.system.messages import max_overtaking_ms, publish
from tests.system.observer import Accepted
from tests.system.processes import free_port, wait_until
from tests.system.report import Report, Tally, quantile
from workers.delivery.settler import MAX_BATCH

DEADLINE_MS = 2_000
# How long a ramp lasts, and of how many events it sends no large share at once.
RAMP_S, MANY = 60, 20_000
BAD_ROUTES = {"bad": "/bad", "users": "/users/{}/hook"}
# The outage of a receiver of messages with default retries.
AWAY_EVENTS, AWAY_S = 100, 4
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
    return late_at(cell, events, 0.99)


def late_at(cell: Cell, events: Sequence[Accepted], share: float) -> float:
    """The lateness of these events at this quantile (0 to 1), in ms."""
    times_ms = cell.receiver.times_ms()
    late_ms = sorted(times_ms[event.label][0] - event.at_ms for event in events)
    return quantile(late_ms, share)


def destination_outage(cell: Cell, *, events: int, away_s: float) -> Report:
    """The destination of all events answers 503 for a while, and then recovers.

    A ramp sends up to 1,000 events per second, which is more than 5 % of a few events
    in half a second. So only an outage with more events has a bound for such a share.
    """
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
    after_ms = [a.at_ms for a in after]
    halves, pairs = histogram(after_ms, 500), histogram(after_ms, 2_000)[: RAMP_S // 2]
    overtaking_ms = max_overtaking_ms([wanted_ms[a.label] for a in after])
    requests = Counter(a.label for a in arrivals)
    accepted = [replace(m, sends=requests[m.label]) for m in published]
    share = max(halves) / len(after)
    figures = {
        "requests meanwhile": len(during),
        "breaker": " ".join(BREAKER_STATE.findall(cell["worker"].output)),
        "first delivery after": f"{first_s:.1f} s",
        "then per second": " ".join(map(str, histogram(after_ms, 1_000))),
        "most in half a second": f"{share:.1%}",
        "overtaken by": f"{overtaking_ms:.0f} ms",
    }
    report = Report(cell.tally(accepted), figures)
    # During the outage, the destination gets three kinds of requests: those in flight
    # when there are enough failures to slow the route, those that begin before the
    # worker has reported these failures, and the trickle.
    trickle = cell.settings.breaker_limits.trickle_per_s
    maximum = 3 * cell.settings.max_in_flight + 1.2 * trickle * away_s
    report.expect(len(during) <= maximum, "a failing destination gets few requests")
    report.expect({a.label for a in after} == {*labels}, "all arrive in the end")
    # A request may arrive in the next two seconds after its own.
    report.expect(
        all(more <= 2.5 * n + 2 * trickle for n, more in pairwise(pairs)),
        "for a minute, the rate at most doubles every two seconds",
        found=pairs,
    )
    if events >= MANY:
        report.expect(share <= 0.05, "no half a second has more than 5 % of them")
    return report


def histogram(times_ms: Sequence[float], width_ms: int) -> list[int]:
    """Count times by intervals of this width, from the first time on."""
    counts = Counter(int((at_ms - times_ms[0]) / width_ms) for at_ms in times_ms)
    return [counts[number] for number in range(max(counts) + 1)]


def one_bad_route(cell: Cell, *, events: int, for_s: float, letters: int) -> Report:
    """Failing routes get few requests; other routes and dead letters go on.

    Args:
        events: messages to each of two failing routes. The paths of the second route
            have different ids.
        for_s: how long the requests to the failing routes are counted.
        letters: messages without retries to a failing route and to a closed port.
    """
    cell.start("ticker", "worker")
    figures: dict[str, object] = {}
    report = Report(cell.tally([]), figures)
    trickle = cell.settings.breaker_limits.trickle_per_s
    # Those that slow the route, and those that begin before the worker reports that.
    at_first = 2 * cell.settings.breaker_attempts + MAX_BATCH
    for name, (requests, late_ms) in to_bad_routes(cell, events, for_s).items():
        figures[f"requests to {name}"] = requests
        figures[f"good beside {name} late"] = f"{late_ms:.0f} ms"
        report.expect(
            requests <= at_first + 1.2 * trickle * for_s,
            f"the failing route {name} gets few requests",
        )
        report.expect(late_ms <= 2_000, f"a new route beside {name} is not held")
    for name, url, within_s in (
        ("failing route", cell.receiver.url("status=500", path="/letters"), 15),
        ("closed port", f"http://127.0.0.1:{free_port()}/", 30),
    ):
        took_s = dead_letters(cell, name, url, letters)
        figures[f"failure callbacks of a {name}"] = f"{took_s:.1f} s"
        report.expect(took_s <= within_s, f"dead letters of a {name} keep flowing")
    report.tally, per_s = away(cell, AWAY_EVENTS, AWAY_S)
    figures["after an outage per second"] = " ".join(map(str, per_s))
    report.expect(report.tally.is_sound, "an outage causes no dead letters")
    report.expect(per_s[0] <= 4 * trickle, "the rate rises slowly after an outage")
    return report


def to_bad_routes(
    cell: Cell, events: int, for_s: float
) -> dict[str, tuple[int, float]]:
    """Publish messages to failing routes, and one to a new route of each origin.

    Returns the number of requests to each failing route until `for_s` later, and how
    late the other message arrived, in ms. Cancels the rest.
    """
    receivers = {name: Receiver() for name in BAD_ROUTES}
    started_s, published, good = time.monotonic(), [], {}
    for name, receiver in receivers.items():
        path = BAD_ROUTES[name]
        labels = [f"{name}-{n}" for n in range(events)]
        urls = [receiver.url("status=500", path=path.format(n)) for n in range(events)]
        published += publish(cell, labels, urls, [Gates()] * events, options={"r": 0})
    time.sleep(2)
    for name, receiver in receivers.items():
        [good[name]] = publish(
            cell, [f"good-{name}"], [receiver.url(path="/good")], [Gates()]
        )
    for name, receiver in receivers.items():
        wait_until(lambda r=receiver, n=name: r.count(f"good-{n}"), within_s=60)
    time.sleep(max(0, started_s + for_s - time.monotonic()))
    found = {}
    for name, receiver in receivers.items():
        requests = sum(not a.label.startswith("good") for a in receiver.arrivals)
        arrived_ms = receiver.times_ms()[good[name].label][0]
        found[name] = (requests, arrived_ms - good[name].at_ms)
    cell.events.cancel(cell.owner, [message.id for message in published])
    wait_until(lambda: not cell.begun())
    for receiver in receivers.values():
        receiver.close()
    return found


def dead_letters(cell: Cell, name: str, url: str, count: int) -> float:
    """Return how many seconds the failure callbacks of failing messages take."""
    receiver = Receiver()
    options: dict[str, object] = {"r": 0, "f": {"u": receiver.url()}}
    labels = [f"{name.replace(' ', '-')}-{n}" for n in range(count)]
    started_s = time.monotonic()
    publish(cell, labels, [url] * count, [Gates()] * count, options=options)
    wait_until(lambda: len(receiver.arrivals) >= count, within_s=300)
    took_s = time.monotonic() - started_s
    receiver.close()
    return took_s


def away(cell: Cell, events: int, away_s: float) -> tuple[Tally, list[int]]:
    """Send messages with default retries to a receiver that is away for a while.

    Returns the tally, and the number of requests in each of the first ten seconds after
    the receiver is back, from the first request on.
    """
    until_ms = time.time_ns() // 1_000_000 + int(away_s * 1_000)
    url = cell.receiver.url(f"status=503&until_ms={until_ms}", path="/away")
    labels = [f"away-{n}" for n in range(events)]
    published = publish(cell, labels, [url] * events, [Gates()] * events, options={})
    wait_until(lambda: not cell.undelivered(published), within_s=away_s + 300)
    arrivals = [a for a in cell.receiver.arrivals if a.label.startswith("away-")]
    requests = Counter(arrival.label for arrival in arrivals)
    after_ms = sorted(a.at_ms for a in arrivals if a.at_ms >= until_ms)
    per_s = Counter(int((at_ms - after_ms[0]) / 1000) for at_ms in after_ms)
    tally = cell.tally([replace(m, sends=requests[m.label]) for m in published])
    return tally, [per_s[second] for second in range(10)]
