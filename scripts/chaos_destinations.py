"""Scenarios of `scripts/chaos`: destinations hang, fail or recover."""

from chaos_scenario import Scenario, in_cell
from tests.system import failing, gates

SCENARIOS: dict[str, Scenario] = {
    "hanging": in_cell(
        failing.hanging_destination,
        "R-16",
        lambda n: {"events": n["events"], "over_s": 5, "rounds": 1},
    ),
    "destination-outage": in_cell(
        failing.destination_outage,
        "R-15 R-17",
        lambda n: {"events": n["events"] * 5 // 2, "away_s": n["away_s"]},
    ),
    "one-bad-route": in_cell(
        failing.one_bad_route,
        "R-17",
        lambda n: {
            "events": n["events"],
            "for_s": n["frozen_s"],
            "letters": 40,
            "away_s": n["away_s"],
        },
    ),
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
