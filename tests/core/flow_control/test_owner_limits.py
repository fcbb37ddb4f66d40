"""Tests of limits on the number of queues, flow-control keys and groups per owner."""

import pytest
from scheduler_api.core.errors import LimitReached
from scheduler_api.core.flow_control.flow_keys import FlowKeys
from scheduler_api.core.flow_control.queues import Queues
from scheduler_api.core.model import (
    Accepted,
    Content,
    Draft,
    FlowLimits,
    Gates,
    Owner,
    Verdict,
)
from scheduler_api.core.settings.limits import OwnerLimits
from scheduler_api.core.store import keys
from scheduler_api.core.store.gate_names import flow_gate, queue_gate
from scheduler_api.core.tenants.url_groups import DONE, Endpoint, Groups
from tests.core.engine import CONTENT, DEADLINE_MS, OWNER, PREFIX, Engine

OTHER_OWNER = Owner("2", "jiter")
TWO_OF_EACH = {OWNER.dialect: OwnerLimits(queues=2, flow_keys=2, url_groups=2)}
KINDS = {
    "queues": lambda name: Gates(queue=name),
    "keys": lambda name: Gates(flow=FlowLimits(name, rate=1)),
}


@pytest.fixture(autouse=True)
def two_of_each(engine: Engine) -> None:
    engine.set_limits(owner_limits=TWO_OF_EACH)


@pytest.fixture
def queues(engine: Engine) -> Queues:
    return Queues(engine.cell, owner_limits=TWO_OF_EACH)


@pytest.fixture
def flow_keys(engine: Engine) -> FlowKeys:
    return FlowKeys(engine.cell, owner_limits=TWO_OF_EACH)


def send(engine: Engine, *gates: Gates, owner: Owner = OWNER) -> list[Accepted]:
    drafts = [Draft(CONTENT, DEADLINE_MS, gates=each) for each in gates]
    return engine.store.create_many(owner, drafts)


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_that_needs_one_gate_too_many_is_refused_and_not_stored(
    engine: Engine, kind: str
):
    of = KINDS[kind]
    made = send(engine, of("a"), of("b"), of("c"), of("a"))
    before = engine.everything()
    [refused] = send(engine, of("d"))

    verdicts = [each.verdict for each in made]
    assert verdicts == [Verdict.OK, Verdict.OK, Verdict.LIMIT_REACHED, Verdict.OK]
    gate = queue_gate if kind == "queues" else flow_gate
    assert (refused.verdict, refused.id) == (Verdict.LIMIT_REACHED, gate(OWNER, "d"))
    assert engine.everything() == before
    assert send(engine, of("d"), owner=OTHER_OWNER)[0].verdict is Verdict.OK


def test_a_refused_large_event_leaves_no_content(engine: Engine):
    send(engine, Gates(queue="a"), Gates(queue="b"))
    sequence = keys.sequence(PREFIX)
    before = engine.everything()
    content = Content(CONTENT.url, b"x" * 10_000)
    large = Draft(content, DEADLINE_MS, gates=Gates(queue="c"))
    [refused] = engine.store.create_many(OWNER, [large])
    after = engine.everything()

    assert refused.verdict is Verdict.LIMIT_REACHED
    assert after | {sequence: before[sequence]} == before


def test_the_limit_applies_to_changes_by_hand(
    engine: Engine, queues: Queues, flow_keys: FlowKeys
):
    queues.put(OWNER, "a", parallelism=1, paused=False)
    queues.put(OWNER, "b", parallelism=1, paused=False)
    flow_keys.set_paused(OWNER, "a", paused=True)
    flow_keys.pin(OWNER, "b", rate=1)
    before = engine.everything()

    with pytest.raises(LimitReached):
        queues.put(OWNER, "c", parallelism=1, paused=False)
    with pytest.raises(LimitReached):
        flow_keys.set_paused(OWNER, "c", paused=True)
    assert engine.everything() == before
    queues.put(OWNER, "b", parallelism=2, paused=False)
    flow_keys.set_paused(OWNER, "b", paused=True)
    queues.delete(OWNER, "a")
    queues.put(OWNER, "c", parallelism=1, paused=False)


def test_occurrences_of_a_schedule_are_never_refused(engine: Engine):
    send(engine, Gates(queue="a"), Gates(queue="b"))
    schedule = engine.schedule("* * * * *", gates=Gates(queue="c"))
    engine.now_ms = schedule.times_ms[0]
    made = [each for each in engine.claim().ids if each.startswith(schedule.id)]
    made += [each for each in engine.claim().ids if each.startswith(schedule.id)]

    assert len(made) == 1
    assert engine.schedules.get(OWNER, schedule.id).options.gates == Gates(queue="c")


def test_groups_have_a_limit_and_a_repeated_change_has_the_same_answer(
    engine: Engine,
):
    groups, to = (
        Groups(engine.cell, owner_limits=TWO_OF_EACH),
        [Endpoint("https://a.example/")],
    )
    groups.add(OWNER, "a", to)
    with engine.repeating() as repeats:
        groups.add(OWNER, "b", to)

    with pytest.raises(LimitReached):
        groups.add(OWNER, "c", to)
    assert repeats.answers == [DONE]
    groups.add(OWNER, "b", [Endpoint("https://b.example/")])
    groups.add(OTHER_OWNER, "c", to)
    groups.delete(OWNER, "a")
    groups.add(OWNER, "c", to)
