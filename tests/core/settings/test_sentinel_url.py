"""Tests of Sentinel URLs."""

import pytest
import re
from scheduler_api.core.settings.sentinel_url import FORM, is_sentinel, read


def test_a_url_names_sentinels_a_service_and_the_options_of_the_store():
    url = read(
        "redis+sentinel://user:p%40ss@one.example,10.0.0.2:26380,[::1]:26381/my%20store/3"
        "?sentinel_password=s%26cret&health_check_interval=5"
    )

    assert url.sentinels == (
        ("one.example", 26379),
        ("10.0.0.2", 26380),
        ("::1", 26381),
    )
    assert url.service == "my store"
    assert url.credentials == {"password": "s&cret"}
    assert (
        url.store_url
        == "redis://user:p%40ss@one.example:26379/3?health_check_interval=5"
    )


def test_the_store_of_a_secure_url_has_tls_and_database_0():
    assert read("rediss+sentinel://[::1]/m").store_url == "rediss://[::1]:26379/0"


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://host",
        "redis+sentinel://host/",
        "redis+sentinel:///m",
        "redis+sentinel://host,/m",
        "redis+sentinel://host:0/m",
        "redis+sentinel://host:65536/m",
        "redis+sentinel://host:port/m",
        "redis+sentinel://host/m/x",
        "redis+sentinel://host/m/0/0",
        "redis+sentinel://host/m#0",
        "redis+sentinel://ho st/m",
    ],
)
def test_a_malformed_url_is_refused_with_the_form(url: str):
    with pytest.raises(ValueError, match=re.escape(FORM)):
        read(url)


@pytest.mark.parametrize("url", ["redis://host/0", "sentinel://host/m", "unix:///s"])
def test_other_urls_name_no_sentinels(url: str):
    assert not is_sentinel(url)
