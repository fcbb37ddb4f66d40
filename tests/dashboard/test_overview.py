"""Tests of the overview: whether anything is late, fails or is held."""

import asyncio
import pytest
import redis
from collections import Counter
from collections.abc import Sequence
from scheduler_api.core.delivery.destinations import parse
from scheduler_api.core.flow_control.held_destinations import HeldDestinations
from scheduler_api.core.flow_control.queues import Queues
from scheduler_api.core.model import Content, Draft, Gates
from scheduler_api.core.queries import due_times
from scheduler_api.core.queries.recent_hours import RecentHours
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.processes import Process
from scheduler_api.core.store.statistics import (
    HOUR_MS,
    MINUTE_MS,
    Counts,
    DestinationCounts,
    Hour,
    bucket_of,
)
from scheduler_api.dashboard import charts
from scheduler_api.web import banners, readiness
from scheduler_api.web.readiness import Answer
from tests.dashboard.browser import Browser, sign_in
from tests.dialects.engine import Engine, Web
from tests.procfile import PROCFILE
from tests.sync_worker import AwaitableClient, add_counts
from typing import Any, cast

DIALECT = "qstash"


def create(web: Web, url: str = "https://h/x", **how: Any) -> str:
    """Create an event; return its id."""
    draft = Draft(Content(url, b""), 1_000, **how)
    return web.store.create(web.owner(DIALECT), draft).id


def count(web: Web, counts: Counts) -> None:
    """Count attempts of the tenant, as a worker does."""
    client = cast(Any, AwaitableClient(web.cell.client))
    asyncio.run(add_counts(web.cell, client, {web.tenant.id: counts}))


def began(*late_ms: int) -> Counts:
    """First attempts that began so late."""
    return Counts(late=Counter(map(bucket_of, late_ms)), late_ms=sum(late_ms))


def test_the_overview_says_that_nothing_is_late(web: Web, browser: Browser) -> None:
    before = browser.text("/overview")
    count(web, began(*[3] * 98, 90, 90))

    assert "Nothing is late. No event began in the last" in before
    text = browser.text("/overview")
    assert "Nothing is late. Of 100 events in the last" in text
    assert "half began within 5 ms of their time, and 99 % within 100 ms of it." in text


def test_the_overview_says_how_late_events_begin(web: Web, browser: Browser) -> None:
    count(web, began(*[3] * 98, 4_000, 400_000))
    text = browser.text("/overview")

    assert "Some events began late." in text
    assert "within 5 ms of their time, and 99 % within 5.0 s of it." in text


def test_the_overview_says_that_a_few_events_begin_very_late(
    web: Web, browser: Browser
) -> None:
    count(web, began(*[3] * 90, *[400_000] * 10))
    text = browser.text("/overview")

    assert "of their time, but over 1 % more than 5 min after it." in text


def test_each_tenant_sees_its_own_lateness(web: Web) -> None:
    other = sign_in(web, web.tenants.create("other").token)
    operator = sign_in(web, web.tenants.tokens.create(None, "boss"))
    count(web, began(400_000))

    assert "No event began" in other.text("/overview")
    assert "more than half began over 5 min after their time." in operator.text(
        "/overview"
    )


def failed(name: str, cause: str, count: int) -> Counts:
    counts = DestinationCounts(0, count, is_failing=True, cause=cause)
    return Counts(0, count, Counter({cause: count}), destinations={name: counts})


def delivered(name: str, count: int) -> Counts:
    return Counts(count, destinations={name: DestinationCounts(count)})


def operator(web: Web) -> Browser:
    return sign_in(web, web.tenants.tokens.create(None, "boss"))


def test_an_event_that_is_due_for_seconds_is_late(web: Web, browser: Browser) -> None:
    engine = Engine(web.cell.client, web.cell.prefix)
    event = create(web)
    begun = engine.begin(event)
    engine.settle(begun, "retry", delay_ms=0, now_ms=web.cell.now_ms() - 7_000)
    viewers = [browser, operator(web)]

    for viewer in viewers:
        text = viewer.text("/overview")
        assert "Events are late: one has been due for 7." in text


def test_an_event_that_waits_for_its_retry_or_at_a_gate_is_not_late(web: Web) -> None:
    engine = Engine(web.cell.client, web.cell.prefix)
    event = create(web)
    engine.settle(engine.begin(event), "retry", delay_ms=60_000)
    create(web, gates=Gates(queue="orders"))
    Queues(web.cell).set_paused(web.owner(DIALECT), "orders", paused=True)
    engine.offer()
    later_ms = web.cell.now_ms() + 1_000

    owners = [web.owner(DIALECT)]
    assert due_times.oldest_due_ms(web.cell, owners, now_ms=later_ms) is None


def test_the_overview_names_what_fails_and_why(web: Web, browser: Browser) -> None:
    count(web, delivered("https://shop.example", 3))
    before = browser.text("/overview")
    count(web, failed("https://shop.example", "refused", 1))
    count(web, failed("https://bank.example", "http-503", 2))
    during = browser.text("/overview")
    count(web, delivered("https://bank.example", 1))

    assert "Nothing is failing. 3 deliveries in the last hour, 0 failed" in before
    assert "2 destinations are failing, most of all https://bank.example." in during
    assert "the destination answered 503 (Service Unavailable)" in during
    text = browser.text("/overview")
    assert "https://shop.example is failing. Its last attempt" in text
    assert "the receiver refused the connection. 4 deliveries in the last hour" in text


@pytest.mark.parametrize("as_operator", [False, True])
def test_the_overview_says_what_is_held_and_by_which_gate(
    web: Web, browser: Browser, as_operator: bool
) -> None:
    viewer = operator(web) if as_operator else browser
    before = viewer.text("/overview")
    for _ in range(3):
        create(web, gates=Gates(queue="orders"))
    create(web, url="https://bank.example/x")
    bank = parse("https://bank.example")
    HeldDestinations(web.cell).set_paused(web.tenant.id, bank, paused=True)
    Queues(web.cell).set_paused(web.owner(DIALECT), "orders", paused=True)
    engine = Engine(web.cell.client, web.cell.prefix)
    engine.worker().try_begin(*engine.offer().ids)

    assert "Nothing is held." in before
    text = viewer.text("/overview")
    assert "4 events are held. 3 by the queue orders: paused. 1 event elsewhere" in text
    assert "https://bank.example" in text


def test_nothing_of_other_tenants_is_shown_as_held(web: Web) -> None:
    create(web, gates=Gates(queue="orders"))
    Queues(web.cell).set_paused(web.owner(DIALECT), "orders", paused=True)
    bank = parse("https://bank.example")
    HeldDestinations(web.cell).set_paused(web.tenant.id, bank, paused=True)
    other = sign_in(web, web.tenants.create("other").token)

    assert "Nothing is held." in other.text("/overview")


def test_operators_are_told_what_to_run(web: Web, browser: Browser) -> None:
    text = operator(web).text("/overview")

    assert "No worker runs, so nothing is delivered. Start one: rq worker" in text
    for role, command in banners.RUN.items():
        assert command == PROCFILE[role]
    for role in readiness.ROLES:
        assert banners.RUN[role] in text
    assert "Nothing is delivered at present." in browser.text("/overview")
    assert "rq worker" not in browser.text("/overview")


def process(version: str, pid: int, since_ms: int) -> Process:
    return Process("worker", "web-1", pid, version, "", {}, since_ms, since_ms)


def test_operators_learn_of_processes_with_an_older_version() -> None:
    processes = [process("1.0", 7, 1), process("1.0", 8, 2), process("1.1", 9, 3)]
    [banner] = banners.banners(Answer([], processes=processes))

    assert "on web-1 still have version 1.0, others have 1.1" in banner.text
    assert banner.command == "kill 7 8"
    assert banners.banners(Answer([], processes=processes[:2])) == []


@pytest.mark.parametrize(
    ("problem", "command"),
    [
        (readiness.STORE_FULL, banners.RAISE_LIMIT),
        (readiness.STORE_CHANGED, "scheduler accept-store"),
        (readiness.CLOCK_STOPS.format(7), "scheduler accept-clock"),
        (readiness.STORE_REPLICA, ""),
    ],
)
def test_problems_of_the_store_come_with_a_command(problem: str, command: str) -> None:
    [banner] = banners.banners(Answer([problem]))

    assert banner.text.lower() == problem.lower()
    assert banner.command == command


def test_the_chart_of_a_day_ends_with_the_present_minute() -> None:
    starts_ms = 1_900_000_800_000 - 1_900_000_800_000 % HOUR_MS
    hours = [Hour(starts_ms + n * HOUR_MS) for n in range(-24, 1)]
    hours[-1].delivered[30] = 4
    hours[0].failed[31] = 2
    hours[0].failed[30] = 1
    chart = charts.last_day(hours, now_ms=starts_ms + 30 * MINUTE_MS + 59_999)

    assert "4 delivered, 2 failed" in chart.picture
    assert 'd="M0,100H1437V0H1440V100Z" class="delivered"' in chart.picture
    assert 'd="M0,100H0V50H3V100H1440V100Z" class="failed"' in chart.picture
    assert [figures for _, figures in chart.rows] == [(4, 0), (0, 3)]


def test_the_next_hour_shows_events_and_schedules(web: Web, browser: Browser) -> None:
    create(web, delay_ms=90_000)
    create(web, delay_ms=7_200_000)
    page = operator(web).page("/overview")

    assert "Events and schedules due per minute: 1" in page
    assert "in 1 to 2 min: 1" in page
    assert "Due in the next hour" not in browser.page("/overview")


def test_hours_that_are_over_are_read_once(web: Web) -> None:
    now_ms = web.cell.now_ms()

    def add(count: int, *, age_ms: int = 0) -> None:
        cell = Cell(web.cell.client, web.cell.prefix, clock_ms=now_ms - age_ms)
        client = cast(Any, AwaitableClient(web.cell.client))
        counts = {web.tenant.id: delivered("https://h", count)}
        asyncio.run(add_counts(cell, client, counts))

    for age_ms in (0, HOUR_MS, 24 * HOUR_MS):
        add(1, age_ms=age_ms)
    hours = RecentHours(web.cell)
    before = hours.read(web.tenant.id, now_ms=now_ms)
    web.cell.client.delete(*web.cell.client.keys("*counts:*"))
    add(5)
    after = hours.read(web.tenant.id, now_ms=now_ms)
    later = hours.read(web.tenant.id, now_ms=now_ms + HOUR_MS)

    def totals(found: Sequence[Hour]) -> list[int]:
        return [hour.delivered.total() for hour in found]

    assert totals(before) == [1, *[0] * 22, 1, 1]
    assert totals(after) == [1, *[0] * 22, 1, 5]
    assert totals(later) == [*[0] * 22, 1, 5, 0]
    assert [hour.starts_ms for hour in after] == [hour.starts_ms for hour in before]


def test_what_is_held_is_shown_as_text(web: Web, browser: Browser) -> None:
    script = "<script>alert(1)</script>"
    create(web, gates=Gates(queue=script))
    Queues(web.cell).set_paused(web.owner(DIALECT), script, paused=True)

    for viewer in (browser, operator(web)):
        page = viewer.page("/overview")
        assert "<script>" not in page
        assert page.count("the queue &lt;script&gt;") == 2


def test_the_overview_needs_few_round_trips(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewers = [sign_in(web, web.tenant.token), operator(web)]
    for viewer in viewers:
        viewer.page("/overview")
    trips = [0]
    send = redis.connection.AbstractConnection.send_packed_command

    def counted(self: Any, *args: Any, **options: Any) -> None:
        trips[0] += 1
        send(self, *args, **options)

    monkeypatch.setattr(
        redis.connection.AbstractConnection, "send_packed_command", counted
    )
    for viewer in viewers:
        viewer.page("/overview")

    assert trips[0] <= 2 * 14
