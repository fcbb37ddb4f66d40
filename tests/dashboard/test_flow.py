"""Tests of the pages of queues, flow-control keys and destinations."""

import asyncio
import pytest
import shlex
from html import unescape
from scheduler_api.core.delivery.destinations import parse
from scheduler_api.core.flow_control.flow_keys import FlowKeys
from scheduler_api.core.flow_control.held_destinations import HeldDestinations
from scheduler_api.core.flow_control.queues import Queues
from scheduler_api.core.model import Content, Draft, FlowLimits, Gates
from scheduler_api.core.queries.name_pages import PAGE_SIZE
from scheduler_api.core.store import keys
from scheduler_api.core.store.gate_names import (
    destination_digest,
    destination_gate,
    queue_gate,
)
from scheduler_api.core.store.statistics import Counts, DestinationCounts
from tests.dashboard.browser import Browser, sign_in
from tests.dialects.engine import Engine, Web
from tests.sync_worker import AwaitableClient, add_counts, outcomes
from typing import Any, cast

DIALECT = "qstash"
URL = "https://h/x"
QUEUE = f"/queues/queue?dialect={DIALECT}&name=mail"
KEY = f"/queues/flow-control/key?dialect={DIALECT}&name=customer"


def create(web: Web, gates: Gates, count: int) -> list[str]:
    """Create events, and offer those that may begin."""
    drafts = [Draft(Content(URL, b""), 1_000, gates=gates)] * count
    events = web.store.create_many(web.owner(DIALECT), drafts)
    Engine(web.cell.client, web.cell.prefix).offer()
    return [each.id for each in events]


def test_a_queue_shows_what_runs_and_what_waits(web: Web, browser: Browser) -> None:
    create(web, Gates(queue="mail"), 5)
    web_queues(web).set_parallelism(web.owner(DIALECT), "mail", 2)
    create(web, Gates(queue="mail"), 1)

    assert "mail active 2 2 4" in browser.text("/queues")
    page = browser.text(QUEUE)
    assert "Running 2 of at most 2" in page
    assert "Waiting 4" in page
    assert "ago" in page


def test_a_queue_is_paused_resumed_and_limited(web: Web, browser: Browser) -> None:
    create(web, Gates(queue="mail"), 1)
    form = {"dialect": DIALECT, "name": "mail"}
    browser.post("/queues/pause", **form)
    paused = browser.text(QUEUE)
    browser.post("/queues/resume", **form)
    browser.post("/queues/limit", parallelism="9", **form)
    queue = web_queues(web).get(web.owner(DIALECT), "mail")

    assert "paused" in paused
    assert (queue.paused, queue.parallelism) == (False, 9)


@pytest.mark.parametrize("value", ["", "0", "-1", "1.5", "x", "²", "9" * 30])
def test_a_queue_keeps_its_limit_if_the_new_one_is_no_number(
    web: Web, browser: Browser, value: str
) -> None:
    create(web, Gates(queue="mail"), 1)
    form = {"dialect": DIALECT, "name": "mail", "parallelism": value}

    assert browser.post("/queues/limit", **form) == 400
    assert web_queues(web).get(web.owner(DIALECT), "mail").parallelism == 1


@pytest.mark.parametrize("name", ["queue", "flow-control/key"])
def test_what_does_not_exist_is_not_found(browser: Browser, name: str) -> None:
    assert browser.client.get(f"/queues/{name}?name=x").status_code == 404
    named = f"/queues/{name}?dialect={DIALECT}&name=x"
    assert browser.client.get(named).status_code == 404
    assert browser.post("/queues/pause", dialect=DIALECT, name="x") == 404
    form = {"dialect": DIALECT, "name": "x"}
    assert browser.post("/queues/flow-control/pause", **form) == 404


def test_pages_of_a_list_show_every_queue_once(web: Web, browser: Browser) -> None:
    queues, owner = web_queues(web), web.owner(DIALECT)
    names = [f"queue-{number:03}" for number in range(PAGE_SIZE + 20)]
    for name in names:
        queues.put(owner, name, parallelism=1, paused=False)
    first = browser.page("/queues")
    [following] = [
        part.split('"')[0].replace("&amp;", "&")
        for part in first.split('href="')
        if part.startswith("/queues?")
    ]
    queues.delete(owner, names[PAGE_SIZE - 1])
    second = browser.page(following)

    assert [name for name in names if name in first] == names[:PAGE_SIZE]
    assert [name for name in names if name in second] == names[PAGE_SIZE:]
    assert "queue-069" in browser.text("/queues?contains=69")
    assert "queue-001" not in browser.text("/queues?contains=69")


def test_an_unreadable_queue_is_listed_as_such(web: Web, browser: Browser) -> None:
    create(web, Gates(queue="mail"), 1)
    create(web, Gates(queue="other"), 1)
    gate = queue_gate(web.owner(DIALECT), "mail")
    web.cell.client.hset(keys.queue(web.cell.prefix, gate), "p", "x")
    page = browser.text("/queues")

    assert "mail This queue cannot be read" in page
    assert "other active" in page


def test_a_key_shows_its_limits_and_takes_new_ones(web: Web, browser: Browser) -> None:
    limits = FlowLimits("customer", parallelism=2, rate=3, period_ms=60_000)
    create(web, Gates(flow=limits), 5)
    before = browser.text(KEY)
    form = {"dialect": DIALECT, "name": "customer"}
    browser.post("/queues/flow-control/limits", rate="7", period="9", **form)
    pinned = FlowKeys(web.cell).get(web.owner(DIALECT), "customer")
    browser.post("/queues/flow-control/limits", **form)
    unpinned = FlowKeys(web.cell).get(web.owner(DIALECT), "customer")

    assert (
        "customer active 2 of 2 0 of 3 in 1 min 3"
        in browser.text("/queues/flow-control")
        or "Running 2 of at most 2" in before
    )
    assert (pinned.rate, pinned.period_ms, pinned.pinned_rate) == (7, 9_000, True)
    assert not pinned.pinned_parallelism
    assert not unpinned.pinned_rate


@pytest.mark.parametrize(
    "limits", [{"rate": "0"}, {"parallelism": "x"}, {"rate": "1", "period": "604801"}]
)
def test_a_key_keeps_its_limits_if_a_new_one_is_malformed(
    web: Web, browser: Browser, limits: dict[str, str]
) -> None:
    create(web, Gates(flow=FlowLimits("customer", rate=3)), 1)
    form = {"dialect": DIALECT, "name": "customer"} | limits

    assert browser.post("/queues/flow-control/limits", **form) == 400
    assert FlowKeys(web.cell).get(web.owner(DIALECT), "customer").rate == 3


def test_a_destination_is_paused_and_resumed(web: Web, browser: Browser) -> None:
    browser.post("/destinations/pause", url="https://h/x?key=1")
    create(web, Gates(), 3)
    paused = browser.text("/destinations")
    browser.post("/destinations/resume", url="https://h")
    [held, *_] = HeldDestinations(web.cell).of_origin(web.tenant.id, parse(URL))

    assert "https://h:443 paused since" in paused
    assert held.paused_ms is None


def test_a_malformed_destination_is_not_paused(web: Web, browser: Browser) -> None:
    assert browser.post("/destinations/pause", url="ftp://h") == 400
    assert HeldDestinations(web.cell).all() == []


def test_an_open_breaker_says_why_and_when_it_is_probed(
    web: Web, browser: Browser
) -> None:
    gate = destination_gate(web.tenant.id, destination_digest(URL))
    worker = Engine(web.cell.client, web.cell.prefix).worker()
    worker.report_all({gate: outcomes("o" * 20)})
    page = browser.text("/destinations")

    assert "https://failing.example/a open nothing is sent but a probe" in page
    assert "next probe in" in page
    assert "the connection was refused" in page


def test_an_operator_sees_and_pauses_destinations_of_all_tenants(web: Web) -> None:
    operator = sign_in(web, web.tenants.tokens.create(None, "boss"))
    form = {"tenant": web.tenant.id, "url": URL}
    posted = operator.post("/destinations/pause", **form)

    assert posted == 303
    assert f"https://h:443 {web.tenant.id} paused" in operator.text("/destinations")
    assert operator.post("/destinations/pause", tenant="99", url=URL) == 404
    assert "Choose a tenant" in operator.text("/queues")


def web_queues(web: Web) -> Queues:
    return Queues(web.cell)


def count(web: Web, name: str, delivered: int, failed: int) -> None:
    """Count attempts of the tenant at an origin, as a worker does."""
    counts = DestinationCounts(
        delivered, failed, is_failing=bool(failed), cause="http-503" if failed else ""
    )
    client = cast(Any, AwaitableClient(web.cell.client))
    found = {web.tenant.id: Counts(delivered, failed, destinations={name: counts})}
    asyncio.run(add_counts(web.cell, client, found))


def test_the_success_of_a_day_is_shown_for_each_destination(
    web: Web, browser: Browser
) -> None:
    count(web, "https://shop.example", 1_999, 1)
    count(web, "https://bank.example", 3, 0)
    other = sign_in(web, web.tenants.create("other").token)
    operator = sign_in(web, web.tenants.tokens.create(None, "boss"))
    page = browser.text("/destinations")

    assert "https://bank.example 3 0 100 %" in page
    assert (
        "https://shop.example 1,999 1 99.9 % the destination answered 503"
        " (Service Unavailable)"
    ) in page
    assert "bank" not in browser.text("/destinations?contains=shop")
    assert "https://" not in other.text("/destinations")
    assert "https://shop.example 1,999" in operator.text("/destinations")


def test_pages_of_destinations_show_each_once(web: Web, browser: Browser) -> None:
    names = [f"https://host-{number:03}.example" for number in range(PAGE_SIZE + 9)]
    found = {
        web.tenant.id: Counts(
            destinations={name: DestinationCounts(1) for name in names}
        )
    }
    client = cast(Any, AwaitableClient(web.cell.client))
    asyncio.run(add_counts(web.cell, client, found))
    first = browser.page("/destinations")
    second = browser.page(f"/destinations?after={names[PAGE_SIZE - 1]}")

    assert [name for name in names if f">{name}<" in first] == names[:PAGE_SIZE]
    assert [name for name in names if f">{name}<" in second] == names[PAGE_SIZE:]
    assert "Go on" in first
    assert "Go on" not in second


@pytest.mark.parametrize("path", ["/events", "/queues", "/queues/flow-control"])
def test_an_empty_list_shows_a_command_that_creates_the_first_one(
    web: Web, browser: Browser, path: str
) -> None:
    page = browser.page(path)
    command = unescape(page.partition("data-copy>")[2].partition("</pre>")[0])
    words = shlex.split(command.replace("$QSTASH_TOKEN", web.tenant.token))
    headers = [words[at + 1] for at, word in enumerate(words) if word == "-H"]
    posted = web.app.test_client().post(
        words[2].removeprefix("http://localhost"),
        data=b"hello",
        headers=dict(header.split(": ", 1) for header in headers),
    )

    assert posted.status_code == 201, posted.text
    assert "data-copy" not in browser.page(path)
    assert "data-copy" not in browser.page(f"{path}?contains=x&label=x")
