"""Tests of breakers: when they open, slow and close, and which events they hold."""

import pytest
from scheduler_api.core.flow_control.held_destinations import HeldDestinations
from scheduler_api.core.model import (
    FlowLimits,
    Gates,
    Outcome,
    Owner,
)
from scheduler_api.core.store import keys
from scheduler_api.core.store.gate_names import (
    destination_digest,
    destination_gate,
    flow_gate,
    route_digest,
)
from scheduler_api.core.store.leases import Share
from scheduler_api.core.store.records import EVENT
from tests.core.engine import OWNER, PREFIX, Engine, ids
from tests.core.gated import CHECK_EVERY_MS, begin, finish, offer, send
from tests.sync_worker import outcomes

HOST = "https://shop.example"
BAD, GOOD = f"{HOST}/bad", f"{HOST}/good"
HOLD_MS, TRICKLE = 5_000, 5
PERIOD_MS = 1_020


def route(url: str) -> str:
    return destination_gate(OWNER.tenant, route_digest(url))


def origin(url: str) -> str:
    return destination_gate(OWNER.tenant, destination_digest(url))


def fail(engine: Engine, url: str, *, times: int = 20) -> dict[str, str]:
    """Report failures of a route, as a worker does."""
    return engine.worker.report_all(
        {route(url): outcomes("r" * times), origin(url): outcomes_of_origin(times)}
    )


def outcomes_of_origin(attempts: int):
    return outcomes("")._replace(attempts=attempts, latest="r" * 10)


def held(engine: Engine) -> set[str]:
    return engine._hash(keys.held_destinations(PREFIX)).keys()


def per_second(engine: Engine, seconds: int, **how: object) -> list[int]:
    """Begin and settle what may begin in each second; return the numbers."""
    numbers = []
    for _ in range(seconds):
        begun = begin(engine)
        finish(engine, *begun, **how)
        begun += (more := begin(engine))
        finish(engine, *more, **how)
        numbers.append(len(begun))
        engine.now_ms += PERIOD_MS
    return numbers


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (f"{HOST}/users/7/hook", f"{HOST}/users/8/hook?x=1", True),
        (f"{HOST}/users/7/hook", f"{HOST}/users/8/mail", False),
        (f"{HOST}/a", f"{HOST}/b", False),
        (f"{HOST}/a", f"{HOST}/A", False),
        (f"{HOST}/a?x", f"{HOST}/a#y", True),
        (HOST, f"{HOST}/", True),
        (f"{HOST}?a=1", f"{HOST}/?b=2", True),
        (f"{HOST}/{'x' * 33}", f"{HOST}/{'y' * 40}", True),
        (f"{HOST}/{'x' * 32}", f"{HOST}/{'y' * 32}", False),
        (f"{HOST}/a/1b/c2", f"{HOST}/a/3/4", True),
        (f"{HOST}/a/1/", f"{HOST}/a/1", False),
        ("https://Shop.example:443/a", f"{HOST}/a", True),
        ("https://shop.example:8443/a", f"{HOST}/a", False),
        (f"{HOST}/\u00fc/a", f"{HOST}/%C3%BC/a", True),
    ],
)
def test_a_route_is_an_origin_and_a_path_without_ids(one: str, other: str, same: bool):
    assert (route_digest(one) == route_digest(other)) == same


def test_a_group_has_no_route():
    assert route_digest("a-group") == ""


def test_r17_a_failing_route_does_not_hold_the_other_routes_of_its_origin(
    engine: Engine,
):
    assert fail(engine, BAD) == {route(BAD): "slowed"}
    bad, [good] = send(engine, [BAD] * 20), send(engine, [GOOD])

    begun = begin(engine)

    assert good in ids(begun)
    assert len(set(bad) & set(ids(begun))) == TRICKLE
    assert held(engine) == {route(BAD)}


def test_r17_a_slowed_route_gets_its_events_in_the_trickle_oldest_first(engine: Engine):
    fail(engine, BAD)
    accepted = send(engine, [BAD] * 25)
    sent = []
    for _ in range(5):
        begun = begin(engine)
        finish(engine, *begun, outcome=Outcome.DEAD, reason="exhausted")
        sent += ids(begun)
        assert len(begin(engine)) == 0
        engine.now_ms += PERIOD_MS

    assert sent == accepted


def test_a_slowed_route_gets_few_attempts_at_the_same_time(engine: Engine):
    fail(engine, BAD)
    send(engine, [BAD] * 25)
    begun = begin(engine)
    engine.now_ms += 10_000

    assert (len(begun), begin(engine)) == (TRICKLE, [])
    finish(engine, begun[0])
    assert len(begin(engine)) == 1


@pytest.mark.parametrize(
    ("attempts", "every_ms", "per_s"),
    [(100, 0, 10), (99, 0, 9), (50, 2_000, 5), (600, 2_000, 10), (20, 0, 5)],
)
def test_a_busy_route_is_slowed_to_a_tenth_of_its_rate(
    engine: Engine, attempts: int, every_ms: int, per_s: int
):
    for _ in range(3 if every_ms else 0):
        engine.worker.report(route(BAD), 0, 0)
        engine.now_ms += every_ms
    fail(engine, BAD, times=attempts)
    send(engine, [BAD] * 60)

    assert per_second(engine, 2) == [per_s] * 2


@pytest.mark.parametrize("gate", [route(BAD), origin(BAD)])
def test_a_probe_that_says_nothing_delays_the_next_one(engine: Engine, gate: str):
    latest = "nnn" if gate == route(BAD) else "o" * 20
    engine.worker.report_all({gate: outcomes(latest, delay_ms=HOLD_MS)})
    send(engine, [BAD] * 9)
    begin(engine)
    engine.now_ms += HOLD_MS
    [probe] = begin(engine)
    report = outcomes("")._replace(latest_held="x", cause="the address is blocked")
    change = engine.worker.report_all({gate: report})
    finish(engine, probe, outcome=Outcome.DEAD, reason="exhausted")
    engine.now_ms += 2 * HOLD_MS - 1

    assert change == {gate: "probe_failed"}
    assert begin(engine) == []
    engine.now_ms += 1
    assert len(begin(engine)) == 1


def test_attempts_that_say_nothing_change_no_other_state(engine: Engine):
    fail(engine, BAD)
    report = outcomes("")._replace(latest_held="x" * 10)

    assert engine.worker.report_all({route(BAD): report}) == {}
    assert engine.worker.report(route(BAD), 3, 0) == "half_open"
    assert engine.worker.report_all({route(BAD): report}) == {}


def test_a_retry_joins_the_line_at_its_due_time(engine: Engine):
    fail(engine, BAD)
    accepted = send(engine, [BAD] * 6)
    begun = begin(engine)
    finish(engine, begun[0], outcome=Outcome.RETRY, delay_ms=500)
    finish(engine, *begun[1:])
    engine.now_ms += PERIOD_MS

    again = begin(engine)

    assert ids(again) == [accepted[5], begun[0].id]
    assert [each.attempt for each in again] == [1, 2]


def test_one_success_does_not_end_the_trickle_but_five_of_ten_do(engine: Engine):
    fail(engine, BAD)
    send(engine, [BAD] * 40)
    begin(engine)

    answers = [engine.worker.report(route(BAD), 1, int(n % 2 == 0)) for n in range(9)]

    assert answers == [""] * 9
    assert engine.worker.report(route(BAD), 1, 0) == "half_open"


def test_three_successes_are_enough_if_few_events_wait(engine: Engine):
    fail(engine, BAD)

    answers = [engine.worker.report(route(BAD), 1, 0) for _ in range(3)]

    assert answers == ["", "", "half_open"]


def test_r15_a_recovered_route_gets_its_events_at_a_rising_rate(engine: Engine):
    fail(engine, BAD)
    send(engine, [BAD] * 100)
    engine.worker.report(route(BAD), 10, 0)

    assert per_second(engine, 6) == [5, 5, 10, 10, 20, 20]


def test_a_ramp_with_failures_goes_back_to_the_trickle(engine: Engine):
    fail(engine, BAD)
    send(engine, [BAD] * 100)
    begin(engine)
    engine.worker.report(route(BAD), 10, 0)
    engine.now_ms += 4_000

    assert engine.worker.report(route(BAD), 5, 4) == ""
    assert engine.worker.report(route(BAD), 1, 1) == "slowed"
    assert begin(engine) == []


@pytest.mark.parametrize(("waiting", "later_ms"), [(0, 0), (100, 60_000)])
def test_a_ramp_ends_when_nobody_waits_or_after_a_minute(
    engine: Engine, waiting: int, later_ms: int
):
    fail(engine, BAD)
    send(engine, [BAD] * waiting)
    begun = begin(engine)
    engine.worker.report(route(BAD), 10, 0)
    engine.now_ms += later_ms

    assert engine.worker.report(route(BAD), 1, 0) == "closed"
    assert held(engine) == set()
    finish(engine, *begun)
    assert len(begin(engine)) == max(0, waiting - len(begun))


def test_a_claim_reports_a_breaker_that_it_closes_because_nobody_waits(engine: Engine):
    fail(engine, BAD)
    engine.worker.report(route(BAD), 3, 0)
    engine.now_ms += CHECK_EVERY_MS

    assert engine.claim().closed == ("https://failing.example/a",)
    assert held(engine) == set()
    assert engine.claim().closed == ()


def test_an_unreachable_origin_holds_all_its_routes(engine: Engine):
    engine.worker.report(origin(BAD), 20, 20)
    send(engine, [BAD, GOOD])

    assert begin(engine) == []
    engine.now_ms += HOLD_MS
    assert len(begin(engine)) == 1


@pytest.mark.parametrize(
    ("dialect", "held_ms"), [("qstash", 60_000), ("jiter", 300_000)]
)
def test_events_held_for_the_longest_time_go_in_the_trickle(
    engine: Engine, dialect: str, held_ms: int
):
    engine.worker.report(origin(BAD), 20, 20)
    accepted = send(engine, [BAD, GOOD] * 10, owner=Owner("1", dialect))
    accepted_ms = engine.now_ms
    begin(engine)
    engine.now_ms += HOLD_MS
    [probe] = begin(engine)
    engine.worker.report(origin(BAD), 1, 1)
    finish(engine, probe, outcome=Outcome.DEAD, reason="exhausted")
    engine.now_ms = accepted_ms + HOLD_MS + 1
    before = begin(engine)
    engine.now_ms = accepted_ms + held_ms
    sent = []
    for _ in range(4):
        begun = begin(engine)
        sent += ids(begun)
        engine.worker.report(origin(BAD), len(begun), len(begun))
        finish(engine, *begun, outcome=Outcome.DEAD, reason="exhausted")
        engine.now_ms += PERIOD_MS

    assert (before, sent[:TRICKLE]) == ([], accepted[1 : 1 + TRICKLE])
    assert {probe.id, *sent} == set(accepted)


def test_three_failing_routes_slow_the_origin_if_nothing_succeeds_there(engine: Engine):
    urls = [f"{HOST}/{name}" for name in ("a", "b", "c")]
    changes = []
    for url in urls:
        changes.append(fail(engine, url))
        engine.now_ms += 1_000
    send(engine, urls * 10)

    assert changes[2] == {route(urls[2]): "slowed", origin(BAD): "slowed"}
    assert per_second(engine, 2)[1] == TRICKLE


def test_a_success_elsewhere_keeps_the_origin_closed(engine: Engine):
    engine.worker.report(origin(BAD), 1, 0)
    for name in ("a", "b", "c"):
        assert origin(BAD) not in fail(engine, f"{HOST}/{name}")


def test_routes_that_ask_for_a_delay_do_not_slow_the_origin(engine: Engine):
    for name in ("a", "b", "c"):
        url = f"{HOST}/{name}"
        engine.worker.report_all({route(url): outcomes("nnn", delay_ms=9_000)})
    engine.worker.report_all({origin(BAD): outcomes("n", delay_ms=9_000)})

    assert origin(BAD) not in held(engine)


def test_routes_that_nobody_tried_pass_an_origin_that_is_slowed(engine: Engine):
    failing = [f"{HOST}/{name}" for name in ("a", "b", "c")]
    for url in failing:
        fail(engine, url)
    send(engine, failing * 20)
    trickle = begin(engine)
    new = send(engine, [f"{HOST}/new/{name}" for name in "abcdefgh"])

    assert len(trickle) == TRICKLE
    assert ids(begin(engine)) == new[:5]
    engine.now_ms += PERIOD_MS
    assert ids(begin(engine)) == new[5:]


def test_a_route_with_a_success_passes_an_origin_that_is_slowed(engine: Engine):
    for name in ("a", "b", "c"):
        fail(engine, f"{HOST}/{name}")
    engine.worker.report(route(GOOD), 1, 0)
    good = send(engine, [GOOD] * 30)

    assert ids(begin(engine)) == good


def slow_origin(engine: Engine) -> list[str]:
    """Let three routes of the origin fail; return their URLs."""
    failing = [f"{HOST}/{name}" for name in ("a", "b", "c")]
    for url in failing:
        fail(engine, url)
    assert origin(BAD) in held(engine)
    return failing


def test_a_healthy_route_passes_its_origin_also_during_the_ramp(engine: Engine):
    send(engine, slow_origin(engine) * 30)
    begin(engine)
    engine.worker.report(route(GOOD), 1, 0)
    changes = engine.worker.report_all({origin(BAD): outcomes("s" * 5)})
    good = send(engine, [GOOD] * 30)

    assert changes == {origin(BAD): "half_open"}
    assert set(good) <= set(ids(begin(engine)))


def test_only_attempts_that_an_origin_holds_count_for_its_breaker(engine: Engine):
    [bad, *_] = slow_origin(engine)
    engine.worker.report(route(GOOD), 1, 0)
    send(engine, [bad, GOOD, f"{HOST}/new"])

    flags = {
        each.content.url: (each.origin_held, each.route_held, each.passes_origin)
        for each in begin(engine)
        if each.content
    }

    assert flags == {
        bad: (True, True, False),
        GOOD: (False, False, True),
        f"{HOST}/new": (True, False, False),
    }


def test_new_routes_have_no_limit_when_their_origin_is_closed(engine: Engine):
    failing = slow_origin(engine)
    send(engine, [GOOD] * 60)
    finish(engine, *begin(engine))
    for gate in [*map(route, failing), origin(BAD)]:
        for latest in ("s" * 10, "s"):
            engine.worker.report_all({gate: outcomes(latest)})
    assert held(engine) == set()
    engine.now_ms += CHECK_EVERY_MS

    assert len(begin(engine)) == 55


def test_an_event_of_a_new_route_waits_without_a_slot_of_its_flow_key(engine: Engine):
    slow_origin(engine)
    flow_keys = [f"key{n}" for n in range(6)]
    for key in flow_keys:
        gates = Gates(flow=FlowLimits(key, 2, None, 0))
        send(engine, [f"{HOST}/{key[:3]}/new"] * 20, gates=gates)
    running = []
    for step in range(20):
        running += begin(engine)
        waiting = engine.scores(keys.waiters(PREFIX, f"{origin(BAD)}.new")).keys()
        for key in flow_keys:
            holders = engine.client.smembers(
                keys.holders(PREFIX, flow_gate(OWNER, key))
            )
            assert waiting.isdisjoint(each.decode() for each in holders)
        if step % 2:
            finish(engine, *running)
            running = []
        engine.now_ms += 250
    finish(engine, *running)


def test_events_of_new_routes_are_shown_as_held_by_their_origin(engine: Engine):
    slow_origin(engine)
    accepted = send(engine, [GOOD] * 8)
    begin(engine)

    shown = HeldDestinations(engine.cell).all()
    found = engine.get(accepted[-1]).held

    assert sorted(each.waiting for each in shown) == [0, 0, 0, 3]
    assert found and found.by == HOST


def test_the_shared_route_counts_once_for_its_origin(engine: Engine):
    shared = f"{origin(BAD)}.*"
    engine.worker.report_all({shared: outcomes("r" * 20)})

    assert held(engine) == {shared}
    assert fail(engine, f"{HOST}/a") == {route(f"{HOST}/a"): "slowed"}
    assert origin(BAD) in fail(engine, f"{HOST}/b")


def test_a_destination_over_its_share_keeps_the_ramp_of_its_breaker(engine: Engine):
    engine.worker.report(origin(BAD), 20, 20)
    send(engine, [BAD] * 200)
    begin(engine)
    engine.worker.report(origin(BAD), 1, 0)
    engine.now_ms += 4_000
    share: Share = {"limit": 1, "in_flight": {origin(BAD): 1, "d:1:x": 1}}
    begun, refused = engine.worker.try_begin(*offer(engine), share=share)
    engine.now_ms += PERIOD_MS

    assert (begun, set(refused.values())) == ([], {"held"})
    assert len(begin(engine)) == 4 * 16


def test_a_breaker_without_waiters_is_not_checked_until_it_is_idle(engine: Engine):
    fail(engine, BAD)
    check = f"g:{route(BAD)}"
    slowed_ms = engine.now_ms
    planned = [engine.due()[check] - slowed_ms]
    engine.now_ms += 1_000
    engine.worker.report(route(BAD), 1, 1)
    engine.now_ms = slowed_ms + 600_000
    engine.claim()
    planned.append(engine.due()[check] - slowed_ms)
    engine.now_ms = slowed_ms + 601_000

    assert planned == [600_000, 605_000]
    assert engine.claim().closed == ()
    engine.now_ms = slowed_ms + 605_000
    assert engine.claim().closed == ("https://failing.example/a",)


def test_three_requests_for_a_delay_open_the_route_until_then(engine: Engine):
    gate = route(BAD)
    delays = [
        engine.worker.report_all({gate: outcomes("n", delay_ms=ms)}).get(gate, "")
        for ms in (30_000, 20_000, 10_000)
    ]
    [event_id] = send(engine, [BAD])

    assert delays == ["", "", "open"]
    assert begin(engine) == []
    engine.now_ms += 9_999
    assert begin(engine) == []
    engine.now_ms += 1
    [probe] = begin(engine)
    assert (probe.id, probe.attempt, probe.route_held) == (event_id, 1, True)


def test_requests_for_a_delay_that_are_not_in_a_row_change_nothing(engine: Engine):
    gate = route(BAD)
    for latest in ("nn", "s", "n", "rn", "n"):
        report = {gate: outcomes(latest, delay_ms=10_000)}
        assert engine.worker.report_all(report) == {}


def test_a_delay_holds_a_route_for_at_most_a_minute(engine: Engine):
    engine.worker.report_all({route(BAD): outcomes("nnn", delay_ms=3_600_000)})
    send(engine, [BAD])
    begin(engine)
    engine.now_ms += 60_000

    assert len(begin(engine)) == 1


def test_a_waiting_event_holds_no_slot_and_keeps_its_turn_in_its_queue(engine: Engine):
    fail(engine, BAD)
    begun = [*send(engine, [BAD] * TRICKLE)] and begin(engine)
    first = send(engine, [BAD, GOOD], gates=Gates(queue="slow"))
    other = send(engine, [GOOD], gates=Gates(queue="other"))

    assert ids(begin(engine)) == other
    finish(engine, *begun)
    engine.now_ms += PERIOD_MS
    [head] = begin(engine)
    assert head.id == first[0]
    finish(engine, head)
    assert ids(begin(engine)) == first[1:]


def test_a_held_event_can_be_cancelled(engine: Engine):
    engine.worker.report(origin(BAD), 20, 20)
    [event_id] = send(engine, [BAD])
    begin(engine)
    engine.store.cancel(OWNER, [event_id])

    assert engine.get(event_id).state == "cancelled"
    assert engine.scores(keys.waiters(PREFIX, origin(BAD))) == {}


def test_an_origin_has_a_limited_number_of_routes(engine: Engine):
    for n in range(70):
        url = f"{HOST}/{chr(97 + n // 26)}{chr(97 + n % 26)}"
        engine.worker.report(route(url), 1, 1)

    assert engine.client.zcard(keys.routes_of(PREFIX, origin(BAD))) == 64
    assert engine.worker.report(route(f"{HOST}/last"), 20, 20) == "slowed"
    assert held(engine) == {f"{origin(BAD)}.*1"}
    send(engine, [f"{HOST}/another"] * 9 + [f"{HOST}/aa"] * 9)
    assert len(begin(engine)) == 9 + TRICKLE


def test_many_failing_routes_do_not_hold_one_with_another_number_of_segments(
    engine: Engine,
):
    urls = [
        f"{HOST}/t/{chr(97 + n // 26)}{chr(97 + n % 26)}/hook?key=1" for n in range(90)
    ]
    for url in urls:
        engine.worker.report_all({route(url): outcomes("r")})
    failing = send(engine, urls * 2)
    [good] = send(engine, [GOOD])

    begun = begin(engine)

    assert held(engine) == {f"{origin(BAD)}.*3"}
    assert good in ids(begun)
    assert len(begun) == 2 * 64 + TRICKLE + 1
    [waiting] = [id for id in failing[64:90] if id not in ids(begun)][-1:]
    assert engine.get(waiting).held.by == f"{HOST}/*/*/*"
    assert engine.worker.report_all({route(urls[-1]): outcomes("sssss")}) == {
        route(urls[-1]): "half_open"
    }


def test_a_cell_forgets_the_route_that_was_reported_longest_ago(engine: Engine):
    names = [f"d:2:{n // 64:012x}.{n % 64:08x}" for n in range(10_000)]
    engine.client.zadd(keys.routes(PREFIX), {name: n for n, name in enumerate(names)})
    engine.client.hset(keys.held_destinations(PREFIX), names[0], 1)
    engine.checks_faults = False

    engine.worker.report(route(BAD), 1, 1)

    tracked = keys.routes(PREFIX)
    scores = engine.client.zmscore(tracked, [*names[:2], names[2], route(BAD)])
    assert [score is not None for score in scores] == [True, False, True, True]
    assert engine.client.zcard(tracked) == 10_000


def test_the_shared_route_of_a_cell_without_room_holds_its_events(engine: Engine):
    names = [f"d:2:{n // 64:012x}.{n % 64:08x}" for n in range(10_000)]
    engine.client.zadd(keys.routes(PREFIX), {name: n for n, name in enumerate(names)})
    engine.client.hset(
        keys.held_destinations(PREFIX), mapping=dict.fromkeys(names[:16], 1)
    )
    engine.checks_faults = False

    fail(engine, BAD)
    send(engine, [BAD] * 50)

    assert held(engine) - set(names) == {f"{origin(BAD)}.*1"}
    assert len(begin(engine)) == TRICKLE
    assert fail(engine, GOOD) == {route(GOOD): "slowed"}


def test_routes_that_nobody_reported_lately_make_room(engine: Engine):
    for n in range(70):
        engine.worker.report(
            route(f"{HOST}/{chr(97 + n // 26)}{chr(97 + n % 26)}"), 1, 1
        )
    engine.now_ms += 61_000

    engine.worker.report(route(f"{HOST}/last"), 20, 20)

    assert held(engine) == {route(f"{HOST}/last")}


def test_an_event_stored_without_a_route_belongs_to_the_shared_route(engine: Engine):
    [event_id] = send(engine, [BAD])
    key = keys.event(PREFIX, event_id)
    engine.client.hset(key, EVENT.code("destination"), destination_digest(BAD))
    [begun] = engine.worker.begin(*offer(engine))

    assert begun.origin == origin(BAD)
    assert begun.route == f"{origin(BAD)}.*"


def test_events_of_a_route_that_a_worker_paused_are_offered_again(engine: Engine):
    bad, [good] = send(engine, [BAD] * 3), send(engine, [GOOD])
    begun, refused = engine.worker.try_begin(*offer(engine), paused_routes=[route(BAD)])
    at_once = begin(engine)
    engine.now_ms += 200

    assert (ids(begun), refused) == ([good], dict.fromkeys(bad, "held"))
    assert (at_once, sorted(ids(begin(engine)))) == ([], sorted(bad))


def test_fsck_detects_a_breaker_that_holds_nothing(engine: Engine):
    engine.checks_faults = False
    fail(engine, BAD)
    assert engine.faults() == []
    engine.client.hdel(keys.held_destinations(PREFIX), route(BAD))

    [fault] = engine.faults()
    assert "has a breaker, but is missing in held_destinations" in fault
