"""Tests of parsing URLs, and of which URLs may be destinations (S-05 to S-07)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scheduler_api.core.delivery.destinations import (
    URL_MAX_LENGTH,
    AddressPolicy,
    BadDestination,
    parse,
)
from tests.fuzzing import budget
from urllib.parse import urlsplit
from yarl import URL

VALID = [
    # Columns: URL, origin, request target.
    ("http://example.com", "http://example.com:80", "/"),
    ("http://example.com?x", "http://example.com:80", "/?x"),
    ("https://example.com/", "https://example.com:443", "/"),
    ("HTTPS://EXAMPLE.COM/A", "https://example.com:443", "/A"),
    ("http://example.com:443/", "http://example.com:443", "/"),
    ("http://example.com:00080/", "http://example.com:80", "/"),
    ("http://example.com./", "http://example.com:80", "/"),
    ("http://a_b-c.d9/", "http://a_b-c.d9:80", "/"),
    ("http://localhost:65535/", "http://localhost:65535", "/"),
    ("http://[::1]:80/x", "http://[::1]:80", "/x"),
    ("http://[0:0:0:0:0:0:0:1]/", "http://[::1]:80", "/"),
    ("http://[2606:4700::ABCD]/", "http://[2606:4700::abcd]:80", "/"),
    ("http://[::ffff:1.2.3.4]/", "http://[::ffff:102:304]:80", "/"),
    ("http://h/a//b/../c/./d", "http://h:80", "/a//b/../c/./d"),
    ("http://h/%2f%2F%41%zz%", "http://h:80", "/%2f%2F%41%zz%"),
    ("http://h/?q=%41&q=a+b&&=", "http://h:80", "/?q=%41&q=a+b&&="),
    ("http://h/a?b?c", "http://h:80", "/a?b?c"),
    ("http://h/a#frag", "http://h:80", "/a"),
    ("http://h/a?b#frag?c", "http://h:80", "/a?b"),
    ("http://h/@b:c", "http://h:80", "/@b:c"),
    ("http://h/;x='\"<>{}|^`", "http://h:80", "/;x='\"<>{}|^`"),
    ("http://h?@evil.example/", "http://h:80", "/?@evil.example/"),
    ("http://h/https://other/x", "http://h:80", "/https://other/x"),
    (
        "http://bücher.example/ü?ü=%fc",
        "http://xn--bcher-kva.example:80",
        "/%C3%BC?%C3%BC=%fc",
    ),
    ("http://faß.de/", "http://xn--fa-hia.de:80", "/"),
    ("http://例え.テスト/", "http://xn--r8jz45g.xn--zckzah:80", "/"),
    ("http://xn--bcher-kva.example/", "http://xn--bcher-kva.example:80", "/"),
    ("http://127.1/", "http://127.1:80", "/"),
    ("http://①②⑦.0.0.1/", "http://127.0.0.1:80", "/"),
    ("http://a。b/", "http://a.b:80", "/"),
]

REFUSED = [
    "",
    "/path",
    "//example.com/",
    "example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "javascript:alert(1)",
    "ws://example.com/",
    "http:",
    "http:/",
    "http://",
    "http:///path",
    "http:/example.com/",
    "http:example.com",
    "http://?x",
    "http://#x",
    "http://:80/",
    "http://127.0.0.1\\@example.com/",
    "http://example.com\\@127.0.0.1/",
    "http:\\\\example.com/",
    "http://example.com/a\\b",
    "http://user@example.com/",
    "http://user:pass@example.com/",
    "http://@example.com/",
    "http://:@example.com/",
    "http://example.com@127.0.0.1/",
    "http://127.0.0.1%2f@example.com/",
    "http://h%2eexample.com/",
    "http://%31%32%37.0.0.1/",
    "http://[fe80::1%25eth0]/",
    "http://[fe80::1%eth0]/",
    "http://[::1/",
    "http://::1/",
    "http://[::1]x/",
    "http://x[::1]/",
    "http://[::1]:/",
    "http://[]/",
    "http://[v1.x]/",
    "http://[1.2.3.4]/",
    "http://[::g]/",
    "http://[[::1]]/",
    "http://h:/",
    "http://h:0/",
    "http://h:65536/",
    "http://h:99999/",
    "http://h:-1/",
    "http://h:+80/",
    "http://h:8_0/",
    "http://h:٣/",
    "http://h:80:80/",
    "http://h:80a/",
    "http://h: 80/",
    "http://ex ample.com/",
    " http://example.com/",
    "http://example.com/ ",
    "http://example.com/a b",
    "http://example.com/\r\nX-Injected: 1",
    "http://example.com/\x00",
    "http://exa\tmple.com/",
    "http://example.com/\x7f",
    "http://example.com/\x85",
    "http://example.com/\u2028",
    "http://example.com/\ud800",
    "\ufeffhttp://example.com/",
    "http://a..b/",
    "http://.a/",
    "http://-a.b/",
    "http://a,b/",
    "http://a;b/",
    "http://*/",
    "http://a$b/",
    "http://ex℀mple.com/",
    "http://\uff41\uff0f\uff42/",
    f"http://{'a' * 64}.com/",
    f"http://{'a.' * 130}com/",
    f"http://{'é' * 60}.com/",
    f"http://h/{'a' * URL_MAX_LENGTH}",
]


@pytest.mark.parametrize(("url", "origin", "target"), VALID)
def test_s06_both_parsers_agree_on_a_valid_url(
    url: str, origin: str, target: str
) -> None:
    destination = parse(url)

    assert destination.url == url
    assert str(destination.origin) == origin
    assert destination.target == target
    by_yarl = URL(destination.normalized_url, encoded=True)
    by_urllib = urlsplit(destination.normalized_url)
    assert by_yarl.raw_path_qs == target
    assert by_yarl.raw_host == by_urllib.hostname
    assert by_yarl.raw_host is not None
    assert by_yarl.raw_host.rstrip(".") == destination.host
    assert by_yarl.port == destination.port


@pytest.mark.parametrize("url", REFUSED)
def test_s06_an_invalid_or_ambiguous_url_is_refused(url: str) -> None:
    with pytest.raises(BadDestination) as refusal:
        parse(url)
    assert len(str(refusal.value)) > 10


@given(
    st.text(
        alphabet=st.sampled_from("ab1.:/@\\?#[]%&;=+-_~ \t\r\n\x00é。①℀\uff10"),
        max_size=30,
    )
)
@budget(200)
def test_s06_property_both_parsers_agree_or_the_url_is_refused(rest: str) -> None:
    try:
        destination = parse("http://" + rest)
    except BadDestination:
        return

    by_yarl = URL(destination.normalized_url, encoded=True)
    by_urllib = urlsplit(destination.normalized_url)
    assert destination.normalized_url.isascii()
    assert by_yarl.raw_host == by_urllib.hostname
    assert by_yarl.port == (by_urllib.port or 80) == destination.port
    assert by_yarl.user is None
    assert by_urllib.username is None


@pytest.mark.parametrize(
    "host",
    [
        "127.1",
        "0x7f.1",
        "2130706433",
        "0177.0.0.1",
        "0",
        "①②⑦.0.0.1",
        "\uff11\uff12\uff17.0.0.1",
    ],
)
def test_s05_the_parsed_host_is_the_host_that_is_connected_to(
    host: str,
) -> None:
    destination = parse(f"http://{host}/")

    assert URL(destination.normalized_url, encoded=True).raw_host == destination.host


def test_s07_a_policy_can_require_https() -> None:
    policy = AddressPolicy(https_only=True)
    assert policy.read("https://h/").port == 443

    with pytest.raises(BadDestination, match="https"):
        policy.read("http://h/")


def test_s07_a_policy_can_restrict_the_ports_of_urls() -> None:
    policy = AddressPolicy(ports=frozenset({80, 443, 8080}))
    assert policy.read("http://h:8080/").port == 8080
    assert policy.read("https://h/").port == 443

    with pytest.raises(BadDestination, match="22 is not allowed: use one of 80, 443"):
        policy.read("http://h:22/")


def test_s07_a_policy_restricts_the_ports_of_connections() -> None:
    policy = AddressPolicy(ports=frozenset({443}))

    assert policy.refusal("93.184.215.14", 443) is None
    assert policy.refusal("93.184.215.14", 0) is None
    assert policy.refusal("93.184.215.14", 80) == "port not allowed"


def test_s07_the_maximum_length_of_a_url_can_be_set() -> None:
    assert parse("http://h/ab", max_length=11)

    with pytest.raises(BadDestination, match="10"):
        parse("http://h/ab", max_length=10)
