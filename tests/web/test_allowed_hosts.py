"""Tests of the hosts that a development server serves."""

import pytest
from collections.abc import Iterator
from flask import Flask
from scheduler_api.app import create_app
from scheduler_api.settings import Settings
from scheduler_api.web.allowed_hosts import FROM_ELSEWHERE, UNKNOWN_HOST

SECRET_KEY = "0123456789abcdef"
HOST = "localhost:8080"


def _app(*allowed: str) -> Flask:
    return create_app(
        Settings(
            redis_url="redis://127.0.0.1:1/0",
            secret_key=SECRET_KEY,
            host="192.0.2.1",
            allowed_hosts=allowed,
        )
    )


@pytest.fixture(scope="module")
def app() -> Iterator[Flask]:
    yield _app("dev.example", "fd00::1")


def _get(app: Flask, headers: dict[str, str], *, method: str = "GET") -> int:
    # Without a `Host`, the test client would send one of its own.
    environ = {"HTTP_HOST": headers.get("Host", "")}
    return (
        app.test_client()
        .open("/healthz", method=method, headers=headers, environ_overrides=environ)
        .status_code
    )


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST.:8080", "app.localhost:80", "127.0.0.1:8080"),
        *("127.9.9.9", "[::1]:8080", "dev.example", "DEV.example:9", "[fd00::1]"),
        "192.0.2.1:8080",
    ],
)
def test_loopback_and_allowed_hosts_are_served(app: Flask, host: str) -> None:
    assert _get(app, {"Host": host}) == 200


@pytest.mark.parametrize(
    "host",
    [
        *("attacker.example:8080", "localhost.attacker.example", "127.0.0.1.nip.io"),
        *("a@localhost", "localhost:80@attacker.example", "[::1].attacker.example"),
        *("127.0.0.1/x", "10.0.0.1", "0.0.0.0", "notlocalhost", "sub.dev.example"),
        *("", "[::1", "localhost:8080, attacker.example", "::1", "2130706433"),
    ],
)
def test_other_hosts_are_refused(app: Flask, host: str) -> None:
    assert _get(app, {"Host": host}) == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site", "Cross-Site", "x", ""])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_requests_for_pages_elsewhere_are_refused(
    app: Flask, site: str, method: str
) -> None:
    headers = {"Host": HOST, "Sec-Fetch-Site": site}

    assert _get(app, headers, method=method) == 403


@pytest.mark.parametrize(
    "origin",
    [
        *("http://attacker.example", "null", "", "http://localhost:8081", "https://"),
        *("http://localhost", "http://localhost:8080.attacker.example", "file://"),
    ],
)
def test_other_origins_are_refused(app: Flask, origin: str) -> None:
    assert _get(app, {"Host": HOST, "Origin": origin}) == 403
    assert (
        _get(app, {"Host": HOST, "Origin": origin, "Sec-Fetch-Site": "same-origin"})
        == 403
    )


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://localhost:8080"},
        {"Origin": "https://LOCALHOST:8080", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        # Node's `fetch` sends this one of the headers.
        {"Sec-Fetch-Mode": "cors"},
    ],
)
def test_own_pages_people_and_programs_are_served(
    app: Flask, headers: dict[str, str]
) -> None:
    assert _get(app, {"Host": HOST, **headers}) == 200


def test_a_refusal_has_the_format_of_the_api(app: Flask) -> None:
    http = app.test_client()

    other = http.post("/v2/publish/http://a/", headers={"Host": "attacker.example"})
    page = http.post("/v1/register", headers={"Host": HOST, "Origin": "null"})

    assert other.get_json() == {"error": UNKNOWN_HOST}
    assert page.get_json()["message"] == FROM_ELSEWHERE


def test_without_the_setting_any_host_is_served() -> None:
    app = _app()

    assert _get(app, {"Host": "any.example", "Origin": "http://other"}) == 200
