"""Tests of lists of schedules, page by page."""

import pytest
import redis
from collections.abc import Mapping
from scheduler_api.core.cron.expression import FULL
from scheduler_api.core.model import (
    NO_GATES,
    Content,
    FlowLimits,
    Gates,
    Owner,
    Schedule,
    ScheduleOptions,
    ScheduleState,
)
from scheduler_api.core.queries import schedule_pages
from scheduler_api.core.queries.filters import Target
from scheduler_api.core.queries.schedule_pages import (
    ScheduleFilter,
    SchedulePages,
)
from scheduler_api.core.schedules.schedules import Schedules
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import NO_OPTIONS, Cell

OWNER, OTHER = Owner("1", "qstash"), Owner("1", "jiter")
NOW_MS = 1_900_000_000_000
ANY = ScheduleFilter()
LABELS = {"qstash": lambda options: options.get("l", ())}


@pytest.fixture
def schedules(store_client: redis.Redis) -> Schedules:
    return Schedules(Cell(store_client, "{s1}:", clock_ms=NOW_MS), grace_ms=60_000)


def create(
    schedules: Schedules,
    count: int,
    *,
    owner: Owner = OWNER,
    url: str = "https://h",
    options: Mapping[str, object] = NO_OPTIONS,
    gates: Gates = NO_GATES,
) -> list[Schedule]:
    return [
        schedules.create(
            *(owner, Content(url, b"b", options)),
            expression="0 9 * * *",
            tz="UTC",
            grammar=FULL,
            deadline_ms=1_000,
            options=ScheduleOptions(gates=gates),
        )
        for _ in range(count)
    ]


def ids_of(
    schedules: Schedules,
    wanted: ScheduleFilter = ANY,
    *owners: Owner,
    size: int = 50,
    now_ms: int = NOW_MS,
) -> list[str]:
    """Return the ids on all pages."""
    pages, after = SchedulePages(schedules._cell, LABELS), None
    found: list[str] = []
    while True:
        page = pages.read(
            owners or [OWNER], wanted, now_ms=now_ms, after=after, size=size
        )
        found += [each.id for each in page.schedules]
        if page.next is None:
            return found
        after = page.next


@pytest.mark.parametrize("size", [1, 2, 50])
def test_all_pages_have_each_schedule_once(schedules: Schedules, size: int) -> None:
    created = create(schedules, 3) + create(schedules, 2, owner=OTHER)

    found = ids_of(schedules, ANY, OWNER, OTHER, size=size)
    assert sorted(found) == sorted(each.id for each in created)
    assert len(ids_of(schedules, ANY, size=size)) == 3


def test_a_filter_selects_by_state_and_url(schedules: Schedules) -> None:
    [shop] = create(schedules, 1, url="https://shop.example/a")
    [paused] = create(schedules, 1, url="https://shop.example:8443/a")
    schedules.edit(paused, grammar=FULL, state=ScheduleState.PAUSED)

    assert ids_of(schedules, ScheduleFilter(state=ScheduleState.ACTIVE)) == [shop.id]
    assert ids_of(schedules, ScheduleFilter(state=ScheduleState.PAUSED)) == [paused.id]
    assert ids_of(
        schedules, ScheduleFilter(target=Target("https://shop.example/"))
    ) == [shop.id]
    assert len(ids_of(schedules, ScheduleFilter(target=Target("https://sh")))) == 2
    assert (
        ids_of(schedules, ScheduleFilter(target=Target("https://shop.example/b"))) == []
    )


def test_a_filter_selects_by_queue(schedules: Schedules) -> None:
    flow = FlowLimits("mail", parallelism=1)
    [mail] = create(schedules, 1, gates=Gates("mail", flow))
    [foreign] = create(schedules, 1, gates=Gates("mail"), owner=OTHER)
    create(schedules, 1, gates=Gates("mails"))
    create(schedules, 1, gates=Gates(flow=flow))
    create(schedules, 1)
    wanted = ScheduleFilter(target=Target(queue="mail"))

    assert ids_of(schedules, wanted) == [mail.id]
    assert {*ids_of(schedules, wanted, OWNER, OTHER)} == {mail.id, foreign.id}
    elsewhere = ScheduleFilter(target=Target("https://other/", "mail"))
    assert ids_of(schedules, elsewhere) == []


def test_a_filter_selects_by_label(schedules: Schedules) -> None:
    labelled, _, foreign = (
        create(schedules, 1, options=options, owner=owner)[0]
        for options, owner in (
            ({"l": ["a", "b"]}, OWNER),
            ({"l": ["ab"]}, OWNER),
            ({"l": ["b"]}, OTHER),
        )
    )

    wanted = ScheduleFilter(label="b")
    assert ids_of(schedules, wanted, OWNER, OTHER) == [labelled.id]
    assert ids_of(schedules, wanted, OTHER) == []
    assert foreign.id in ids_of(schedules, ANY, OTHER)


def test_a_schedule_whose_end_has_passed_has_ended(schedules: Schedules) -> None:
    [schedule] = create(schedules, 1)
    options = schedule.options.__class__(end_ms=NOW_MS + 1)
    schedules.edit(schedule, grammar=FULL, options=options)

    ended = ScheduleFilter(state=ScheduleState.ENDED)
    assert ids_of(schedules, ended) == []
    assert ids_of(schedules, ended, now_ms=NOW_MS + 2) == [schedule.id]


@pytest.mark.parametrize("target", [Target("https://nowhere/"), Target(queue="none")])
def test_a_page_examines_a_bounded_number(
    schedules: Schedules, monkeypatch: pytest.MonkeyPatch, target: Target
) -> None:
    monkeypatch.setattr(schedule_pages, "MAX_EXAMINED", 2)
    create(schedules, 5)
    wanted = ScheduleFilter(target=target)
    page = SchedulePages(schedules._cell, LABELS).read([OWNER], wanted, now_ms=NOW_MS)

    assert (list(page.schedules), page.is_searched) == ([], True)
    assert ids_of(schedules, wanted) == []


def test_an_unreadable_schedule_hides_no_other(
    schedules: Schedules, store_client: redis.Redis
) -> None:
    broken, lost, good = create(schedules, 3)
    store_client.delete(keys.schedule("{s1}:", broken.id))
    store_client.set(keys.schedule("{s1}:", broken.id), "x")
    store_client.delete(keys.template("{s1}:", lost.id, lost.revision))

    assert ids_of(schedules) == [good.id]
