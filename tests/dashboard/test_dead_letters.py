"""Tests of the page of dead letters."""

import pytest
from scheduler_api.core import public_ids
from scheduler_api.core.model import Content, Draft, Gates, Owner, State
from scheduler_api.core.queries.events import Queries
from scheduler_api.core.recovery.letter_jobs import LetterJobs
from scheduler_api.core.store import audit, keys
from scheduler_api.dialects import outbound
from tests.dashboard.browser import Browser, sign_in
from tests.dialects.engine import Engine, Web, settings_with

DIALECT = "qstash"
SCRIPT = "<script>alert(1)</script>"


def fail(
    web: Web,
    url: str = "https://h/x",
    *,
    dialect: str = DIALECT,
    queue: str = "",
    options: dict[str, object] | None = None,
    **log: object,
) -> str:
    """Create an event that fails for good; return its stored id."""
    owner = web.owner(dialect)
    draft = Draft(Content(url, b"b", options or {}), 1_000, gates=Gates(queue))
    event = web.store.create(owner, draft)
    engine = Engine(web.cell.client, web.cell.prefix)
    engine.settle(engine.begin(event.id), "dead", **({"status": 500} | log))
    return event.id


def value(event_id: str, dialect: str = DIALECT) -> str:
    return f"{dialect}:{event_id}"


def name(web: Web, event_id: str, dialect: str = DIALECT) -> str:
    return public_ids.event_id(web.owner(dialect), event_id)


def state(web: Web, event_id: str, dialect: str = DIALECT) -> State:
    return Queries(web.cell).event(web.owner(dialect), event_id).state


def active(web: Web, owner: Owner) -> list[str]:
    key = keys.by_time(web.cell.prefix, str(owner), State.ACTIVE)
    return [each.decode() for each in web.cell.client.zrange(key, 0, -1)]


def test_the_list_says_why_each_letter_failed(web: Web, browser: Browser) -> None:
    failed = fail(web, status=503)
    refused = fail(web, status=None, error="refused")
    text = browser.text("/dead-letters")

    assert name(web, failed) in text
    assert "the destination answered 503 (Service Unavailable)" in text
    assert "the receiver refused the connection" in text
    assert text.index(name(web, refused)) < text.index(name(web, failed))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("cause=500", "a"),
        ("cause=5xx", "a"),
        ("cause=refused", "b"),
        ("cause=4xx", ""),
        ("url=https://b/", "b"),
        ("url=https://", "ab"),
        ("queue=mail", "a"),
        ("label=billing", "b"),
        ("label=bill", ""),
        ("from=2020-01-01T00:00", "ab"),
        ("to=2020-01-01T00:00", ""),
        ("cause=refused&label=billing&url=https://b", "b"),
        ("from=x&to=y&after=z", "ab"),
    ],
)
def test_the_list_is_filtered(
    web: Web, browser: Browser, query: str, expected: str
) -> None:
    ids = {
        "a": fail(web, "https://a/x", queue="mail"),
        "b": fail(
            *(web, "https://b/x"),
            status=None,
            error="refused",
            options={"l": ["billing"]},
        ),
    }
    text = browser.text(f"/dead-letters?{query}")

    shown = [letter for letter, each in ids.items() if name(web, each) in text]
    assert "".join(shown) == expected


@pytest.mark.parametrize("dialect", [each.name for each in outbound.DIALECTS])
def test_a_retried_letter_is_sent_again_once(
    web: Web, browser: Browser, dialect: str
) -> None:
    event_id = fail(web, dialect=dialect)
    for _ in range(2):
        assert browser.post("/dead-letters", retry=value(event_id, dialect)) == 303
    owner = web.owner(dialect)
    [new] = active(web, owner)
    replay = Queries(web.cell).event(owner, new)

    assert state(web, event_id, dialect) is State.CLEARED
    assert (replay.content.url, replay.content.body) == ("https://h/x", b"b")
    assert name(web, event_id, dialect) not in browser.text("/dead-letters")


def test_selected_letters_are_retried_and_others_stay(
    web: Web, browser: Browser
) -> None:
    ids = [fail(web) for _ in range(3)]
    form = {"retry": "selected", "letter": [value(each) for each in ids[:2]]}
    response = browser.client.post(
        "/dead-letters", data=form, headers={"Sec-Fetch-Site": "same-origin"}
    )

    assert "2 sent again." in browser.text(response.location)
    assert [state(web, each) for each in ids] == ["cleared", "cleared", "dead"]
    [record] = audit.newest(web.cell, web.tenant.id, count=1)
    assert (record.change.by, record.change.action) == ("first", "dead_letters.retry")
    assert record.change.object == f"{name(web, ids[0])}, {name(web, ids[1])}"


def test_letters_are_deleted_after_a_question(web: Web, browser: Browser) -> None:
    event_id = fail(web)
    form = {"delete": value(event_id)}
    asked = browser.client.post(
        "/dead-letters", data=form, headers={"Sec-Fetch-Site": "same-origin"}
    )
    before = state(web, event_id)
    sure = {"delete": "selected", "letter": value(event_id), "sure": "yes"}

    assert "Delete 1 dead letter?" in asked.text
    assert before is State.DEAD
    assert browser.post("/dead-letters", **sure) == 303
    assert state(web, event_id) is State.CLEARED
    assert active(web, web.owner(DIALECT)) == []


def test_without_a_selection_the_page_says_what_to_do(
    web: Web, browser: Browser
) -> None:
    event_id = fail(web)

    for form in ({"retry": "selected"}, {"delete": "x:y"}, {"retry": "x"}, {}):
        assert browser.post("/dead-letters", **form) == 400
    assert state(web, event_id) is State.DEAD


def test_a_full_store_keeps_the_letter_and_says_why(web: Web, browser: Browser) -> None:
    event_id = fail(web)
    web.cell.client.set(keys.full(web.cell.prefix), "1")
    response = browser.client.post(
        "/dead-letters",
        data={"retry": value(event_id)},
        headers={"Sec-Fetch-Site": "same-origin"},
    )

    assert response.status_code == 409
    assert "The store is full" in response.text
    assert state(web, event_id) is State.DEAD


def test_s27_a_tenant_neither_sees_nor_changes_letters_of_another(web: Web) -> None:
    event_id = fail(web)
    other = sign_in(web, web.tenants.create("other").token)

    assert name(web, event_id) not in other.text("/dead-letters")
    assert other.post("/dead-letters", retry=value(event_id)) == 404
    assert other.post("/dead-letters", delete=value(event_id), sure="yes") == 404
    assert state(web, event_id) is State.DEAD


def test_a_read_only_token_sees_letters_and_changes_none(web: Web) -> None:
    event_id = fail(web)
    token = web.tenants.tokens.create(web.tenant.id, "reader", read_only=True)
    reader = sign_in(web, token)
    page = reader.page("/dead-letters")

    assert name(web, event_id) in page
    assert "<button name" not in page and "checkbox" not in page
    assert reader.post("/dead-letters", retry=value(event_id)) == 403
    assert state(web, event_id) is State.DEAD


def test_an_operator_chooses_a_tenant_first(web: Web) -> None:
    event_id = fail(web)
    boss = sign_in(web, web.tenants.tokens.create(None, "boss"))

    assert "Choose a tenant" in boss.text("/dead-letters")
    assert boss.post("/dead-letters", retry=value(event_id)) == 200
    assert state(web, event_id) is State.DEAD
    boss.post("/view", tenant=web.tenant.id)
    assert boss.post("/dead-letters", retry=value(event_id)) == 303
    assert state(web, event_id) is State.CLEARED


def job_path(browser: Browser, **form: str) -> str:
    """Create a job; return the path of its page."""
    response = browser.client.post(
        "/dead-letters/jobs", data=form, headers={"Sec-Fetch-Site": "same-origin"}
    )
    assert response.status_code == 303
    return str(response.location)


def test_a_job_shows_its_count_first_and_then_its_progress(
    web: Web, browser: Browser
) -> None:
    ids = [fail(web) for _ in range(3)]
    fail(web, status=404)
    asked = browser.text("/dead-letters/matching?action=retry&cause=5xx")
    path = job_path(browser, action="retry", cause="5xx", rate="50")
    before = browser.text(path)
    settings = settings_with(None, {}, redis_url="redis://unused/0")
    outbound.letter_work(web.cell, settings).work_on_all(for_s=60)
    after = browser.text(path)

    assert "3 dead letters match" in asked
    assert "Running: 0 of 3 sent again" in before and "at most 50 per second" in before
    assert "Done: 3 sent again" in after and "cause 5xx" in after
    assert {state(web, each) for each in ids} == {State.CLEARED}
    assert "retry done 3" in browser.text("/dead-letters/jobs")


def test_a_job_is_stopped_and_goes_on(web: Web, browser: Browser) -> None:
    fail(web)
    path = job_path(browser, action="delete", rate="1")
    browser.post(f"{path}/stop")
    stopped = browser.text(path)
    browser.post(f"{path}/resume")

    assert "Stopped: 0 of 1 deleted" in stopped and "Go on" in stopped
    assert "Running: 0 of 1 deleted" in browser.text(path)


def test_a_job_that_nobody_works_on_says_what_to_check(
    web: Web, browser: Browser
) -> None:
    path = job_path(browser, rate="1")
    _, _, job_id = path.rpartition("/")
    key = keys.letter_job(web.cell.prefix, web.tenant.id, job_id)
    web.cell.client.hset(key, "updated_ms", 1)
    waiting = browser.text(path)
    jobs = LetterJobs(web.cell)
    jobs.lease(jobs.get(web.tenant.id, job_id), "worker", ttl_ms=15_000)

    assert "Nobody works on it" in waiting
    assert "Nobody works on it" not in browser.text(path)


@pytest.mark.parametrize("rate", ["", "0", "x", "1001", "-1", "1e9"])
def test_a_wrong_rate_creates_no_job(web: Web, browser: Browser, rate: str) -> None:
    assert browser.post("/dead-letters/jobs", rate=rate) == 400
    assert LetterJobs(web.cell).all_of(web.tenant.id) == []


def test_what_tenants_and_receivers_write_is_shown_as_text(
    web: Web, browser: Browser
) -> None:
    event_id = fail(
        *(web, f"https://h/{SCRIPT}"), status=None, error="tls", detail=SCRIPT
    )
    query = "&".join(f"{each}={SCRIPT}" for each in ("url", "cause", "queue", "label"))

    for path in ("/dead-letters", f"/dead-letters?{query}&from={SCRIPT}"):
        page = browser.page(path)
        assert SCRIPT not in page
        assert "&lt;script&gt;" in page
    form = {"delete": value(event_id), "label": SCRIPT}
    asked = browser.client.post(
        "/dead-letters", data=form, headers={"Sec-Fetch-Site": "same-origin"}
    )
    assert SCRIPT not in asked.text and "&lt;script&gt;" in asked.text


def test_pages_go_on_until_all_letters_were_shown(web: Web, browser: Browser) -> None:
    ids = [fail(web) for _ in range(3)]
    shown = []
    for each in reversed(ids):
        letter = Queries(web.cell).event(web.owner(DIALECT), each)
        after = f"{letter.finished_ms}-{each}"
        text = browser.text(f"/dead-letters?after={after}")
        shown.append([name(web, other) in text for other in ids])

    assert shown == [[True, True, False], [True, False, False], [False] * 3]
