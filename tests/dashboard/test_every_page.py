"""Tests that hold for every page and every form. Each route is in one of the tables."""

import pytest
import re
from scheduler_api.core import public_ids
from scheduler_api.core.cron.expression import FULL
from scheduler_api.core.delivery.destinations import parse
from scheduler_api.core.flow_control.flow_keys import FlowKeys
from scheduler_api.core.flow_control.held_destinations import HeldDestinations
from scheduler_api.core.flow_control.queues import Queues
from scheduler_api.core.model import Content, Draft, FlowLimits, Gates, ScheduleOptions
from scheduler_api.core.queries.letters import LetterCount, LetterFilter
from scheduler_api.core.recovery.letter_jobs import Action, LetterJobs
from scheduler_api.core.schedules.schedules import Schedules
from scheduler_api.core.store import audit
from tests.dashboard.browser import Browser, sign_in
from tests.dialects.engine import Engine, Web
from urllib.parse import quote

DIALECT = "qstash"
SCRIPT = "<script>alert(1)</script>"
NAMED = f"dialect={DIALECT}&name={quote(SCRIPT)}"
# Each page by the name of its route. There is a script in each field.
PAGES = {
    "overview": "/overview",
    "events": "/events",
    "event": "/events/{event}",
    "tokens": "/settings/tokens",
    "queues": "/queues",
    "queue": f"/queues/queue?{NAMED}",
    "flow_keys": "/queues/flow-control",
    "flow_key": f"/queues/flow-control/key?{NAMED}",
    "destinations": "/destinations",
    "dead_letters": "/dead-letters",
    "new_letter_job": "/dead-letters/matching",
    "letter_jobs": "/dead-letters/jobs",
    "letter_job": "/dead-letters/jobs/{job}",
    "create_form": "/create",
    "create_preview": "/create/preview",
    "schedules": "/schedules",
    "schedule": "/schedules/{schedule}",
    "schedule_form": "/schedules/{schedule}/edit",
    "ask_to_delete": "/schedules/{schedule}/delete",
    "signing_keys": "/settings/keys",
    "event_form": "/events/{later}/edit",
}
# Pages that show nothing stored.
CREATION = {"create_form", "create_preview"}
# Pages that ask before a change; a read-only token does not get them.
ASKING = {"event_form", "schedule_form", "ask_to_delete"} | CREATION
# Each form by the name of its route.
FORM = {"dialect": DIALECT, "name": SCRIPT}
FORMS: dict[str, tuple[str, dict[str, str]]] = {
    "cancel_event": ("/events/{event}/cancel", {}),
    "create_token": ("/settings/tokens", {"name": "x"}),
    "revoke_token": ("/settings/tokens/revoke", {"name": SCRIPT}),
    "pause_queue": ("/queues/pause", FORM),
    "resume_queue": ("/queues/resume", FORM),
    "limit_queue": ("/queues/limit", FORM | {"parallelism": "7"}),
    "pause_flow_key": ("/queues/flow-control/pause", FORM),
    "resume_flow_key": ("/queues/flow-control/resume", FORM),
    "limit_flow_key": ("/queues/flow-control/limits", FORM | {"parallelism": "7"}),
    "reset_rate": ("/queues/flow-control/reset", FORM),
    "pause_destination": ("/destinations/pause", {"url": "https://h/", "tenant": "1"}),
    "resume_destination": (
        "/destinations/resume",
        {"url": "https://h/", "tenant": "1"},
    ),
    "act_on_dead_letters": ("/dead-letters", {"retry": f"{DIALECT}:{{letter}}"}),
    "create_letter_job": ("/dead-letters/jobs", {"rate": "7"}),
    "stop_letter_job": ("/dead-letters/jobs/{job}/stop", {}),
    "resume_letter_job": ("/dead-letters/jobs/{job}/resume", {}),
    "edit_event": (
        "/events/{later}/edit",
        {"due": "2099-01-01T00:00", "url": "https://h/", "body": "b"},
    ),
    "send_event": ("/events/{later}/send", {}),
    "replay_event": ("/events/{dead}/replay", {}),
    "reveal_keys": ("/settings/keys/values", {"dialect": DIALECT}),
    "rotate_keys": ("/settings/keys/rotate", {"dialect": DIALECT}),
    "create": ("/create", {"url": "https://h/x", "when": "now"}),
    "run_schedule": ("/schedules/{schedule}/run", {}),
    "pause_schedule": ("/schedules/{schedule}/pause", {}),
    "resume_schedule": ("/schedules/{schedule}/resume", {}),
    "edit_schedule": (
        "/schedules/{schedule}/edit",
        {"expression": "0 8 * * *", "zone": "Europe/Berlin", "url": "https://h/new"},
    ),
    "delete_schedule": ("/schedules/{schedule}/delete", {}),
}
# Forms that a tenant may fill in for itself, whatever other tenants have.
OWN_FORMS = {
    *("create_token", "revoke_token", "create_letter_job"),
    *("reveal_keys", "rotate_keys", "create"),
}
# The statuses of forms whose result is shown without a further request. Keys are not
# rotated without the time of the last rotation.
SHOWN = {"create_token": 201, "reveal_keys": 200, "rotate_keys": 409}
# Routes for operators only: see test_settings.
OPERATORS = {"tenants", "create_tenant", "confirm_removal", "remove_tenant"}
# Routes that show nothing of a tenant, and change nothing of one.
OTHERS = {
    *("static", "start", "search", "sign_in", "sign_in_with_token", "sign_out"),
    *("sign_in_with_address", "view_tenant", "reference", "reference_document"),
}


@pytest.fixture
def ids(web: Web) -> dict[str, str]:
    """An event and a schedule with a script in each field; their tenant has all."""
    owner = web.owner(DIALECT)
    gates = Gates(queue=SCRIPT, flow=FlowLimits(SCRIPT, parallelism=1))
    content = Content(f"https://h/{SCRIPT}", SCRIPT.encode())
    drafts = [Draft(content, 1_000, gates=gates)] * 2 + [
        Draft(content, 1_000),
        Draft(content, 1_000, delay_ms=3_600_000),
    ]
    events = web.store.create_many(owner, drafts)
    engine = Engine(web.cell.client, web.cell.prefix)
    begun = engine.begin(events[0].id)
    headers = [[SCRIPT, SCRIPT]]
    engine.settle(begun, "retry", status=500, error=SCRIPT, detail=SCRIPT, h=headers)
    engine.settle(engine.begin(events[2].id), "dead", error=SCRIPT, detail=SCRIPT)
    Queues(web.cell).set_parallelism(owner, SCRIPT, 2)
    FlowKeys(web.cell).pin(owner, SCRIPT, rate=1)
    destinations = HeldDestinations(web.cell)
    destinations.set_paused(web.tenant.id, parse("https://h/"), paused=True)
    web.tenants.tokens.create(web.tenant.id, SCRIPT)
    schedule = Schedules(web.cell, grace_ms=60_000).create(
        *(owner, content),
        expression="0 9 * * *",
        tz="UTC",
        grammar=FULL,
        deadline_ms=1_000,
        name=SCRIPT,
        options=ScheduleOptions(gates=gates),
    )
    event = public_ids.event_id(owner, events[0].id)
    job = LetterJobs(web.cell).create(
        *(web.tenant.id, Action.DELETE, LetterFilter(label=SCRIPT)),
        rate=1,
        expected=LetterCount(1, 1),
        by="first",
    )
    dead, later = (public_ids.event_id(owner, each.id) for each in events[2:])
    ids = {"event": event, "dead": dead, "later": later, "schedule": schedule.id}
    return ids | {"letter": events[2].id, "job": job.id}


def routes(web: Web) -> set[str]:
    names = (rule.endpoint.partition(".") for rule in web.app.url_map.iter_rules())
    return {name for blueprint, _, name in names if blueprint == "dashboard"}


def test_each_route_is_in_one_of_the_tables(web: Web) -> None:
    assert routes(web) == PAGES.keys() | FORMS.keys() | OTHERS | OPERATORS


def test_what_tenants_and_receivers_write_is_shown_as_text(
    browser: Browser, ids: dict[str, str]
) -> None:
    pages = {name: browser.page(PAGES[name].format(**ids)) for name in PAGES}

    assert [name for name, page in pages.items() if "<script>" in page] == []
    without = {name for name, page in pages.items() if "&lt;script&gt;" not in page}
    assert without == CREATION | {
        *("overview", "destinations", "signing_keys", "new_letter_job"),
    }


def test_s27_no_page_shows_anything_of_another_tenant(
    web: Web, ids: dict[str, str]
) -> None:
    other = sign_in(web, web.tenants.create("other").token)
    paths = [path.format(**ids) for path in PAGES.values()]
    pages = {path: other.client.get(path) for path in paths}
    theirs = ("&lt;script&gt;", "https://h", ids["event"])

    assert {page.status_code for page in pages.values()} == {200, 404}
    for text in theirs:
        assert [path for path in paths if text in pages[path].text] == []


def test_s27_no_form_changes_anything_of_another_tenant(
    web: Web, ids: dict[str, str]
) -> None:
    other = sign_in(web, web.tenants.create("other").token)
    before = audit.newest(web.cell, web.tenant.id, count=100)
    names = FORMS.keys() - OWN_FORMS
    statuses = {name: post(other, name, ids) for name in names}

    assert statuses == dict.fromkeys(names, 404)
    assert audit.newest(web.cell, web.tenant.id, count=100) == before


def test_each_form_is_accepted_and_says_in_the_audit_log_who_sent_it(
    web: Web, browser: Browser, ids: dict[str, str]
) -> None:
    statuses = {name: post(browser, name, ids) for name in FORMS}
    records = audit.newest(web.cell, web.tenant.id, count=100)

    assert statuses == {name: SHOWN.get(name, 303) for name in FORMS}
    assert {record.change.by for record in records} == {"first"}


def test_a_read_only_token_gets_no_forms_and_may_not_send_them(
    web: Web, ids: dict[str, str]
) -> None:
    token = web.tenants.tokens.create(web.tenant.id, "reader", read_only=True)
    reader = sign_in(web, token)
    names = PAGES.keys() - ASKING
    pages = {name: reader.page(PAGES[name].format(**ids)) for name in names}
    asking = {PAGES[name].format(**ids) for name in ASKING}
    forms = {
        name: re.findall(r'method="post" action="([^"]*)"', page)
        for name, page in pages.items()
    }

    assert {name for name in names if forms[name] != ["/sign-out"]} == set()
    assert {reader.client.get(path).status_code for path in asking} == {403}
    assert {post(reader, name, ids) for name in FORMS} == {403}


def test_s29_every_page_forbids_frames_inline_scripts_and_other_hosts(
    browser: Browser, ids: dict[str, str]
) -> None:
    public = ("/sign-in", "/docs", f"/docs/{DIALECT}")
    for path in (*public, "/events/nothing", *PAGES.values()):
        response = browser.client.get(path.format(**ids))
        policy = response.headers["Content-Security-Policy"]

        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["Cache-Control"] == "no-store"
        assert "style=" not in response.text


@pytest.mark.parametrize(
    "number", ["9" * 5_000, "\N{SUPERSCRIPT TWO}"], ids=["long", "no digit"]
)
def test_places_in_addresses_that_are_no_numbers_have_no_effect(
    browser: Browser, ids: dict[str, str], number: str
) -> None:
    lists = ("events", "queues", "flow_keys", "dead_letters", "schedules")
    places = {"after": f"{number}-x", "retry": number, "of": number}
    named = {"after": f"{DIALECT}:{number}:x"}
    queries = [dict[str, str](), places, named]
    for name in lists:
        pages = [browser.client.get(PAGES[name], query_string=q) for q in queries]

        assert {page.status_code for page in pages} == {200}
        assert {page.text.count("<tr") for page in pages} == {
            pages[0].text.count("<tr")
        }


def test_the_next_page_keeps_whatever_is_in_the_address(
    web: Web, browser: Browser
) -> None:
    draft = Draft(Content("https://h/x", b""), 1_000)
    web.store.create_many(web.owner(DIALECT), [draft] * 51)
    names = {"endpoint": "x", "_external": "1", "_scheme": "javascript"}
    page = browser.client.get("/events", query_string=names | {"status": "due"})

    assert page.status_code == 200
    assert 'href="/events?endpoint=x&amp;_external=1' in page.text


def test_times_in_addresses_that_are_in_no_year_in_utc_have_no_effect(
    browser: Browser,
) -> None:
    early, late = "0001-01-01T00:00+23:59", "9999-12-31T23:59-23:59"
    for name in ("events", "dead_letters", "new_letter_job"):
        page = browser.client.get(PAGES[name], query_string={"from": early, "to": late})

        assert page.status_code == 200


def test_without_a_session_everything_leads_to_the_sign_in(web: Web) -> None:
    stranger = Browser(web.app.test_client())
    names = ("event", "dead", "later", "schedule", "letter", "job")
    ids = dict.fromkeys(names, "1")
    pages = [stranger.client.get(path.format(**ids)) for path in PAGES.values()]

    assert {page.status_code for page in pages} == {303}
    assert all(page.location.startswith("/sign-in?to=") for page in pages)
    assert {post(stranger, name, ids) for name in FORMS} == {303}


def post(browser: Browser, name: str, ids: dict[str, str]) -> int:
    """Send a form; return the status."""
    path, form = FORMS[name]
    filled = {field: text.format(**ids) for field, text in form.items()}
    return browser.post(path.format(**ids), **filled)
