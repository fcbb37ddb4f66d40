"""Tests of sessions: who gets one, how it ends, and what a request needs beside it."""

import pytest
from flask import Request, Response
from flask.testing import FlaskClient
from scheduler_api.core.tenants.sign_ins import SignIns
from scheduler_api.core.tenants.token_forms import digest
from scheduler_api.dashboard.sessions import COOKIE, Sessions
from scheduler_api.failed_logins import ALLOWED_FAILURES
from tests.clock import Clock
from tests.dashboard.browser import OWN_PAGE, Browser, sign_in
from tests.dialects.engine import Web

TWELVE_HOURS_S = 43_200


def test_without_a_session_each_page_leads_to_the_sign_in(
    stranger: FlaskClient,
) -> None:
    response = stranger.get("/events?status=failed")

    assert response.status_code == 303
    assert response.location == "/sign-in?to=/events?status%3Dfailed"


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("/events", "/events"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/x\r\nSet-Cookie: a=b", "/"),
    ],
)
def test_a_sign_in_leads_to_pages_of_this_server_only(
    web: Web, stranger: FlaskClient, to: str, expected: str
) -> None:
    form = {"token": web.tenant.token, "to": to}
    response = stranger.post("/sign-in", data=form, headers=OWN_PAGE)

    assert (response.status_code, response.location) == (303, expected)


def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(
    web: Web, stranger: FlaskClient
) -> None:
    form = {"token": web.tenant.token}
    through_tls = {"Origin": "https://localhost", "Sec-Fetch-Site": "same-origin"}
    plain = stranger.post("/sign-in", data=form, headers=OWN_PAGE)
    secure = stranger.post("/sign-in", data=form, headers=through_tls)

    assert "HttpOnly" in plain.headers["Set-Cookie"]
    assert "SameSite=Lax" in plain.headers["Set-Cookie"]
    assert f"Max-Age={TWELVE_HOURS_S}" in plain.headers["Set-Cookie"]
    assert "Secure" not in plain.headers["Set-Cookie"]
    assert "Secure" in secure.headers["Set-Cookie"]


def test_an_unknown_token_signs_nobody_in(stranger: FlaskClient) -> None:
    response = stranger.post("/sign-in", data={"token": "x"}, headers=OWN_PAGE)

    assert response.status_code == 401
    assert "Set-Cookie" not in response.headers


def test_s29_guessing_tokens_is_slowed_down(stranger: FlaskClient) -> None:
    statuses = [
        stranger.post("/sign-in", data={"token": "x"}, headers=OWN_PAGE).status_code
        for _ in range(ALLOWED_FAILURES + 1)
    ]

    assert statuses[0] == 401
    assert statuses[-1] == 429


def test_a_revoked_token_ends_its_sessions_at_once(web: Web, browser: Browser) -> None:
    browser.page("/events")
    web.tenants.tokens.revoke(web.tenant.id, "first")

    assert browser.client.get("/events").status_code == 303
    assert browser.post("/settings/tokens", name="another") == 303
    assert web.tenants.tokens.all_of(web.tenant.id) == []


def test_a_page_that_refreshes_learns_that_the_session_has_ended(
    web: Web, browser: Browser
) -> None:
    web.tenants.tokens.revoke(web.tenant.id, "first")
    response = browser.client.get("/events", headers={"Dashboard-Refresh": "1"})

    assert response.status_code == 401


def test_after_a_sign_out_a_copy_of_the_cookie_is_worthless(browser: Browser) -> None:
    copy = browser.client.get_cookie(COOKIE)
    assert browser.post("/sign-out") == 303
    assert copy is not None
    browser.client.set_cookie(COOKIE, copy.value)

    assert browser.client.get("/events").status_code == 303


def test_a_session_ends_after_twelve_hours(web: Web) -> None:
    clock = Clock(1_900_000_000.0)
    sessions = Sessions(
        SignIns(web.cell), web.tenants.tokens, secret_keys=["k"], clock=clock
    )
    response = Response()
    sessions.start(response, digest(web.tenant.token), secure=False)
    cookie = response.headers["Set-Cookie"].partition(";")[0]
    request = Request({"HTTP_COOKIE": cookie})
    clock.now_s += TWELVE_HOURS_S - 1
    before = sessions.find(request)
    clock.now_s += 1

    assert before is not None
    assert sessions.find(request) is None


@pytest.mark.parametrize("cookie", ["", "x", "W10.x", "é", "x" * 4_000])
def test_a_forged_cookie_is_no_session(stranger: FlaskClient, cookie: str) -> None:
    stranger.set_cookie(COOKIE, cookie)

    assert stranger.get("/events").status_code == 303


def test_an_address_signs_in_once(web: Web, stranger: FlaskClient) -> None:
    secret = SignIns(web.cell).create(web.tenant.token)
    first = stranger.get(f"/sign-in/{secret}")
    events = stranger.get("/events").status_code
    again = web.app.test_client().get(f"/sign-in/{secret}")

    assert (first.status_code, events) == (303, 200)
    assert again.status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    ],
)
def test_s29_a_form_of_another_page_changes_nothing(
    web: Web, browser: Browser, headers: dict[str, str]
) -> None:
    form = {"name": "stolen"}
    response = browser.client.post("/settings/tokens", data=form, headers=headers)

    assert response.status_code == 403
    assert len(web.tenants.tokens.all_of(web.tenant.id)) == 1


def test_a_form_of_this_page_is_accepted_by_its_origin_too(
    web: Web, browser: Browser
) -> None:
    response = browser.client.post(
        "/settings/tokens", data={"name": "x"}, headers={"Origin": "http://localhost"}
    )

    assert response.status_code == 201
    assert len(web.tenants.tokens.all_of(web.tenant.id)) == 2


def test_a_read_only_token_sees_and_changes_nothing(web: Web) -> None:
    token = web.tenants.tokens.create(web.tenant.id, "reader", read_only=True)
    browser = sign_in(web, token)

    assert "Create a token" not in browser.page("/settings/tokens")
    assert browser.post("/settings/tokens", name="x") == 403
    assert browser.post("/settings/tokens/revoke", name="first") == 403
    assert len(web.tenants.tokens.all_of(web.tenant.id)) == 2
    assert browser.post("/sign-out") == 303


def test_an_operator_sees_the_tenant_that_was_chosen(web: Web) -> None:
    browser = sign_in(web, web.tenants.tokens.create(None, "boss"))
    asked = browser.text("/events")
    browser.post("/view", tenant=web.tenant.id)

    assert "Choose a tenant" in asked
    assert "No events here" in browser.text("/events")


def test_each_page_names_the_chosen_tenant_until_all_are_shown_again(
    web: Web,
) -> None:
    browser = sign_in(web, web.tenants.tokens.create(None, "boss"))
    paths = ("/overview", "/events", "/settings/tokens")
    everything = [browser.text(path) for path in paths]
    browser.post("/view", tenant=web.tenant.id)
    chosen = [browser.text(path) for path in paths]
    returned = browser.post("/view")
    again = [browser.text(path) for path in paths]

    assert returned == 303
    assert {"Tenant test Show all tenants" in page for page in chosen} == {True}
    assert {"Show all tenants" in page for page in everything + again} == {False}
    assert "Choose a tenant" in again[1]


def test_a_tenant_has_no_other_tenants_to_show(browser: Browser) -> None:
    assert "Show all tenants" not in browser.text("/overview")


def test_s27_a_tenant_cannot_choose_another_tenant(web: Web, browser: Browser) -> None:
    other = web.tenants.create("other")

    assert browser.post("/view", tenant=other.id) == 403
    assert "other" not in browser.text("/settings/tokens")


def test_a_new_token_is_shown_once_and_works(web: Web, browser: Browser) -> None:
    response = browser.client.post(
        "/settings/tokens", data={"name": "deploy"}, headers=OWN_PAGE
    )
    [token] = [word for word in response.text.split("<") if "sched_" in word]

    sign_in(web, token.partition(">")[2])
    assert "sched_" not in browser.page("/settings/tokens")
    assert browser.post("/settings/tokens", name="deploy") == 409
