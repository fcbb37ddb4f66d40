"""Tests of encoding and decoding the content and the attempts of events."""

import pytest
from collections.abc import Callable
from hypothesis import given
from hypothesis import strategies as st
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import Attempt, AttemptKind, Content
from scheduler_api.core.store import codec
from scheduler_api.core.tenants.url_groups import read_group


@given(st.text(st.characters(exclude_categories=["Cs"])), st.binary())
def test_content_round_trips(url: str, body: bytes):
    content = Content(url, body)

    assert codec.decode_content(codec.encode_content(content)) == content


@pytest.mark.parametrize("options", [b"1", b"true", b'"x"', b"[1]", b"null"])
def test_content_whose_options_are_no_object_is_unreadable(options: bytes):
    with pytest.raises(UnreadableRecord):
        codec.decode_content(b'{"u":"http://a.example/","o":' + options + b"}\nbody")


def test_a_body_is_stored_unchanged():
    stored = codec.encode_content(Content("https://a.example/", b"\x00\xff\n{}"))

    assert stored == b'{"u":"https://a.example/"}\n\x00\xff\n{}'


@pytest.mark.parametrize(
    "stored",
    [
        *(b"", b"\n", b"{}", b"{}\n", b"[]\nx", b"7\nx", b"null\nx", b"\xff\nx"),
        *(b'{"u":"https://a.example/"}', b'{"u":7}\nx', b'{"u":null}\nx', b'"u"\nx'),
    ],
)
def test_decoding_invalid_content_is_an_error(stored: bytes):
    with pytest.raises(UnreadableRecord):
        codec.decode_content(stored)


@pytest.mark.parametrize(
    "decode",
    [
        codec.decode_content,
        lambda stored: codec.decode_attempt("7", b"1", b"a 9 0 " + stored),
        lambda stored: read_group("g", stored),
    ],
    ids=["content", "attempt", "group"],
)
@pytest.mark.parametrize("stored", [b"secret", b'{"u":"secret"', b'{"secret":1}'])
def test_s26_an_error_in_a_record_does_not_show_the_record(
    decode: Callable[[bytes], object], stored: bytes
):
    with pytest.raises(UnreadableRecord) as caught:
        decode(stored)

    assert "secret" not in str(caught.value)


def test_an_attempt_round_trips():
    encoded = codec.encode_attempt(
        {"started_ms": 5, "status": 200, "error": None}, response=b"two\nlines"
    )

    attempt = codec.decode_attempt("7", b"3", b"a 9 12 " + encoded)

    assert attempt == Attempt(
        event_id="7",
        number=3,
        kind=AttemptKind.SETTLED,
        started_ms=5,
        ended_ms=9,
        next_ms=12,
        status=200,
        response=b"two\nlines",
    )


def test_a_next_time_of_zero_is_none():
    attempt = codec.decode_attempt("7", b"1", b'l 9 0 {"started_ms":5}')

    assert (attempt.next_ms, attempt.kind) == (None, AttemptKind.LATE)


def test_fields_that_are_none_or_false_are_not_logged():
    absent = {"error": None, "body_incomplete": False}

    assert codec.encode_attempt({"started_ms": 5} | absent) == b'{"started_ms":5}'


@given(
    st.fixed_dictionaries(
        {"started_ms": st.integers(0, 2**53)},
        optional={
            "status": st.integers(100, 599),
            "error": st.text(st.characters(exclude_categories=["Cs"])),
            "total_ms": st.floats(0, 1e9),
            "detail": st.text(st.characters(exclude_categories=["Cs"])),
            "body_incomplete": st.booleans(),
            "body_truncated": st.booleans(),
            "signed": st.dictionaries(st.text("abc"), st.text("abc")),
        },
    )
)
def test_every_field_of_an_attempt_round_trips(fields: dict[str, object]):
    attempt = codec.decode_attempt(
        "7", b"1", b"a 9 0 " + codec.encode_attempt(dict(fields))
    )

    assert {name: getattr(attempt, name) for name in fields} == fields


def test_headers_round_trip_in_order_and_are_omitted_if_empty():
    headers = (("B", "1"), ("a", ""), ("B", "\u00fc"))
    encoded = codec.encode_attempt({"started_ms": 5}, headers=headers)

    assert codec.decode_attempt("7", b"1", b"a 9 0 " + encoded).headers == headers
    assert codec.encode_attempt({"started_ms": 5}, headers=()) == b'{"started_ms":5}'


@given(st.binary() | st.text(st.characters(exclude_categories=["Cs"])).map(str.encode))
def test_every_response_body_round_trips(body: bytes):
    encoded = codec.encode_attempt({"started_ms": 5}, response=body)

    assert codec.decode_attempt("7", b"1", b"a 9 0 " + encoded).response == body


def test_entries_of_earlier_versions_have_the_body_as_text():
    stored = 'a 9 0 {"started_ms":5,"response":"späte \\u0000","signed":{}}'

    attempt = codec.decode_attempt("7", b"1", stored.encode())

    assert attempt.response == "späte \x00".encode()
    assert (attempt.detail, attempt.body_incomplete) == ("", False)


def test_fields_of_later_versions_are_ignored():
    attempt = codec.decode_attempt("7", b"1", b'a 9 0 {"started_ms":5,"later":[1]}')

    assert attempt == codec.decode_attempt("7", b"1", b'a 9 0 {"started_ms":5}')


@pytest.mark.parametrize(
    ("number", "stored"),
    [
        (b"one", b'a 9 0 {"started_ms":5}'),
        (b"1", b'x 9 0 {"started_ms":5}'),
        (b"1", b'a nine 0 {"started_ms":5}'),
        (b"1", b'a 9 {"started_ms":5}'),
        (b"1", b"a 9 0 {}"),
        (b"1", b"a 9 0 []"),
        (b"1", b"a 9 0 x"),
        (b"1", b'a 9 0 {"started_ms":5,"headers":["odd"]}'),
        (b"1", b'a 9 0 {"started_ms":5,"headers":1}'),
        (b"1", b'a 9 0 {"started_ms":5,"response":1}'),
        (b"1", b'a 9 0 {"started_ms":5,"response_base64":"*"}'),
        (b"1", b""),
    ],
)
def test_decoding_an_invalid_attempt_is_an_error(number: bytes, stored: bytes):
    with pytest.raises(UnreadableRecord):
        codec.decode_attempt("7", number, stored)
