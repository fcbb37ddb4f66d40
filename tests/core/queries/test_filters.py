"""Which events people ask for."""

import pytest
from dataclasses import replace
from scheduler_api.core.model import Content, Event, Owner, State
from scheduler_api.core.queries.filters import ALWAYS, Phase, Selection, Span, phase_of

EVENT = Event(
    id="1",
    owner=Owner("1", "jiter"),
    content=Content("http://example.com", b""),
    state=State.ACTIVE,
    wanted_ms=50,
    next_ms=50,
    created_ms=1,
    updated_ms=1,
    attempts=0,
    finished_ms=None,
    reason=None,
    change="",
)
DELIVERED = replace(EVENT, state=State.DELIVERED, attempts=1, finished_ms=60)
QUARANTINED = replace(EVENT, quarantined_ms=60)


@pytest.mark.parametrize(
    ("event", "phase"),
    [
        (EVENT, Phase.WAITING),
        (replace(EVENT, attempts=1), Phase.UNDER_WAY),
        (QUARANTINED, Phase.QUARANTINED),
        (DELIVERED, Phase.DELIVERED),
        (replace(DELIVERED, state=State.DEAD), Phase.DEAD),
        (replace(DELIVERED, state=State.CANCELLED), Phase.CANCELLED),
    ],
)
def test_phase_tells_how_far_an_event_is(event: Event, phase: Phase) -> None:
    assert phase_of(event) is phase


@pytest.mark.parametrize(
    ("span", "held"),
    [
        (ALWAYS, [1, 2, 3, 4]),
        (Span(2), [2, 3, 4]),
        (Span(None, 3), [1, 2, 3]),
        (Span(2, 3), [2, 3]),
        (Span(3, 2), []),
    ],
)
def test_span_includes_both_ends(span: Span, held: list[int]) -> None:
    assert [ms for ms in (1, 2, 3, 4) if span.holds(ms)] == held


def test_span_until_takes_the_earlier_end() -> None:
    assert Span(1).until(5) == Span(1, 5)
    assert Span(1, 3).until(5) == Span(1, 5).until(3) == Span(1, 3)
    assert Span(1, 3).until(None) == Span(1, 3)


def test_selection_of_nothing_in_particular_takes_everything() -> None:
    assert all(Selection().takes(event) for event in (EVENT, DELIVERED, QUARANTINED))


def test_all_conditions_must_hold() -> None:
    phases, wanted = frozenset({Phase.DELIVERED}), Span(50, 50)
    ended = {Phase.DELIVERED: Span(60, 60)}

    assert Selection(phases, wanted, ended).takes(DELIVERED)
    assert not Selection(frozenset(), wanted, ended).takes(DELIVERED)
    assert not Selection(phases, Span(51), ended).takes(DELIVERED)
    assert not Selection(phases, wanted, {Phase.DELIVERED: Span(61)}).takes(DELIVERED)


def test_condition_on_the_end_is_for_its_own_phase_only() -> None:
    selection = Selection(ended={Phase.DEAD: Span(61), Phase.QUARANTINED: Span(61)})

    assert selection.takes(DELIVERED) and selection.takes(EVENT)
    assert not selection.takes(QUARANTINED)
