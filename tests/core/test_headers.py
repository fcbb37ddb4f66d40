"""Tests of which headers a publisher may set, and which characters are allowed.

The tests cover the rules S-16 and S-17.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scheduler_api.core.headers import (
    BadHeader,
    check_outbound,
    from_stored,
    from_text,
    is_reserved,
    to_stored,
    to_text,
)

SENDABLE = {*range(0x20, 0x7F), *range(0x80, 0x100), 0x09}
TOKEN = frozenset(
    "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)


def refuses(name: str, value: str) -> bool:
    try:
        check_outbound(name, value)
    except BadHeader:
        return True
    return False


@pytest.mark.parametrize("code", [*range(0x180), 0x4E2D, 0xD83D, 0xFEFF, 0x1F600])
def test_s16_a_value_may_contain_only_characters_that_can_be_sent(code: int) -> None:
    value = f"a{chr(code)}b"

    assert refuses("X-Name", value) == (code not in SENDABLE)


@pytest.mark.parametrize("code", [*range(0x180), 0x212A, 0x4E2D])
def test_s16_a_name_may_contain_only_token_characters(code: int) -> None:
    name = f"X{chr(code)}y"

    assert refuses(name, "v") == (chr(code) not in TOKEN)


@pytest.mark.parametrize("name", ["", " ", "X-Name ", " X-Name", "X-Name:", "X\n"])
def test_s16_a_name_that_is_not_a_token_is_refused(name: str) -> None:
    assert refuses(name, "v")


@pytest.mark.parametrize("value", ["", " ", "\t", "a b", "é", "Ã©", "a\x85b"])
def test_s16_a_value_that_can_be_sent_is_accepted(value: str) -> None:
    assert not refuses("X-Name", value)


@given(st.text(), st.text())
def test_s16_an_accepted_header_is_sent_as_exactly_one_header(
    name: str, value: str
) -> None:
    if refuses(name, value):
        return

    line = f"{name}: {value}".encode("latin-1")
    assert not set(line) & {0x00, 0x0A, 0x0D, 0x7F}
    assert line.decode("latin-1").partition(": ")[::2] == (name, value)
    assert line.splitlines() == [line]


def test_s16_the_message_names_the_header_and_the_character() -> None:
    with pytest.raises(BadHeader, match=r"X-Name .*'\\r'"):
        check_outbound("X-Name", "a\r\nX-Injected: 1")


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("plain", b"plain"),
        ("caf\xe9", b"caf\xe9"),
        ("\x80\xff", b"\x80\xff"),
        ("Ã©", "é".encode()),
        ("é日", "é日".encode()),
        ("", b""),
    ],
)
def test_a_text_is_sent_as_latin_1_or_else_as_utf8(text: str, sent: bytes) -> None:
    assert from_text(text).encode("latin-1") == sent


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ("é日".encode(), "é日"),
        (b"caf\xe9", "café"),
        (b"\xe9 and " + "é".encode(), "é and Ã©"),
        (b"\xff\xfe", "ÿþ"),
    ],
)
def test_a_value_is_shown_as_utf8_or_else_as_latin_1(sent: bytes, text: str) -> None:
    assert to_text(sent.decode("latin-1")) == text


VALUES = st.one_of(st.binary(), st.text().map(str.encode)).map(
    lambda raw: raw.decode("latin-1")
)


@given(VALUES)
def test_property_a_value_is_the_same_after_it_was_stored(value: str) -> None:
    assert from_stored(to_stored(value)) == value


@given(VALUES)
def test_property_a_value_that_an_older_version_stored_is_sent_as_utf8(
    value: str,
) -> None:
    sent = from_stored(value).encode("latin-1")

    assert sent.decode() == to_text(value)


@pytest.mark.parametrize("value", ["plain", "é日".encode().decode("latin-1")])
def test_utf8_is_stored_as_older_versions_stored_it(value: str) -> None:
    assert to_stored(value) == value


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Keep-Alive",
        "TE",
        "Trailer",
        "Upgrade",
        "Expect",
        "Proxy-Authorization",
        "Proxy-Connection",
        "PROXY-ANYTHING",
        "hOsT",
        "Content_Length",
        "transfer.ENCODING",
        "Proxy_Connection",
    ],
)
def test_s17_headers_that_describe_the_connection_are_reserved(name: str) -> None:
    assert is_reserved(name)


@pytest.mark.parametrize(
    "name",
    ["scheduler-event-id", "Scheduler_Attempt", "SCHEDULER-POSSIBLE-DUPLICATE"],
)
def test_s17_headers_that_identify_a_delivery_are_reserved(name: str) -> None:
    assert is_reserved(name)


@pytest.mark.parametrize(
    "name", ["Content-Type", "Authorization", "X-Host", "Hostage", "Proxy", "Cookie"]
)
def test_s17_other_headers_are_not_reserved(name: str) -> None:
    assert not is_reserved(name)


def test_s17_a_dialect_reserves_headers_by_prefix() -> None:
    own = ("upstash-", "webhook-id")

    assert is_reserved("Upstash-Signature", own)
    assert is_reserved("WEBHOOK-ID", own)
    assert not is_reserved("Upstash", own)
    assert not is_reserved("Upstash-Signature")
