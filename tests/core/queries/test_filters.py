"""Tests of filters for lists of events."""

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
def test_the_phase_depends_on_state_attempts_and_quarantine(
    event: Event, phase: Phase
) -> None:
    assert phase_of(event) is phase


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (ALWAYS, [1, 2, 3, 4]),
        (Span(2), [2, 3, 4]),
        (Span(None, 3), [1, 2, 3]),
        (Span(2, 3), [2, 3]),
        (Span(3, 2), []),
    ],
)
def test_a_span_includes_both_ends(span: Span, expected: list[int]) -> None:
    assert [ms for ms in (1, 2, 3, 4) if span.contains(ms)] == expected


def test_until_keeps_the_earlier_end() -> None:
    assert Span(1).until(5) == Span(1, 5)
    assert Span(1, 3).until(5) == Span(1, 5).until(3) == Span(1, 3)
    assert Span(1, 3).until(None) == Span(1, 3)


def test_the_default_selection_matches_every_event() -> None:
    assert all(Selection().matches(event) for event in (EVENT, DELIVERED, QUARANTINED))


def test_an_event_must_meet_all_conditions() -> None:
    phases, wanted = frozenset({Phase.DELIVERED}), Span(50, 50)
    ended = {Phase.DELIVERED: Span(60, 60)}

    assert Selection(phases, wanted, ended).matches(DELIVERED)
    assert not Selection(frozenset(), wanted, ended).matches(DELIVERED)
    assert not Selection(phases, Span(51), ended).matches(DELIVERED)
    assert not Selection(phases, wanted, {Phase.DELIVERED: Span(61)}).matches(DELIVERED)


def test_a_condition_on_the_end_applies_to_its_phase_only() -> None:
    selection = Selection(ended={Phase.DEAD: Span(61), Phase.QUARANTINED: Span(61)})

    assert selection.matches(DELIVERED) and selection.matches(EVENT)
    assert not selection.matches(QUARANTINED)
