"""Tests of redaction: which values are hidden, and their placeholders."""

import re
from scheduler_api.dialects.qstash.parsing.redaction import (
    NOTHING_HIDDEN,
    Redaction,
    key_of,
    placeholder,
)

KEY = key_of("5", secret_key="s" * 32)
HEADERS = (("Authorization", "Bearer x"), ("X-Plain", "p"))


def test_s25_a_placeholder_is_a_prefix_and_64_hexadecimal_digits() -> None:
    assert re.fullmatch("REDACTED:[0-9a-f]{64}", placeholder(b"secret", key=KEY))


def test_s25_equal_values_of_one_tenant_have_equal_placeholders() -> None:
    assert placeholder(b"a", key=KEY) == placeholder(b"a", key=KEY)
    assert placeholder(b"a", key=KEY) != placeholder(b"b", key=KEY)


def test_s25_a_placeholder_depends_on_tenant_and_secret() -> None:
    keys = {
        KEY,
        key_of("6", secret_key="s" * 32),
        key_of("5", secret_key="t" * 32),
        b"",
    }

    assert len({placeholder(b"1234", key=key) for key in keys}) == len(keys)


def test_nothing_is_hidden_by_default() -> None:
    assert NOTHING_HIDDEN.redact_body(b"b", key=KEY) == b"b"
    assert NOTHING_HIDDEN.redact_headers(HEADERS, key=KEY) == HEADERS


def test_s25_a_hidden_body_is_replaced_by_its_placeholder() -> None:
    redacted = Redaction(body=True).redact_body(b"secret", key=KEY)

    assert redacted == placeholder(b"secret", key=KEY).encode()


def test_an_empty_body_stays_empty() -> None:
    assert Redaction(body=True).redact_body(b"", key=KEY) == b""


def test_s25_one_header_is_hidden_by_its_name_in_any_case() -> None:
    redacted = Redaction(headers=("authorization",)).redact_headers(HEADERS, key=KEY)

    assert redacted == (
        ("Authorization", placeholder(b"Bearer x", key=KEY)),
        ("X-Plain", "p"),
    )


def test_s25_all_headers_can_be_hidden() -> None:
    redacted = Redaction(all_headers=True).redact_headers(HEADERS, key=KEY)

    assert [name for name, _ in redacted] == ["Authorization", "X-Plain"]
    assert all(value.startswith("REDACTED:") for _, value in redacted)
