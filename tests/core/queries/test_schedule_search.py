"""Tests of searching schedules by terms that are stored with each schedule."""

import pytest
from collections.abc import Sequence
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scheduler_api.core.cron.expression import FULL
from scheduler_api.core.model import Content, Owner, Schedule, ScheduleState
from scheduler_api.core.queries import schedule_search
from scheduler_api.core.queries.schedule_search import (
    PostFilter,
    ScheduleSearch,
    search_term,
)
from scheduler_api.core.store import keys
from tests.core.engine import CONTENT, DEADLINE_MS, OWNER, PREFIX, Engine

OTHER = Owner("2", "jiter")
RED, BLUE, ROUND = (
    search_term("colour", "red"),
    search_term("colour", "blue"),
    search_term("shape", "round"),
)


def create(engine: Engine, *search_terms: str, owner: Owner = OWNER) -> Schedule:
    engine.now_ms += 1
    return engine.schedules.create(
        owner,
        CONTENT,
        expression="0 0 1 1 *",
        tz="UTC",
        grammar=FULL,
        deadline_ms=DEADLINE_MS,
        search_terms=search_terms,
    )


def find(
    engine: Engine,
    *groups: Sequence[str],
    offset: int = 0,
    limit: int = 100,
    post_filter: PostFilter | None = None,
) -> tuple[list[str], int]:
    found = ScheduleSearch(engine.cell).find(
        OWNER, groups, offset=offset, limit=limit, post_filter=post_filter
    )
    return found.ids, found.total


def test_a_schedule_is_found_by_each_of_its_search_terms(engine: Engine):
    ball = create(engine, RED, ROUND)
    cube = create(engine, RED)

    assert find(engine, [RED]) == ([ball.id, cube.id], 2)
    assert find(engine, [ROUND]) == ([ball.id], 1)
    assert find(engine, [BLUE]) == ([], 0)
    assert engine.schedules.get(OWNER, ball.id).search_terms == (RED, ROUND)


def test_a_search_without_terms_finds_all_schedules_oldest_first(engine: Engine):
    made = [create(engine).id for _ in range(3)]

    assert find(engine) == (made, 3)
    assert find(engine, offset=1, limit=1) == ([made[1]], 3)


def test_a_schedule_must_have_one_term_of_every_group(engine: Engine):
    ball, cube, ring = (create(engine, *t) for t in [(RED, ROUND), (RED,), (BLUE,)])

    assert find(engine, [RED, BLUE]) == ([ball.id, cube.id, ring.id], 3)
    assert find(engine, [RED, BLUE], [ROUND]) == ([ball.id], 1)
    assert find(engine, [BLUE], [ROUND]) == ([], 0)


def test_other_owners_do_not_find_a_schedule(engine: Engine):
    create(engine, RED, owner=OTHER)

    assert find(engine, [RED]) == ([], 0)
    assert find(engine) == ([], 0)


def test_only_an_edit_of_the_terms_replaces_them(engine: Engine):
    schedule = create(engine, RED, ROUND)

    edited = engine.schedules.edit(schedule, grammar=FULL, search_terms=[ROUND, BLUE])
    paused = engine.schedules.edit(edited, grammar=FULL, state=ScheduleState.PAUSED)

    assert paused.search_terms == (ROUND, BLUE)
    assert find(engine, [RED])[1] == 0
    assert find(engine, [BLUE], [ROUND]) == ([schedule.id], 1)
    bare = engine.schedules.edit(paused, grammar=FULL, search_terms=[])
    assert bare.search_terms == ()
    assert "search_terms" not in engine.schedule_record(schedule.id)
    assert engine.client.keys(keys.search_term(PREFIX, "*", "*")) == []


def test_a_repeated_creation_stores_the_same_terms(engine: Engine):
    with engine.repeating() as repeats:
        schedule = create(engine, RED)

    assert schedule.search_terms == (RED,)
    assert engine.everything() == repeats.stored


def test_a_deletion_removes_the_search_terms(engine: Engine):
    engine.schedules.delete(create(engine, RED, ROUND))

    assert find(engine, [RED]) == ([], 0)
    assert engine.client.keys(keys.search_term(PREFIX, "*", "*")) == []


def test_a_post_filter_applies_only_to_schedules_with_its_term(engine: Engine):
    good, bad = create(engine, ROUND), create(engine, ROUND)
    sure = create(engine, RED)
    create(engine, BLUE)
    filtered: list[str] = []

    def matching(schedule_ids: Sequence[str]) -> set[str]:
        filtered.extend(schedule_ids)
        return {good.id}

    found = find(engine, [RED, ROUND], post_filter=PostFilter(ROUND, matching))

    assert found == ([good.id, sure.id], 2)
    assert filtered == [good.id, bad.id]
    assert find(engine, [RED], post_filter=PostFilter(ROUND, matching)) == (
        [sure.id],
        1,
    )
    assert find(
        engine, [RED, BLUE], limit=0, post_filter=PostFilter(ROUND, matching)
    ) == (
        [],
        2,
    )


SHAPES = [search_term("shape", str(n)) for n in range(4)]
COLOURS = [search_term("colour", str(n)) for n in range(4)]
OWNED = st.tuples(st.sets(st.sampled_from(SHAPES)), st.sets(st.sampled_from(COLOURS)))


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    owned=st.lists(OWNED, max_size=12),
    shapes=st.lists(st.sampled_from(SHAPES), max_size=4),
    colours=st.lists(st.sampled_from(COLOURS), max_size=4),
    part=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    bounds=st.sampled_from([(0, 0), (0, 40_000), (2_000, 40_000)]),
)
def test_every_search_method_finds_the_same_schedules(
    engine: Engine, *, owned, shapes, colours, part: tuple[int, int], bounds
):
    offset, limit = part
    engine.client.flushall()
    made = [(create(engine, *s, *c).id, s, c) for s, c in owned]
    groups = [group for group in (shapes, colours) if group]
    expected = [
        schedule_id
        for schedule_id, s, c in made
        if (not shapes or s & set(shapes)) and (not colours or c & set(colours))
    ]
    kept = schedule_search.FEW_MATCHES, schedule_search.MAX_COMBINED
    schedule_search.FEW_MATCHES, schedule_search.MAX_COMBINED = bounds
    try:
        found = find(engine, *groups, offset=offset, limit=limit)
    finally:
        schedule_search.FEW_MATCHES, schedule_search.MAX_COMBINED = kept

    assert found == (expected[offset : offset + limit], len(expected))


@pytest.mark.parametrize("page", [1, 2])
def test_a_walk_over_several_pages_finds_each_schedule_once(
    engine: Engine, monkeypatch, page: int
):
    monkeypatch.setattr(schedule_search, "FIRST_PAGE", page)
    monkeypatch.setattr(schedule_search, "LARGEST_PAGE", 2)
    both = [create(engine, RED, BLUE, ROUND).id for _ in range(3)]
    one = create(engine, BLUE, ROUND).id

    many = [search_term("colour", str(n)) for n in range(7)]
    create(engine, *many)

    assert find(engine, [RED, BLUE, *many], [ROUND]) == ([*both, one], 4)


def test_the_order_of_the_words_of_a_term_matters():
    assert search_term("a", "b") != search_term("b", "a")
    assert search_term("a", "b") != search_term("a b")
    assert len(search_term("x" * 10_000)) == 12


def test_fsck_reports_search_terms_that_do_not_match_the_schedule(engine: Engine):
    schedule = create(engine, RED)
    engine.checks_faults = False
    engine.client.zadd(keys.search_term(PREFIX, str(OWNER), BLUE), {schedule.id: 1})
    engine.client.delete(keys.search_term(PREFIX, str(OWNER), RED))

    assert sorted(engine.faults()) == [
        f"s:{schedule.id}: is indexed under 0 of its 1 search terms",
        f"tm:{OWNER}:{BLUE} {schedule.id}: does not have this search term",
    ]


def test_an_edit_of_the_content_keeps_the_search_terms(engine: Engine):
    schedule = create(engine, RED)

    engine.schedules.edit(
        schedule, grammar=FULL, content=Content("https://other.example/", b"x")
    )

    assert find(engine, [RED]) == ([schedule.id], 1)
