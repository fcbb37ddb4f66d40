"""Tests that a loaded library of Lua functions keeps no state between calls."""

import redis
from collections.abc import Iterator
from contextlib import contextmanager
from scheduler_api.core.delivery.destinations import parse
from scheduler_api.core.flow_control.flow_keys import FlowKeys
from scheduler_api.core.flow_control.held_destinations import HeldDestinations
from scheduler_api.core.flow_control.queues import Queues
from scheduler_api.core.model import (
    Draft,
    FlowLimits,
    FollowUp,
    Gates,
    Outcome,
    Overlap,
)
from scheduler_api.core.recovery.dead_letters import DeadLetters
from scheduler_api.core.store import alerts, functions, keys
from scheduler_api.core.store.alerts import Change, Notice
from scheduler_api.core.store.functions import Library
from scheduler_api.core.store.leases import WorkerStore
from scheduler_api.core.store.statistics import Counts, DestinationCounts
from scheduler_api.core.tenants.url_groups import Endpoint, Groups
from tests.core.engine import (
    CONTENT,
    DEADLINE_MS,
    LEASE_MS,
    OTHER,
    OWNER,
    PREFIX,
    Engine,
    all_ids,
    settlement,
)
from tests.core.stored import everything
from tests.sync_worker import AwaitableClient, ImmediateRunner, SyncWorker
from typing import Any

Call = tuple[Any, ...]
TWIN = "{s2}:"
# Keys for rate limits and signs of life expire after this period. It is longer than
# the test, so that no key expires during the test.
PERIOD_MS = 600_000
LIMITS = FlowLimits("customer", parallelism=1, rate=2, period_ms=PERIOD_MS)
GATES = Gates(queue="orders", flow=LIMITS)
SHARE = {"limit": 1, "in_flight": {"d:1:other": 1}}


@contextmanager
def recorded(client: redis.Redis) -> Iterator[list[Call]]:
    """Record the arguments of all function calls of a client."""
    calls: list[Call] = []
    call = client.fcall

    def record(*args: Any) -> Any:
        calls.append(args)
        return call(*args)

    client.fcall = record  # type: ignore[method-assign]
    try:
        yield calls
    finally:
        del client.fcall


def call_all_functions(engine: Engine) -> None:
    """Call every function, most of them with different options."""
    client, store, cell = engine.client, engine.store, engine.cell
    worker = SyncWorker(
        WorkerStore(AwaitableClient(client), cell, lease_ms=LEASE_MS), ImmediateRunner()
    )
    queues, flow_keys = Queues(cell), FlowKeys(cell)
    draft = Draft(CONTENT, DEADLINE_MS, delay_ms=1_000, journal=True)
    events = [store.create(OWNER, draft) for _ in range(4)]
    store.create_many(OWNER, [Draft(OTHER, DEADLINE_MS, gates=GATES)] * 3)
    store.change(events[3], content=OTHER, at_ms=engine.now_ms + 2_000)
    schedule = engine.schedule("* * * * *", overlap=Overlap.QUEUE)
    engine.edited(schedule, expression="*/2 * * * *")
    engine.schedules.run(schedule)
    Groups(cell).add(OWNER, "g", [Endpoint("https://a.example/", "a")])
    engine.now_ms += 1_000

    begun, _ = worker.try_begin(*engine.claim().ids, share=SHARE)
    worker.renew(*begun)
    worker.release(events[0].id)
    child = FollowUp(f"{begun[0].id}.c1", OTHER, DEADLINE_MS)
    worker.settle(settlement(begun[0], follow_ups=(child,)))
    worker.settle(settlement(begun[1], Outcome.DEAD, reason="exhausted"))
    worker.settle(*(settlement(b, Outcome.RETRY, delay_ms=5) for b in begun[2:]))
    worker.report("d:1:abc", 20, 20)
    alive = {
        "process": "p",
        "role": "ticker",
        "ttl_ms": PERIOD_MS,
        "role_ttl_ms": PERIOD_MS,
    }
    cell.call("report_alive", alive, ["{}"])
    sent = DestinationCounts(2, 1, is_failing=True, cause="timeout")
    worker.add_counts({"1": Counts(2, 1, destinations={"https://a.example": sent})})
    HeldDestinations(cell).set_paused("1", parse("https://a.example"), paused=True)
    queues.put(OWNER, "orders", parallelism=2, paused=False)
    flow_keys.pin(OWNER, "customer", parallelism=5, rate=5, period_ms=PERIOD_MS)
    # Interrupt events repeatedly. After two interruptions in a row, a claim isolates
    # the event.
    for _ in range(3):
        worker.begin(*all_ids(engine.claim()))
        engine.tick(LEASE_MS + 1_000)
    store.cancel(OWNER, [event.id for event in events])
    letters = DeadLetters(store)
    letters.replay(OWNER, [(begun[1].id, draft)])
    letters.clear(OWNER, [begun[1].id])
    queues.delete(OWNER, "orders")
    engine.schedules.top_up(schedule.id)
    engine.now_ms += 180_000
    engine.claim()
    engine.schedules.delete(engine.schedules.get(OWNER, schedule.id))
    store.forget([event.id for event in events], before_ms=engine.now_ms)
    cell.call("erase_events", {"owner": str(OWNER)}, [event.id for event in events])
    item = ["", "nonce", str(OWNER), "in", 5, "", DEADLINE_MS, "x", "", "", "", "", ""]
    cell.call("recall_events", args=item)
    notice = Notice("store.full", "store", engine.now_ms, "It is full.")
    sent = alerts.report(cell, [Change("store", True, notice)])
    alerts.report(cell, settled=sent)
    cell.write_small(("SET", keys.full(PREFIX), 1, "PX", PERIOD_MS))
    cell.call("forget_flow_keys", {"owner": str(OWNER)}, ["customer", "nobody"])
    engine.faults()


def moved(args: Call, prefix: str) -> Call:
    """Return the arguments of a call, changed to the cell with another prefix."""
    name, count, _, *rest = args
    return name, count, prefix, *rest


def comparable(answer: Any, prefix: str) -> Any:
    """Remove the prefix of the cell from all texts in a value."""
    if isinstance(answer, (list, tuple)):
        return [comparable(each, prefix) for each in answer]
    if isinstance(answer, dict):
        return {comparable(k, prefix): comparable(v, prefix) for k, v in answer.items()}
    if isinstance(answer, str):
        return answer.replace(prefix, "")
    if isinstance(answer, bytes):
        return answer.replace(prefix.encode(), b"")
    return answer


def contents_of(client: redis.Redis, prefix: str) -> dict[str, Any]:
    """Return the contents of a cell, without the ids of stream entries.

    A key that expires during the test is left out, too.
    """
    return {
        key: [fields for _, fields in value] if ":journal:" in key else value
        for key, value in everything(client).items()
        if key.startswith((prefix, "rq:")) and key != keys.turned_away(prefix)
    }


def test_alternating_calls_of_two_cells_answer_like_a_fresh_library(
    engine: Engine,
) -> None:
    client, library = engine.client, Library(PREFIX, 0)
    engine.checks_faults = False
    with recorded(client) as calls:
        call_all_functions(engine)
    called = {args[0].removesuffix(f"_{library.version}") for args in calls}

    client.flushall()
    fresh = []
    for args in calls:
        client.function_flush()
        client.function_load(library.source)
        fresh.append((client.fcall(*args), contents_of(client, PREFIX)))
    client.flushall()
    for args, expected in zip(calls, fresh, strict=True):
        for prefix in (PREFIX, TWIN):
            answer = client.fcall(*moved(args, prefix))
            found = comparable((answer, contents_of(client, prefix)), prefix)
            assert found == comparable(expected, PREFIX), args

    assert called == set(functions.names())
