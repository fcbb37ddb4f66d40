"""What is shown of a redacted message."""

import re
from scheduler_api.dialects.qstash.parsing.redaction import (
    NOTHING_HIDDEN,
    Redaction,
    key_of,
    mark,
)

KEY = key_of("5", secret_key="s" * 32)
HEADERS = (("Authorization", "Bearer x"), ("X-Plain", "p"))


def test_s25_mark_is_a_prefix_and_64_hexadecimal_digits() -> None:
    assert re.fullmatch("REDACTED:[0-9a-f]{64}", mark(b"secret", key=KEY))


def test_s25_equal_values_of_one_tenant_have_equal_marks() -> None:
    assert mark(b"a", key=KEY) == mark(b"a", key=KEY)
    assert mark(b"a", key=KEY) != mark(b"b", key=KEY)


def test_s25_mark_cannot_be_found_by_trying_without_the_key() -> None:
    keys = {
        KEY,
        key_of("6", secret_key="s" * 32),
        key_of("5", secret_key="t" * 32),
        b"",
    }

    assert len({mark(b"1234", key=key) for key in keys}) == len(keys)


def test_nothing_is_hidden_unless_asked_for() -> None:
    assert NOTHING_HIDDEN.shown_body(b"b", key=KEY) == b"b"
    assert NOTHING_HIDDEN.shown_headers(HEADERS, key=KEY) == HEADERS


def test_s25_hidden_body_is_its_mark() -> None:
    shown = Redaction(body=True).shown_body(b"secret", key=KEY)

    assert shown == mark(b"secret", key=KEY).encode()


def test_empty_body_stays_empty() -> None:
    assert Redaction(body=True).shown_body(b"", key=KEY) == b""


def test_s25_one_header_is_hidden_by_name_in_any_case() -> None:
    shown = Redaction(headers=("authorization",)).shown_headers(HEADERS, key=KEY)

    assert shown == (
        ("Authorization", mark(b"Bearer x", key=KEY)),
        ("X-Plain", "p"),
    )


def test_s25_all_headers_are_hidden_at_once() -> None:
    shown = Redaction(all_headers=True).shown_headers(HEADERS, key=KEY)

    assert [name for name, _ in shown] == ["Authorization", "X-Plain"]
    assert all(value.startswith("REDACTED:") for _, value in shown)
