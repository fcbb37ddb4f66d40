"""Tests of what people do with an event: send now, edit, send again, copy as curl."""

import pytest
import shlex
from html import unescape
from scheduler_api.core import public_ids
from scheduler_api.core.model import Content, Draft, Event, Gates, State
from scheduler_api.core.queries.events import Queries
from scheduler_api.core.store import audit, keys
from tests.dashboard.browser import Browser
from tests.dialects.engine import Engine, Web

DIALECT = "qstash"
HOUR_MS = 3_600_000
LATER = {"due": "2099-01-01T00:00", "url": "https://h/new", "body": '{"a": 2}'}


def create(web: Web, body: bytes = b'{"a": 1}', **how: object) -> Event:
    draft = Draft(Content("https://h/x", body), 1_000, **how)  # type: ignore[arg-type]
    [accepted] = web.store.create_many(web.owner(DIALECT), [draft])
    return read(web, accepted.id)


def read(web: Web, event_id: str) -> Event:
    return Queries(web.cell).event(web.owner(DIALECT), event_id)


def name_of(event: Event) -> str:
    return public_ids.event_id(event.owner, event.id)


def end(web: Web, event: Event, outcome: str, **how: object) -> None:
    engine = Engine(web.cell.client, web.cell.prefix)
    engine.settle(engine.begin(event.id), outcome, status=500, **how)


def curl(browser: Browser, event: Event) -> list[str]:
    """Return the words of the command on the page of an event."""
    page = browser.page(f"/events/{name_of(event)}")
    pre = page.rpartition('<pre class="copy" data-copy>')[2].partition("</pre>")[0]
    return shlex.split(unescape(pre))


def test_a_scheduled_event_is_sent_now(web: Web, browser: Browser) -> None:
    event = create(web, delay_ms=HOUR_MS)
    status = browser.post(f"/events/{name_of(event)}/send")
    left_ms = read(web, event.id).wanted_ms - web.cell.now_ms()
    [record] = audit.newest(web.cell, web.tenant.id, count=1)

    assert status == 303
    assert left_ms <= 1_000
    assert (record.change.action, record.change.by) == ("event.edit", "first")


def test_an_event_that_waits_after_a_failure_is_retried_now(
    web: Web, browser: Browser
) -> None:
    event = create(web)
    end(web, event, "retry", delay_ms=HOUR_MS)
    path, failed = f"/events/{name_of(event)}", read(web, event.id)

    assert "Retry now" in browser.text(path)
    assert browser.post(f"{path}/send") == 303
    retried = read(web, event.id)
    assert retried.next_ms <= web.cell.now_ms() + 1_000
    assert (retried.wanted_ms, retried.attempts) == (failed.wanted_ms, 1)
    [record] = audit.newest(web.cell, web.tenant.id, count=1)
    assert (record.change.action, record.change.by) == ("event.edit", "first")


def test_an_event_that_is_being_sent_or_has_ended_is_not_sent_now(
    web: Web, browser: Browser
) -> None:
    running, ended = create(web), create(web)
    Engine(web.cell.client, web.cell.prefix).begin(running.id)
    end(web, ended, "dead")
    for event in (running, ended):
        path = f"/events/{name_of(event)}"

        assert "now</button>" not in browser.page(path)
        assert browser.post(f"{path}/send") == 409


def test_an_event_is_edited(web: Web, browser: Browser) -> None:
    event = create(web, delay_ms=HOUR_MS)
    form = browser.text(f"/events/{name_of(event)}/edit")
    status = browser.post(f"/events/{name_of(event)}/edit", **LATER)
    edited = read(web, event.id)

    assert '{"a": 1}' in form
    assert status == 303
    assert edited.content == Content("https://h/new", b'{"a": 2}')
    assert edited.wanted_ms == 4_070_908_800_000


def test_an_event_keeps_its_queue_when_it_is_edited(web: Web, browser: Browser) -> None:
    event = create(web, delay_ms=HOUR_MS, gates=Gates(queue="mail"))
    browser.post(f"/events/{name_of(event)}/edit", **LATER)

    assert name_of(event) in browser.text("/events?status=scheduled&queue=mail")


def test_a_form_that_changes_nothing_changes_nothing(
    web: Web, browser: Browser
) -> None:
    event = create(web, b"a\nb", delay_ms=HOUR_MS)
    page = browser.page(f"/events/{name_of(event)}/edit")
    due = page.partition('name="due" value="')[2].partition('"')[0]
    form = {"due": due, "url": "https://h/x", "body": "a\r\nb"}

    assert browser.post(f"/events/{name_of(event)}/edit", **form) == 303
    assert read(web, event.id) == event


@pytest.mark.parametrize(
    "changes",
    [
        {"due": "2001-01-01T00:00"},
        {"due": "soon"},
        {"due": ""},
        {"url": "ftp://h"},
        {"url": "http://127.0.0.1/"},
        {"body": "{"},
        {"body": "[" * 100_000},
    ],
)
def test_a_malformed_edit_changes_nothing(
    web: Web, browser: Browser, changes: dict[str, str]
) -> None:
    event = create(web, delay_ms=HOUR_MS)

    assert browser.post(f"/events/{name_of(event)}/edit", **LATER | changes) == 400
    assert read(web, event.id) == event


def test_a_body_that_is_no_text_stays_as_it_is(web: Web, browser: Browser) -> None:
    event = create(web, b"\xff\0", delay_ms=HOUR_MS)
    form = browser.page(f"/events/{name_of(event)}/edit")
    browser.post(f"/events/{name_of(event)}/edit", **LATER)

    assert "textarea" not in form
    assert read(web, event.id).content == Content("https://h/new", b"\xff\0")


def test_after_the_first_attempt_an_event_is_not_changed(
    web: Web, browser: Browser
) -> None:
    event = create(web)
    end(web, event, "retry")
    path = f"/events/{name_of(event)}"

    assert "Send now" not in browser.text(path)
    assert browser.client.get(f"{path}/edit").status_code == 404
    assert browser.post(f"{path}/edit", **LATER) == 409
    assert browser.post(f"{path}/replay") == 409


@pytest.mark.parametrize("outcome", ["delivered", "dead"])
def test_an_event_that_has_ended_is_sent_again(
    web: Web, browser: Browser, outcome: str
) -> None:
    event = create(web)
    end(web, event, outcome)
    response = browser.client.post(
        f"/events/{name_of(event)}/replay", headers={"Sec-Fetch-Site": "same-origin"}
    )
    active = keys.by_time(web.cell.prefix, str(event.owner), State.ACTIVE)
    [new] = web.cell.client.zrange(active, 0, -1)
    again = read(web, new.decode())

    assert response.location == f"/events/{name_of(again)}"
    assert (again.content.url, again.content.body) == ("https://h/x", b'{"a": 1}')
    assert read(web, event.id).state == ("cleared" if outcome == "dead" else outcome)


@pytest.mark.parametrize("dialect", ["jiter", "qstash", "events_v1"])
def test_the_request_is_shown_as_a_command_without_secrets(
    web: Web, browser: Browser, dialect: str
) -> None:
    draft = Draft(Content("https://h/it's", b'{"a": "it\'s"}'), 1_000)
    owner = web.owner(dialect)
    [accepted] = web.store.create_many(owner, [draft])
    words = curl(browser, Queries(web.cell).event(owner, accepted.id))
    headers = [words[at + 1] for at, word in enumerate(words) if word == "-H"]

    assert words[:5] == ["curl", "-sgS", "-X", "POST", "https://h/it's"]
    assert "it's" in words[words.index("--data-raw") + 1]
    signatures = [each for each in headers if "ignature" in each]
    assert signatures
    assert all(each.endswith(": (masked)") for each in signatures)


def test_the_command_takes_the_url_as_it_is(web: Web, browser: Browser) -> None:
    url, owner = "https://h/x?f[a]=1&g={b,c}", web.owner(DIALECT)
    [accepted] = web.store.create_many(owner, [Draft(Content(url, b""), 1_000)])
    words = curl(browser, read(web, accepted.id))

    assert words[:5] == ["curl", "-sgS", "-X", "POST", url]


def test_credentials_of_the_publisher_are_masked(web: Web, browser: Browser) -> None:
    headers = {
        "Authorization": f"Bearer {web.tenant.token}",
        "Upstash-Delay": "1h",
        "Upstash-Forward-Authorization": "Bearer sesame",
        "Upstash-Forward-X-Color": "red",
    }
    client = web.app.test_client()
    posted = client.post("/v2/publish/https://h/x", data=b"\0", headers=headers)
    page = browser.text(f"/events/{posted.json['messageId']}")

    assert "Authorization: (masked)" in page
    assert "X-Color: red" in page
    assert "sesame" not in page
    assert "echo AA== | base64 -d | curl -sgS" in page


def test_the_timeline_says_what_comes_next_and_how_it_ended(
    web: Web, browser: Browser
) -> None:
    event = create(web)
    end(web, event, "retry")
    retried = browser.text(f"/events/{name_of(event)}")
    other = create(web)
    end(web, other, "dead")

    assert "next attempt" in retried
    assert "dead" in browser.text(f"/events/{name_of(other)}")
