"""Tests of encrypted content."""

import pytest
from collections.abc import Callable
from hypothesis import given
from hypothesis import strategies as st
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import Content
from scheduler_api.core.store import codec, content_encryption
from scheduler_api.core.store.content_encryption import (
    HEADER,
    SHORT_BYTES,
    ContentCipher,
    UnknownKey,
)

KEY, NEW_KEY = "a key of sixteen", "another key of sixteen"
URL = "https://canary.example/hook"
OPTIONS = {"h": ["Authorization", "Bearer canary"]}
SHORT = Content(URL, b"canary", OPTIONS)
LONG = Content(URL, b"canary" * SHORT_BYTES, OPTIONS)


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A function that lets this process forget all keys, as another process."""

    def forget() -> None:
        monkeypatch.setattr(content_encryption, "_master_keys", {})
        content_encryption._aes.cache_clear()

    return forget


@given(st.binary(), st.integers(0, 3))
def test_s24_encrypted_content_round_trips(body: bytes, times: int):
    content = Content(URL, body * (SHORT_BYTES * times // max(1, len(body)) + 1))

    stored = codec.encode_content(content, ContentCipher(KEY))

    assert codec.decode_content(stored) == content


@pytest.mark.parametrize("content", [SHORT, LONG], ids=["short", "long"])
def test_s24_encrypted_content_has_no_url_header_or_body(content: Content):
    cipher = ContentCipher(KEY)

    stored = codec.encode_content(content, cipher)

    assert b"canary" not in stored
    assert b"example" not in stored
    assert stored != codec.encode_content(content, cipher)


def test_s24_an_encrypted_log_entry_has_no_header_or_response():
    response, headers = b"canary", [("X-Name", "canary")]

    stored = codec.encode_attempt(
        {"started_ms": 5}, headers=headers, response=response, cipher=ContentCipher(KEY)
    )

    attempt = codec.decode_attempt("7", b"1", b"a 9 0 " + stored)
    assert (attempt.started_ms, attempt.response) == (5, response)
    assert attempt.headers == tuple(headers)
    assert b"canary" not in stored


def test_content_of_older_versions_stays_readable():
    ContentCipher(KEY)

    assert codec.decode_content(b'{"u":"https://a.example/"}\n\1x') == Content(
        "https://a.example/", b"\1x"
    )


def test_the_head_of_long_content_is_read_without_its_body():
    content = Content(URL, b"x" * 100_000, OPTIONS)
    stored = codec.encode_content(content, ContentCipher(KEY))

    assert codec.head_of(stored[: HEADER.size]) is None
    head = codec.head_of(stored[:2_048])

    assert head is not None
    assert codec.decode_content(head) == Content(URL, b"", OPTIONS)


@pytest.mark.parametrize("content", [SHORT, LONG], ids=["short", "long"])
def test_s24_damaged_or_cut_content_is_unreadable(content: Content):
    stored = codec.encode_content(content, ContentCipher(KEY))
    end = HEADER.size + HEADER.unpack_from(stored)[-1]

    for at in (0, 1, 5, 13, 25, HEADER.size, end - 1, len(stored) - 1):
        damaged = bytearray(stored)
        damaged[at] ^= 2
        with pytest.raises(UnreadableRecord):
            codec.decode_content(bytes(damaged))
    for length in {1, HEADER.size, end - 1, end, len(stored) - 1} - {len(stored)}:
        with pytest.raises(UnreadableRecord):
            codec.decode_content(stored[:length])


def test_s24_another_key_does_not_decrypt_content(unknown: Callable[[], None]):
    stored = codec.encode_content(SHORT, ContentCipher(KEY))
    unknown()
    ContentCipher(NEW_KEY)

    with pytest.raises(UnknownKey, match="no SECRET_KEY has the id"):
        codec.decode_content(stored)


def test_s24_after_a_rotation_the_older_key_decrypts_and_the_new_one_encrypts(
    unknown: Callable[[], None],
):
    before = codec.encode_content(SHORT, ContentCipher(KEY))
    unknown()
    rotated = ContentCipher(NEW_KEY, [KEY])

    after = codec.encode_content(LONG, rotated)

    assert codec.decode_content(before) == SHORT
    assert codec.decode_content(after) == LONG
    unknown()
    ContentCipher(NEW_KEY)
    assert codec.decode_content(after) == LONG
