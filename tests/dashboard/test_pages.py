"""Tests of what pages show, and to whom."""

import pytest
import re
from html import unescape
from scheduler_api.core import public_ids
from scheduler_api.core.cron.expression import FULL
from scheduler_api.core.model import (
    Content,
    Draft,
    FlowLimits,
    Gates,
    ScheduleOptions,
)
from scheduler_api.core.schedules.schedules import Schedules
from tests.dashboard.browser import OWN_PAGE, Browser, sign_in
from tests.dashboard.test_flow import count
from tests.dialects.engine import Engine, Web

DIALECT = "qstash"
SCRIPT = "<script>alert(1)</script>"


def create(web: Web, url: str = "https://h/x", body: bytes = b"b", **how: int) -> str:
    """Create an event; return the id that its client has."""
    owner = web.owner(DIALECT)
    event = web.store.create(owner, Draft(Content(url, body), 1_000, **how))
    return public_ids.event_id(owner, event.id)


def test_the_list_and_the_page_show_an_event(web: Web, browser: Browser) -> None:
    name = create(web)

    assert name in browser.text("/events")
    page = browser.text(f"/events/{name}")
    assert "https://h/x" in page
    assert "Status due" in page


def test_a_search_leads_to_the_event(web: Web, browser: Browser) -> None:
    name = create(web)
    response = browser.client.get(f"/search?id={name}")

    assert response.location == f"/events/{name}"
    assert browser.client.get("/search?id=nothing").status_code == 404


def test_s27_no_page_shows_an_event_of_another_tenant(
    web: Web, browser: Browser
) -> None:
    name = create(web)
    other = sign_in(web, web.tenants.create("other").token)

    assert other.client.get(f"/events/{name}").status_code == 404
    assert other.client.get(f"/search?id={name}").status_code == 404
    assert other.post(f"/events/{name}/cancel") == 404
    assert name not in other.text("/events")
    assert "Status due" in browser.text(f"/events/{name}")


@pytest.fixture
def failed_run(web: Web, browser: Browser) -> str:
    """The path of a failed event of a schedule, with a queue and a flow-control key."""
    gates = Gates("mail", FlowLimits("customer", parallelism=1))
    schedule = Schedules(web.cell, grace_ms=60_000).create(
        *(web.owner(DIALECT), Content("https://h/x", b"b")),
        expression="0 9 * * *",
        tz="UTC",
        grammar=FULL,
        deadline_ms=1_000,
        name="nightly",
        options=ScheduleOptions(gates=gates),
    )
    run = browser.client.post(f"/schedules/{schedule.id}/run", headers=OWN_PAGE)
    engine = Engine(web.cell.client, web.cell.prefix)
    event_id = public_ids.stored_ids(run.location.rpartition("/")[2])[DIALECT]
    engine.settle(engine.begin(event_id), "dead", error="refused")
    count(web, "https://h", 0, 1)
    return str(run.location)


@pytest.mark.parametrize(
    ("link", "title", "shown"),
    [
        ("nightly", "nightly", "At 09:00 every day"),
        ("mail", "mail", "Running 0 of at most 1"),
        ("customer", "customer", "Running 0 of at most 1"),
        ("Its events", "Events", "https://h/x"),
        ("How https://h does", "Destinations", "https://h 0 1 0 %"),
        ("its dead letter", "Dead letters", "refused the connection"),
    ],
)
def test_the_page_of_an_event_links_to_what_it_belongs_to(
    browser: Browser, failed_run: str, link: str, title: str, shown: str
) -> None:
    page = browser.page(failed_run)
    [path] = re.findall(rf'<a [^>]*href="([^"]*)"[^>]*>{link}</a>', page)
    linked = browser.text(unescape(path))

    assert linked.startswith(title)
    assert shown in linked


def test_an_event_without_schedule_and_gates_links_to_none(
    web: Web, browser: Browser
) -> None:
    page = browser.text(f"/events/{create(web)}")
    facts = page.partition("Destination https://h/x")[2].partition("Timeline")[0]

    for name in ("Schedule", "Queue", "Flow control", "dead letter"):
        assert name not in facts


def test_a_page_that_does_not_exist_says_what_that_means(browser: Browser) -> None:
    page = browser.client.get("/events/msg_1").text

    assert "Nothing is here: it was deleted, or the address is wrong." in page


def test_an_event_is_cancelled(web: Web, browser: Browser) -> None:
    name = create(web, delay_ms=3_600_000)
    browser.post(f"/events/{name}/cancel")

    assert "cancelled" in browser.text(f"/events/{name}")


def test_what_was_searched_is_shown_as_text(browser: Browser) -> None:
    assert SCRIPT not in browser.client.get("/search", query_string={"id": SCRIPT}).text


def test_the_page_says_why_an_attempt_failed(web: Web, browser: Browser) -> None:
    owner = web.owner(DIALECT)
    event = web.store.create(owner, Draft(Content("https://h/x", b""), 1_000))
    engine = Engine(web.cell.client, web.cell.prefix)
    engine.settle(engine.begin(event.id), "dead", error="refused")
    name = public_ids.event_id(owner, event.id)

    assert "refused the connection" in browser.text(f"/events/{name}")


def test_the_overview_counts_events_by_status(web: Web, browser: Browser) -> None:
    create(web, delay_ms=3_600_000)
    create(web)
    create(web)

    assert "1 scheduled 2 due 0 delivered" in browser.text("/overview")


def test_only_an_operator_sees_processes(web: Web, browser: Browser) -> None:
    operator = sign_in(web, web.tenants.tokens.create(None, "boss"))

    assert "Processes" not in browser.text("/overview")
    assert "Processes" in operator.text("/overview")


@pytest.mark.parametrize(
    "query", ["status=x", "from=x", "after=x", "after=-", "to=1e9"]
)
def test_a_malformed_filter_shows_the_whole_list(
    web: Web, browser: Browser, query: str
) -> None:
    name = create(web)

    assert name in browser.text(f"/events?{query}")


def test_events_are_found_by_label_tag_and_owner(web: Web, browser: Browser) -> None:
    labelled = Content("https://h/x", b"b", {"l": ["orders"]})
    tagged = Content("https://h/x", b"{}", {"e": "ann@h", "t": ["urgent"]})
    owners = {"qstash": labelled, "events_v1": tagged}
    drafts = {name: Draft(content, 1_000) for name, content in owners.items()}
    stored = {
        name: web.store.create_many(web.owner(name), [draft])[0]
        for name, draft in drafts.items()
    }
    ids = {
        name: public_ids.event_id(web.owner(name), accepted.id)
        for name, accepted in stored.items()
    }

    for label, found in (
        ("orders", "qstash"),
        ("urgent", "events_v1"),
        ("ann@h", "events_v1"),
    ):
        page = browser.text(f"/events?label={label}")
        assert [name for name in ids if ids[name] in page] == [found]
    assert "No events" in browser.text("/events?label=order")
