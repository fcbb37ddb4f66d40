"""Tests of the page that creates events and schedules."""

import pytest
from collections.abc import Callable
from scheduler_api.core.model import State
from scheduler_api.core.schedules.schedules import Schedules
from scheduler_api.core.store import audit, keys
from scheduler_api.core.timestamps import to_iso
from scheduler_api.dialects.qstash.parsing.message import from_options
from tests.dashboard.browser import OWN_PAGE, Browser, sign_in
from tests.dialects.engine import Web
from werkzeug.test import TestResponse

DIALECT = "qstash"
SCRIPT = "<script>alert(1)</script>"
FORM = {
    "url": "https://h/x",
    "method": "PUT",
    "headers": "Content-Type: text/plain\r\nX-Name: J\u00f6rg",
    "body": "one\r\ntwo",
    "when": "now",
    "retries": "2",
}
CRON = FORM | {"when": "cron", "expression": "0 9 * * *", "zone": "Europe/Berlin"}

MORE = {
    "label": "J\u00f6rg, orders",
    "queue": "mail",
    "failure_callback": "https://h/failed",
}


def send(browser: Browser, form: dict[str, str]) -> TestResponse:
    return browser.client.post("/create", data=form, headers=OWN_PAGE)


def stored_ids(web: Web) -> list[bytes]:
    owner, prefix = str(web.owner(DIALECT)), web.cell.prefix
    active = keys.by_time(prefix, owner, State.ACTIVE)
    schedules = keys.schedules(prefix, owner)
    client = web.cell.client
    return [*client.zrange(active, 0, -1), *client.zrange(schedules, 0, -1)]


def test_an_event_is_created_as_the_form_says(web: Web, browser: Browser) -> None:
    response = send(browser, FORM)
    assert response.status_code == 303
    name = response.location.rpartition("/")[2]
    published = browser.client.get(
        f"/v2/messages/{name}", headers={"Authorization": f"Bearer {web.tenant.token}"}
    ).json

    assert published["url"] == "https://h/x"
    assert published["method"] == "PUT"
    assert published["body"] == "one\ntwo"
    assert published["header"]["Content-Type"] == ["text/plain"]
    assert published["header"]["X-Name"] == ["J\u00f6rg"]
    assert published["maxRetries"] == 2
    [record] = audit.newest(web.cell, web.tenant.id, count=9)
    assert (record.change.action, record.change.object) == ("event.create", name)


@pytest.mark.parametrize("form", [FORM, CRON], ids=["event", "schedule"])
def test_label_queue_and_failure_callback_are_as_the_form_says(
    web: Web, browser: Browser, form: dict[str, str]
) -> None:
    is_schedule = form is CRON
    location = send(browser, form | MORE).location
    name = location.rpartition("/")[2]
    path = f"/v2/schedules/scd_{name}" if is_schedule else f"/v2/messages/{name}"
    authorization = {"Authorization": f"Bearer {web.tenant.token}"}
    published = browser.client.get(path, headers=authorization).json

    assert published["labels"] == ["J\u00f6rg", "orders"]
    assert published["queueName"] == "mail"
    assert published["failureCallback"] == "https://h/failed"


def test_more_fields_are_closed_until_one_is_filled_in(browser: Browser) -> None:
    assert '<details class="more">' in browser.page("/create")
    for name in MORE:
        assert '<details class="more" open>' in browser.page(f"/create?{name}=x")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"label": "x" * 1_025}, "It should have at most 1024 characters"),
        ({"label": ",".join(map(str, range(33)))}, "It should have at most 32 labels"),
        ({"queue": "no blanks"}, "It should be 1 to 256 letters"),
        ({"queue": ".."}, "It should not be"),
        ({"failure_callback": "h/failed"}, "begins with http:// or https://"),
        ({"failure_callback": "http://127.0.0.1/"}, "a loopback address: 127.0.0.1"),
        ({"failure_callback": "http://h:x/"}, "port"),
    ],
)
@pytest.mark.parametrize("good", [FORM, CRON], ids=["event", "schedule"])
def test_an_error_among_more_fields_opens_them_and_keeps_what_was_typed(
    web: Web,
    browser: Browser,
    good: dict[str, str],
    wrong: dict[str, str],
    sentence: str,
) -> None:
    [name] = wrong
    response = send(browser, good | MORE | wrong)
    more = response.text.partition('<details class="more" open>')[2]
    problem = more.partition(f'<p id="{name}-hint" class="problem" role="alert">')[2]

    assert response.status_code == 400
    assert sentence in problem.partition("</p>")[0]
    for field, typed in (MORE | wrong).items():
        assert f'name="{field}" value="{typed}"' in more
    assert stored_ids(web) == []


@pytest.mark.parametrize("when", ["delay", "at"])
def test_an_event_for_later_is_scheduled(web: Web, browser: Browser, when: str) -> None:
    at = to_iso(web.cell.now_ms() + 7_200_000).removesuffix("Z")
    response = send(browser, FORM | {"when": when, "delay": "2h", "at": at})

    assert response.status_code == 303
    assert "1 scheduled 0 due" in browser.text("/overview")


def test_an_event_is_not_due_before_its_time(web: Web, browser: Browser) -> None:
    at_ms = web.cell.now_ms() // 1_000 * 1_000 + 7_200_500
    at = to_iso(at_ms).removesuffix("Z")
    send(browser, FORM | {"when": "at", "at": at})
    active = keys.by_time(web.cell.prefix, str(web.owner(DIALECT)), State.ACTIVE)
    [(_, due_ms)] = web.cell.client.zrange(active, 0, -1, withscores=True)

    assert due_ms == at_ms + 500


def test_a_schedule_is_created_as_the_form_says(web: Web, browser: Browser) -> None:
    response = send(browser, CRON)
    schedule_id = response.location.rpartition("/")[2]
    schedules = Schedules(web.cell, grace_ms=60_000)
    schedule = schedules.get(web.owner(DIALECT), schedule_id)

    assert (schedule.expression, schedule.tz) == ("0 9 * * *", "Europe/Berlin")
    assert schedule.content.body == b"one\ntwo"
    assert from_options(schedule.content.options).retries == 2
    assert "At 09:00 every day" in browser.text(response.location)
    [record] = audit.newest(web.cell, web.tenant.id, count=9)
    assert record.change.action == "schedule.create"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"url": ""}, "begins with http:// or https://"),
        ({"url": "my-group"}, "begins with http:// or https://"),
        ({"url": "http://127.0.0.1/"}, "a loopback address: 127.0.0.1"),
        ({"url": "http://[fe80::1]/"}, "a blocked address: fe80::1"),
        ({"method": "HEAD"}, "It should be one of"),
        ({"headers": "no colon"}, "should be Name: value"),
        ({"headers": "A b: c"}, "cannot be forwarded"),
        ({"headers": "User-Agent: x"}, "User-Agent is set by this server"),
        ({"retries": "-1"}, "should be a whole number from 0 on"),
        ({"retries": "99999"}, "should be at most"),
        ({"body": "x" * 1_100_000}, "It has more than 1048576 bytes"),
    ],
)
@pytest.mark.parametrize("good", [FORM, CRON], ids=["event", "schedule"])
def test_what_is_wrong_is_said_beside_the_field_and_nothing_is_stored(
    web: Web,
    browser: Browser,
    good: dict[str, str],
    wrong: dict[str, str],
    sentence: str,
) -> None:
    response = send(browser, good | wrong)

    assert response.status_code == 400
    assert sentence in response.text
    assert stored_ids(web) == []
    assert audit.newest(web.cell, web.tenant.id, count=1) == []


@pytest.mark.parametrize(
    ("timing", "sentence"),
    [
        ({"when": "delay", "delay": ""}, "should be a duration"),
        ({"when": "delay", "delay": "soon"}, "should be a duration"),
        ({"when": "delay", "delay": "9999d"}, "should be at most"),
        ({"when": "at", "at": ""}, "should be a time such as"),
        ({"when": "at", "at": "2020-01-01T00:00"}, "should be in the future"),
        ({"when": "at", "at": "9000-01-01T00:00"}, "should be at most"),
        ({"when": "cron", "expression": "0 25 * * *"}, "from 0 to 23"),
        ({"when": "cron", "expression": "@reboot"}, "is not an alias"),
        ({"when": "cron", "expression": "* * * * *", "zone": "Mars"}, "unknown time"),
        ({"when": "cron", "expression": "TZ=Asia/Tokyo 0 9 * * *"}, "names the zone"),
    ],
)
def test_a_wrong_time_is_refused_beside_the_field(
    web: Web, browser: Browser, timing: dict[str, str], sentence: str
) -> None:
    response = send(browser, FORM | timing)

    assert response.status_code == 400
    assert sentence in response.text
    assert stored_ids(web) == []


def test_a_preview_creates_nothing(web: Web, browser: Browser) -> None:
    response = send(browser, CRON | {"preview": "", "expression": "30 2 28 3 *"})

    assert response.status_code == 200
    assert "At 02:30 on day 28 of the month in March" in response.text
    assert "clocks go forward" in response.text
    assert 'value="https://h/x"' in response.text
    assert stored_ids(web) == []


def test_the_preview_shows_the_waits_before_retries(browser: Browser) -> None:
    page = browser.text("/create/preview?retries=2")
    none = browser.text("/create/preview?retries=0")

    assert "it is tried again 12 s, 2 min 40 s after the first attempt" in page
    assert "One attempt" in none
    assert "from 0 on" in browser.text("/create/preview?retries=x")


@pytest.mark.parametrize(
    "query", ["when=x", "when=cron&expression=%00", "zone=", "x=1"]
)
def test_a_preview_of_anything_is_a_page(browser: Browser, query: str) -> None:
    assert "Preview" in browser.text(f"/create/preview?{query}")


def test_a_test_request_goes_to_the_built_in_receiver_if_it_is_on(
    make_web: Callable[..., Web],
) -> None:
    web = make_web(receiver=True, allow_networks=())
    browser = sign_in(web, web.tenant.token)
    off = sign_in(make_web(), web.tenant.token)

    assert "built-in receiver" in browser.text("/create")
    assert "built-in receiver" not in off.text("/create")


def test_what_was_typed_comes_back_as_text(web: Web, browser: Browser) -> None:
    names = ("url", "headers", "body", "delay", "at", "expression", "zone", "retries")
    names += tuple(MORE)
    for when in ("now", "delay", "at", "cron", SCRIPT):
        response = send(browser, dict.fromkeys(names, SCRIPT) | {"when": when})

        assert response.status_code == 400
        assert SCRIPT not in response.text
    assert SCRIPT not in browser.page(f"/create/preview?when=cron&expression={SCRIPT}")
    assert stored_ids(web) == []


def test_an_operator_chooses_a_tenant_first(web: Web) -> None:
    operator = sign_in(web, web.tenants.tokens.create(None, "boss"))
    asked = send(operator, FORM).text
    operator.post("/view", tenant=web.tenant.id)

    assert "Choose a tenant" in asked
    assert send(operator, FORM).status_code == 303
    assert len(stored_ids(web)) == 1
