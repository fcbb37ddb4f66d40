"""Scenario: workers are killed while they create and send the events of a group."""

import json
from scheduler_api.core.fsck import walk
from scheduler_api.core.model import Content, Draft, Owner, State
from scheduler_api.core.store import keys
from scheduler_api.core.tenants.url_groups import Endpoint, Groups
from scheduler_api.core.timestamps import to_iso
from scheduler_api.dialects.qstash.parsing.message import Message, to_options
from tests.system.cell import Cell
from tests.system.observer import DEADLINE_MS
from tests.system.processes import wait_until


def worker_kills(cell: Cell, *, runs: int, endpoints: int, kills: int) -> list[str]:
    """Each endpoint gets each run, although workers are killed.

    Repeated requests have a duplicate warning.

    Returns: the claims that did not hold.
    """
    owner = Owner(cell.owner.tenant, "qstash")
    urls = [cell.receiver.url(f"endpoint={n}&delay_ms=20") for n in range(endpoints)]
    Groups(cell.events.cell).add(owner, "g", [Endpoint(url) for url in urls])
    options = to_options(Message(topic="g"))
    labels = [f"run-{n}" for n in range(runs)]
    drafts = [
        Draft(Content("g", _body(label), options), DEADLINE_MS, delay_ms=100 * n)
        for n, label in enumerate(labels)
    ]
    cell.start("ticker", "worker")
    fan_outs = cell.events.create_many(owner, drafts)
    for number in range(1, kills + 1):
        arrivals = runs * endpoints * number // (kills + 1)
        wait_until(lambda n=arrivals: len(cell.receiver.arrivals) >= n, within_s=60)
        cell.kill_worker()
        cell["worker"].start()
    cell.wait_drained(within_s=120)
    cell.receiver.sync()
    # Usually, each run sends an endpoint exactly one request without a warning. If the
    # worker is killed after it began the attempt and before it sends the request, the
    # endpoint gets only the repeated request, which has a warning.
    unwarned, times = cell.receiver.count_unwarned(), cell.receiver.times_ms()
    problems = [
        f"{label} arrived {len(times[label])} times, {unwarned[label]} without warning"
        for label in labels
        if not unwarned[label] <= endpoints <= len(times[label])
    ]
    delivered = keys.finished(cell.prefix, str(owner), State.DELIVERED)
    expected = runs * endpoints + len(fan_outs)
    if (count := cell.client.zcard(delivered)) != expected:
        problems.append(f"{count} events were delivered, not {expected}")
    return problems + [str(fault) for fault in walk.check(cell.events.cell)]


def _body(label: str) -> bytes:
    return json.dumps({"payload": label, "scheduledTime": to_iso(0)}).encode()
