"""Tests of the pages of signing keys and tenants."""

import pytest
import re
from scheduler_api.core.model import Content, Draft
from scheduler_api.core.store import audit
from tests.dashboard.browser import OWN_PAGE, Browser, sign_in
from tests.dialects.engine import Web
from typing import Any

SCRIPT = "<script>alert(1)</script>"
DIALECTS = ("jiter", "qstash", "events_v1")


@pytest.fixture
def operator(web: Web) -> Browser:
    return sign_in(web, web.tenants.tokens.create(None, "boss"))


def rotate(browser: Browser, dialect: str, **form: str) -> Any:
    """Rotate as the form on the page does."""
    found = re.search(
        rf'value="{dialect}">\s*<input type="hidden" name="at" value="([0-9]+)"',
        browser.page("/settings/keys"),
    )
    assert found
    return send_rotation(browser, {"dialect": dialect, "at": found[1], **form})


def send_rotation(browser: Browser, form: dict[str, str]) -> Any:
    return browser.client.post("/settings/keys/rotate", data=form, headers=OWN_PAGE)


def test_the_page_shows_no_key_until_it_is_asked_for(
    web: Web, browser: Browser
) -> None:
    keys = set(web.tenants.secrets(web.tenant.id).by_name.values())
    page = browser.page("/settings/keys")
    shown = browser.client.post(
        "/settings/keys/values", data={"dialect": "qstash"}, headers=OWN_PAGE
    ).text

    assert [key for key in keys if key in page] == []
    assert "QSTASH_CURRENT_SIGNING_KEY" in page
    assert {key for key in keys if key in shown} == {
        web.tenant.secrets["qstash.current"],
        web.tenant.secrets["qstash.next"],
    }


@pytest.mark.parametrize("dialect", DIALECTS)
def test_keys_are_rotated_and_the_new_ones_are_shown(
    web: Web, browser: Browser, dialect: str
) -> None:
    before = web.tenants.secrets(web.tenant.id)
    response = rotate(browser, dialect)
    after = web.tenants.secrets(web.tenant.id)
    changed = {name for name in after.by_name if after[name] != before[name]}
    [record] = audit.newest(web.cell, web.tenant.id, count=1)

    assert response.status_code == 200
    assert changed
    assert {name.partition(".")[0] for name in changed} == {dialect}
    assert all(after[name] in response.text for name in changed)
    assert (record.change.action, record.change.by) == ("keys.rotate", "first")


def test_a_form_that_is_sent_twice_rotates_once(web: Web, browser: Browser) -> None:
    at = str(web.tenants.account(web.tenant.id).created_at_ms)
    form = {"dialect": "jiter", "at": at}
    first = send_rotation(browser, form)
    rotated = web.tenants.secrets(web.tenant.id)
    second = send_rotation(browser, form)

    assert (first.status_code, second.status_code) == (200, 409)
    assert web.tenants.secrets(web.tenant.id) == rotated


def test_an_old_key_can_end_at_once(web: Web, browser: Browser) -> None:
    rotate(browser, "events_v1")
    grace = browser.text("/settings/keys")
    rotate(browser, "events_v1", at_once="yes")

    assert "signs, too, until" in grace
    assert "signs, too, until" not in browser.text("/settings/keys")


def test_tenants_are_of_no_concern_to_a_tenant(web: Web, browser: Browser) -> None:
    other = web.tenants.create("other")
    form = {"tenant": other.id, "name": "other"}

    assert browser.client.get("/settings/tenants").status_code == 404
    path = f"/settings/tenants/remove?tenant={other.id}"
    assert browser.client.get(path).status_code == 404
    assert browser.post("/settings/tenants", name="x") == 404
    assert browser.post("/settings/tenants/remove", **form) == 404
    assert web.tenants.exists(other.id)
    assert "Tenants" not in browser.text("/settings/tokens")


def test_an_operator_creates_a_tenant_whose_token_is_shown_once(
    web: Web, operator: Browser
) -> None:
    response = operator.client.post(
        "/settings/tenants", data={"name": SCRIPT}, headers=OWN_PAGE
    )
    found = re.search(r"SCHEDULER_API_TOKEN=(\S+)", response.text)
    page = operator.page("/settings/tenants")

    assert response.status_code == 201
    assert found
    assert "No events" in sign_in(web, found[1]).text("/events")
    assert found[1] not in page
    assert SCRIPT not in page + response.text
    assert "&lt;script&gt;" in page
    assert operator.post("/settings/tenants", name="") == 400


def test_the_page_counts_what_a_tenant_has(web: Web, operator: Browser) -> None:
    draft = Draft(Content("https://h/", b""), 1_000, delay_ms=3_600_000)
    web.store.create_many(web.owner("qstash"), [draft] * 3)
    path = f"/settings/tenants/remove?tenant={web.tenant.id}"

    assert re.search(r"1 test \S+ \S+ UTC 3 0", operator.text("/settings/tenants"))
    assert "3 unfinished events" in operator.text(path)


def test_a_tenant_is_removed_only_by_its_name(web: Web, operator: Browser) -> None:
    form = {"tenant": web.tenant.id}
    wrong = operator.post("/settings/tenants/remove", name="tset", **form)
    before = web.tenants.exists(web.tenant.id)
    right = operator.post("/settings/tenants/remove", name="test", **form)
    [record, *_] = audit.newest(web.cell, None, count=1)

    assert (wrong, before) == (400, True)
    assert (right, web.tenants.exists(web.tenant.id)) == (303, False)
    assert record.change.by == "boss (operator)"
    assert "being removed" in operator.text("/settings/tenants")
    assert operator.post("/settings/tenants/remove", tenant="99", name="x") == 404


def test_a_read_only_operator_sees_tenants_and_changes_none(web: Web) -> None:
    token = web.tenants.tokens.create(None, "reader", read_only=True)
    reader = sign_in(web, token)
    page = reader.page("/settings/tenants")

    assert "test" in page
    assert "Create a tenant" not in page
    assert "Remove" not in page
    assert reader.post("/settings/tenants", name="x") == 403
    assert reader.post("/settings/tenants/remove", tenant="1", name="test") == 403


def test_pages_of_tenants_show_each_once(web: Web, operator: Browser) -> None:
    names = [f"tenant-{number:02}" for number in range(59)]
    for name in names:
        web.tenants.create(name)
    first, second = (
        operator.page(path)
        for path in ("/settings/tenants", "/settings/tenants?after=50")
    )

    assert "/settings/tenants?after=50" in first
    assert [name for name in names if name in first] == names[:49]
    assert [name for name in names if name in second] == names[49:]
