"""Tests of lists of dead letters, page by page."""

import pytest
import redis
from scheduler_api.core.model import Content, Draft, Outcome, Owner
from scheduler_api.core.queries import letters as module
from scheduler_api.core.queries.filters import Span, Target
from scheduler_api.core.queries.letters import (
    Letter,
    LetterCount,
    LetterFilter,
    Letters,
)
from scheduler_api.core.recovery.dead_letters import DeadLetters
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.records import EVENT
from tests.core.engine import OWNER, PREFIX, Engine, settlement

OTHER = Owner(OWNER.tenant, "other")
EVERY = LetterFilter()


def dead(engine: Engine, *urls: str, owner: Owner = OWNER) -> list[str]:
    """Create events that fail at the same time; return their ids, newest first."""
    ids = [
        engine.store.create(owner, Draft(Content(url, b"b"), 1_000)).id for url in urls
    ]
    engine.claim()
    for begun in engine.worker.begin(*ids):
        engine.worker.settle(settlement(begun, Outcome.DEAD))
    engine.now_ms += 1_000
    return sorted(ids, reverse=True)


def pages(
    engine: Engine, wanted: LetterFilter = EVERY, *owners: Owner, size: int = 50
) -> list[list[Letter]]:
    """Return all pages, the newest letters first."""
    found, after, letters = [], None, Letters(engine.cell, {})
    while True:
        page = letters.page(owners or [OWNER], wanted, after=after, size=size)
        found.append([*page.letters])
        if page.next is None:
            return found
        after = page.next


def ids_of(found: list[list[Letter]]) -> list[str]:
    return [letter.id for page in found for letter in page]


def test_pages_have_all_letters_of_all_owners_newest_first(engine: Engine):
    first = dead(engine, *["https://h"] * 7)
    second = dead(engine, *["https://h"] * 5, owner=OTHER)
    found = pages(engine, EVERY, OWNER, OTHER, size=3)

    assert ids_of(found) == second + first
    assert [len(page) for page in found] == [3, 3, 3, 3]


def test_a_page_stays_valid_while_letters_leave_the_list(engine: Engine):
    ids = dead(engine, *["https://h"] * 6)
    letters = Letters(engine.cell, {})
    page = letters.page([OWNER], EVERY, size=2)
    DeadLetters(engine.store).clear(OWNER, ids[:2])
    rest = letters.page([OWNER], EVERY, after=page.next)

    assert [letter.id for letter in rest.letters] == ids[2:]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (LetterFilter(target=Target("https://a/")), LetterCount(1, 1)),
        (LetterFilter(target=Target("https://c/")), LetterCount(0, 0)),
        (LetterFilter(Span(start_ms=1)), LetterCount(3, 3)),
        (LetterFilter(Span(end_ms=1)), LetterCount(0, 0)),
        (LetterFilter(label="x"), LetterCount(0, 0)),
        (LetterFilter(cause="refused"), LetterCount(0, 0)),
    ],
)
def test_letters_that_match_are_counted(
    engine: Engine, wanted: LetterFilter, expected: LetterCount
):
    dead(engine, "https://a/", "https://b/", "https://b/")

    assert Letters(engine.cell, {}).count([OWNER], wanted) == expected


def test_a_count_and_a_page_examine_only_the_newest(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "MAX_EXAMINED", 4)
    [old] = dead(engine, "https://old/")
    dead(engine, *["https://new/"] * 6)
    letters = Letters(engine.cell, {})
    wanted = LetterFilter(target=Target("https://old/"))
    page = letters.page([OWNER], wanted)

    assert letters.count([OWNER], wanted) == LetterCount(0, 3)
    assert letters.count([OWNER], EVERY) == LetterCount(7, 7)
    assert (page.letters, page.is_searched) == ([], True)
    assert ids_of(pages(engine, wanted)) == [old]


@pytest.mark.parametrize(
    ("cause", "code", "matches"),
    [
        ("500", "http-500", True),
        ("500", "http-5000", False),
        ("5xx", "http-503", True),
        ("5XX", "http-503", True),
        ("5xx", "http-404", False),
        ("http-500", "http-500", True),
        ("Refused", "refused", True),
        ("refuse", "refused", False),
        ("xx", "http-500", False),
    ],
)
def test_a_cause_is_a_code_a_status_or_a_class_of_statuses(
    cause: str, code: str, matches: bool
):
    assert LetterFilter(cause=cause).has_cause(code) is matches


def test_an_unreadable_letter_is_listed_and_a_broken_record_is_left_out(
    engine: Engine,
):
    unreadable, broken, _ = dead(engine, *["https://h"] * 3)
    engine.checks_faults = False
    engine.client.delete(f"{PREFIX}b:{unreadable}")
    engine.client.hset(f"{PREFIX}e:{broken}", EVENT.code("created_ms"), "x")
    [page] = pages(engine)

    assert [(letter.id == unreadable, letter.content is None) for letter in page] == [
        (True, True),
        (False, False),
    ]


def test_a_page_reads_the_store_a_few_times(engine: Engine):
    dead(engine, *["https://h"] * 60)
    calls: list[object] = []

    class Counting(redis.Redis):
        def execute_command(self, *args: object, **options: object) -> object:
            calls.append(args)
            return super().execute_command(*args, **options)

        def pipeline(self, *args: object, **options: object) -> object:
            calls.append("pipeline")
            return super().pipeline(*args, **options)  # type: ignore[call-overload]

    pool = engine.client.connection_pool
    cell = Cell(Counting(connection_pool=pool), PREFIX)
    Letters(cell, {}).page([OWNER], EVERY)

    assert len(calls) == 4
