"""Tests that URLs which one handler of a receiver answers have the same route."""

import pytest
from scheduler_api.core.delivery.destinations import BadDestination
from scheduler_api.core.delivery.routes import route


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://a.example/users/42/hook?x=1", "http://a.example:80/users/*/hook"),
        ("http://A.example:80/users/7/hook", "http://a.example:80/users/*/hook"),
        ("https://a.example", "https://a.example:443/"),
        ("https://a.example/?token=abc", "https://a.example:443/"),
        ("https://a.example/v2/send/", "https://a.example:443/*/send/"),
        (f"http://a.example/{'x' * 32}/y", f"http://a.example:80/{'x' * 32}/y"),
        (f"http://a.example/{'x' * 33}/y", "http://a.example:80/*/y"),
        ("http://a.example/٣/y", "http://a.example:80/*/y"),
        ("http://[::1]:9000/a%20b", "http://[::1]:9000/*"),
    ],
)
def test_segments_that_identify_an_object_are_collapsed(url: str, expected: str):
    assert route(url) == expected


def test_a_text_that_is_no_url_has_no_route():
    with pytest.raises(BadDestination):
        route("group")
