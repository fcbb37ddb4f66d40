"""Scenarios of `scripts/chaos`: destinations hang, fail or recover."""

import time
from chaos_load import disturb
from chaos_scenario import Scenario, in_cell
from functools import partial
from scheduler_api.core.model import State
from scheduler_api.core.store import keys
from tests.system import failing, gates, isolation
from tests.system.cell import Cell
from tests.system.observer import Accepted
from tests.system.processes import wait_until
from tests.system.report import Report
from typing import cast

RACES = 200
RETRY_AFTER_S = 3
MONITORED = ("ticker", "worker")
OVERDUE_MS = 2_000


def retry_after(cell: Cell) -> Report:
    """Each of many routes answers 503 with a Retry-After of three seconds, once."""
    cell.start("ticker", "worker")
    query = f"status=503&retry_after={RETRY_AFTER_S}&first=1"
    paths = [f"/{one}{other}" for one in "abcdef" for other in "klmnop"]
    start_ms = cell.earliest_start_ms(len(paths))
    accepted = [
        cell.create(
            f"event-{number}",
            at_ms=start_ms + 50 * number,
            url=cell.receiver.url(query, path=path),
            sends=2,
        )
        for number, path in enumerate(paths)
    ]
    cell.wait_drained(within_s=120)
    tally = cell.tally(accepted)
    waits_ms = [at[1] - at[0] for at in cell.receiver.times_ms().values() if at[1:]]
    report = Report(tally, {"shortest wait": f"{min(waits_ms):.0f} ms"})
    report.expect(
        min(waits_ms) >= RETRY_AFTER_S * 1_000, "no retry before the time asked for"
    )
    return report


def idle_connections(cell: Cell, *, events: int) -> Report:
    """The receiver closes each connection soon after its response."""
    cell.start("ticker", "worker")
    accepted = cell.create_many(events, over_s=5, query="close=1")
    cell.wait_drained()
    retried = sum(len(cell.attempts(event)) > 1 for event in accepted)
    report = Report(cell.tally(accepted), {"events with two attempts": retried})
    report.expect(retried == 0, "a closed idle connection is not charged to an event")
    return report


def unreadable_records(cell: Cell, *, events: int) -> Report:
    """Records that nobody can read are among those of ordinary events."""
    cell.start("ticker", "worker")
    accepted = cell.create_many(events, over_s=4)
    bad = accepted[:: len(accepted) // 50]
    for event in bad:
        key = f"{cell.prefix}e:{event.id}"
        cell.client.delete(key)
        cell.client.set(key, "no record")
    good = [event for event in accepted if event not in bad]
    cell.wait_drained()
    tally = cell.tally(good)
    quarantined = cell.client.hlen(keys.quarantine_reasons(cell.prefix))
    report = Report(tally, {"unreadable": len(bad)})
    report.expect(
        quarantined == len(bad), "the records are in quarantine", found=quarantined
    )
    report.expect(tally.late_at(0.99) <= 1_000, "p99 of the others is below 1 s")
    return report


def cancel_race(cell: Cell) -> Report:
    """Events are cancelled at the moment they are due."""
    cell.start("ticker", "worker")
    cell.warm_up()
    start_ms = cell.earliest_start_ms(RACES)
    accepted = [
        cell.create(f"event-{number}", at_ms=start_ms + 10 * number)
        for number in range(RACES)
    ]
    for event in accepted:
        _cancel_at(cell, event, event.at_ms + cell.random.randrange(-4, 5))
    cell.wait_drained()
    cell.receiver.sync()
    times_ms = cell.receiver.times_ms()
    states = {event.label: cell.event(event).state for event in accepted}
    sent = [event for event in accepted if states[event.label] is State.DELIVERED]
    cancelled = [event.label for event in accepted if event not in sent]
    report = Report(cell.tally(sent), {"cancelled": len(cancelled)})
    report.expect(
        not [label for label in cancelled if label in times_ms],
        "what is cancelled is not sent",
    )
    report.expect(
        {states[label] for label in cancelled} <= {State.CANCELLED},
        "each event is delivered or cancelled",
    )
    return report


def _cancel_at(cell: Cell, event: Accepted, at_ms: int) -> None:
    wait_until(lambda: cell.events.cell.now_ms() >= at_ms)
    cell.events.cancel(cell.owner, [event.id])


def dead_processes(cell: Cell) -> Report:
    """Ticker and worker stop, and nobody restarts them for a while."""
    named_s: dict[str, float] = {}
    ages_ms: list[int] = []

    def names(process: str) -> bool:
        return process in str(cell.request("GET", "/readyz").body.get("missing"))

    def shows_age() -> bool:
        body = cell.request("GET", "/readyz").body
        ages_ms.append(cast(int, body.get("oldestDueAgeMs", 0)))
        return ages_ms[-1] >= OVERDUE_MS

    def fault() -> None:
        stopped_s = time.monotonic()
        for name in MONITORED:
            cell[name].terminate()
        for name in MONITORED:
            wait_until(partial(names, name), within_s=70)
            named_s[name] = time.monotonic() - stopped_s
        wait_until(shows_age, within_s=60)
        cell.start(*MONITORED)

    report = disturb(cell, fault).report
    report.figures["oldest due, ms"] = ages_ms[-1]
    for name, took_s in named_s.items():
        report.figures[f"{name} named after, s"] = round(took_s, 1)
        report.expect(took_s <= 60, f"/readyz names the {name} within 60 s")
    return report


SCENARIOS: dict[str, Scenario] = {
    "hanging": in_cell(
        failing.hanging_destination,
        "R-16",
        lambda n: {"events": n["events"], "over_s": 5, "rounds": 3},
    ),
    "isolation": in_cell(
        isolation.three_tenants,
        "R-16",
        lambda n: {
            "hanging": 990,
            "flood": n["flood"],
            "slow": 150,
            "events": 250,
            "over_s": 5,
            "slack_ms": 50,
        },
        SCHED_WINDOW="100",
    ),
    "destination-outage": in_cell(
        failing.destination_outage,
        "R-15 R-17",
        lambda n: {"events": n["backlog"] // 2, "away_s": n["away_s"]},
    ),
    "one-bad-route": in_cell(
        failing.one_bad_route,
        "R-17",
        lambda n: {"events": n["events"], "for_s": n["frozen_s"], "letters": 40},
        SCHED_QSTASH_LONGEST_HOLD_MS="10000",
    ),
    "retry-after": in_cell(retry_after, "R-18"),
    "idle-connections": in_cell(
        idle_connections, "R-26", lambda n: {"events": n["events"] // 2}
    ),
    "unreadable-records": in_cell(
        unreadable_records, "R-13", lambda n: {"events": n["events"]}
    ),
    "cancel-race": in_cell(cancel_race, "R-22"),
    "dead-processes": in_cell(dead_processes, "R-25"),
    "queue": in_cell(
        gates.queue_order, "R-01", lambda _: {"events": 200, "every_s": 3}
    ),
    "flow-control": in_cell(
        gates.rate_and_parallelism,
        "R-16",
        lambda n: {"events": n["events"], "rate": 50, "parallelism": 5, "timed": True},
    ),
    "starvation": in_cell(
        gates.starvation,
        "R-16",
        lambda n: {"few": 20, "others": n["events"]},
        SCHED_DESTINATION_PARALLELISM="5",
    ),
}
