"""Scenarios of `scripts/chaos`: the store stops, freezes, or loses data."""

from chaos_scenario import Scenario, in_cell
from functools import partial, update_wrapper
from tests.system.outages import store_outage


def outage(how: str) -> Scenario:
    """Make a scenario with a store that is stopped, killed or frozen."""
    scenario = partial(store_outage, how=how)
    update_wrapper(scenario, store_outage)
    return in_cell(scenario, "R-06", lambda n: {"away_s": n["away_s"]})


SCENARIOS: dict[str, Scenario] = {
    "outage": outage("stopped"),
    "outage-killed": outage("killed"),
    "outage-frozen": outage("frozen"),
}
