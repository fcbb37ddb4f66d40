"""Tests of host names that clients percent-encode in the path of a request."""

import pytest
from typing import Any

BUECHER = "https://xn--bcher-kva.example"
ROUTES = ("/v2/publish/", "/v2/enqueue/q/", "/v2/schedules/")
FAULT = "URL has a percent escape or a zone in its host"
ACCEPTED = [
    ("https://b%C3%BCcher.example/x", f"{BUECHER}/x"),
    ("https://b%c3%bccher.example:8443?a=%C3%BC", f"{BUECHER}:8443?a=%C3%BC"),
    ("https://B%C3%9CCHER.example", BUECHER),
    ("https://bu%CC%88cher.example/", f"{BUECHER}/"),
    ("https://%62%C3%BCcher.example/", f"{BUECHER}/"),
    ("https%3A%2F%2Fb%C3%BCcher.example%2Fx", f"{BUECHER}/x"),
    (
        "https://xn--bcher-kva.%E6%9D%B1%E4%BA%AC/",
        "https://xn--bcher-kva.xn--1lqs71d/",
    ),
    ("https://stra%C3%9Fe.de/", "https://xn--strae-oqa.de/"),
    ("https://%F0%9F%92%A9.la/", "https://xn--ls8h.la/"),
]
REFUSED = [
    *("a%2fb", "a%40b", "%00", "%6c%6fcalhost", "127%2E0.0.1", "%31.0.0.1"),
    *(
        "a%C3%BC%2Fb.c",
        "a%C3%BC%40b.c",
        "a%C3%BC%00.c",
        "a%C3%BC%5Cb",
        "a%C3%BC%3A80",
    ),
    *("a%C3%BC%23.c", "a%C3%BC%3F.c", "a%C3%BC%20.c", "a%C3%BC%25.c"),
    "%EF%BC%91%EF%BC%92%EF%BC%97.0.0.1",
    "%E2%91%A0%E2%91%A1%E2%91%A6.0.0.1",
    "127%E3%80%820%E3%80%820%E3%80%821",
    "b%C3%BCcher%EF%BC%8Eexample",
    *("b%C3%BCcher%2Eexample", "%E2%84%AA.com", "%EF%BD%B6.jp"),
    *("a%E2%80%8Db", "%C3%BC%E2%80%8B", "%C2%AD127.0.0.1", "%E2%80%AE.c"),
    *("b%FCcher.example", "b%C3%BC%zz.de", "%25C3%25BC.de", "%C3%BC%.de"),
    *("b%C3%BCcher.example:8%30", "[::1%25eth0]", "xn--%C3%BC.de"),
    "%C3%BC" * 60,
]


def send(api: Any, route: str, destination: str) -> tuple[int, Any]:
    """Send a message or a schedule; return the status and what is stored."""
    headers = {"Upstash-Delay": "1d"}
    if "schedules" in route:
        headers["Upstash-Cron"] = "0 0 1 1 *"
    status, answer = api.call("POST", route + destination, headers=headers)
    if "scheduleId" in answer:
        return status, api.call("GET", f"/v2/schedules/{answer['scheduleId']}")[1]
    return status, answer


@pytest.mark.parametrize("route", ROUTES)
def test_an_escaped_international_host_is_accepted(api: Any, route: str) -> None:
    for destination, url in ACCEPTED:
        status, stored = send(api, route, destination)
        assert status in (200, 201)
        assert stored.get("url", stored.get("destination")) == url


def test_an_escaped_international_host_is_accepted_in_a_batch(api: Any) -> None:
    delayed = {"headers": {"Upstash-Delay": "1d"}}
    items = [{"destination": destination, **delayed} for destination, _ in ACCEPTED]

    answers = api.call("POST", "/v2/batch", json=items)[1]

    assert [answer["url"] for answer in answers] == [url for _, url in ACCEPTED]


def test_filters_take_international_hosts_too(api: Any) -> None:
    for port in ("", ":8443"):
        send(api, "/v2/publish/", f"https://b%C3%BCcher.example{port}/x")

    for query, found in (
        ({"host": "bücher.example"}, 2),
        ({"host": "BÜCHER.example:8443"}, 1),
        ({"host": "xn--bcher-kva.example"}, 2),
        ({"host": "bücher.example:99999"}, 0),
        ({"host": "bücher.example/x"}, 0),
        ({"host": "bücher.example#"}, 0),
        ({"host": ""}, 0),
        ({"url": "https://bücher.example/x"}, 1),
        ({"url": f"{BUECHER}/x"}, 1),
        ({"url": "https://b%C3%BCcher.example:8443/x"}, 1),
        ({"url": "bücher"}, 0),
    ):
        _, page = api.call("GET", "/v2/logs", query_string=query)
        assert len(page["logs"]) == found, query
    cancelled = api.call(
        "DELETE", "/v2/messages", query_string={"host": "bücher.example"}
    )
    assert cancelled == (200, {"cancelled": 2})


@pytest.mark.parametrize("route", ROUTES)
def test_s06_any_other_escape_in_a_host_is_refused(api: Any, route: str) -> None:
    for host in REFUSED:
        status, answer = send(api, route, f"http://{host}/x")
        assert (status, FAULT in answer["error"]) == (400, True), host


def test_s05_an_escaped_host_beside_digits_is_no_address(api: Any) -> None:
    _, stored = send(api, "/v2/publish/", "http://%C3%BC.127.0.0.1/")

    assert stored["url"] == "http://xn--tda.127.0.0.1/"
