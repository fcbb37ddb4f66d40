"""Tests of request bodies: complete bodies are read, other bodies are refused."""

import orjson
import pytest
from flask import Request
from functools import partial
from gunicorn.http.errors import InvalidChunkSize, NoMoreData
from io import BytesIO
from scheduler_api.web import request_body
from scheduler_api.web.connections import BodyDropped
from scheduler_api.web.refusal import Refusal
from scheduler_api.web.request_body import MAX_VALUES, OversizedChunk, check_values
from typing import Any

TOO_LARGE, MALFORMED = "at most ten bytes", "cut off"

read_body = partial(request_body.read_body, too_large=TOO_LARGE, malformed=MALFORMED)


class Broken:
    """An input stream that raises an error, as if a client had sent invalid HTTP."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def read(self, size: int = -1) -> bytes:
        raise self._error


def _request(stream: Any, **environ: str) -> Request:
    # gunicorn sets `wsgi.input_terminated` too: the stream ends at the end of the body.
    return Request({"wsgi.input": stream, "wsgi.input_terminated": True, **environ})


@pytest.mark.parametrize("raw", [b"", b"\xff\x00", b"x" * 200_000])
def test_a_complete_body_is_read_byte_for_byte(raw: bytes) -> None:
    length = str(len(raw))

    assert read_body(_request(BytesIO(raw), CONTENT_LENGTH=length)) == raw
    assert read_body(_request(BytesIO(raw), HTTP_TRANSFER_ENCODING="chunked")) == raw


@pytest.mark.parametrize("raw", [b"", b"{", b"x" * 99])
def test_a_body_shorter_than_its_length_is_refused(raw: bytes) -> None:
    with pytest.raises(Refusal, match=MALFORMED):
        read_body(_request(BytesIO(raw), CONTENT_LENGTH="100"))


@pytest.mark.parametrize("error", [InvalidChunkSize(b"zz"), NoMoreData()])
def test_invalid_chunks_are_refused(error: Exception) -> None:
    with pytest.raises(Refusal, match=MALFORMED):
        read_body(_request(Broken(error), HTTP_TRANSFER_ENCODING="chunked"))


@pytest.mark.parametrize("size", [9, 10, 11])
def test_a_body_of_the_maximum_or_more_is_too_large(size: int) -> None:
    for framing in (
        {"CONTENT_LENGTH": str(size)},
        {"HTTP_TRANSFER_ENCODING": "chunked"},
    ):
        request = _request(BytesIO(b"x" * size), **framing)
        request.max_content_length = 10
        if size < 10:
            assert read_body(request) == b"x" * size
        else:
            with pytest.raises(Refusal, match=TOO_LARGE):
                read_body(request)


@pytest.mark.parametrize(
    ("error", "status"),
    [(TimeoutError(), 408), (BodyDropped(), 503), (OversizedChunk(), 413)],
)
def test_a_slow_dropped_or_oversized_body_is_refused(
    error: Exception, status: int
) -> None:
    with pytest.raises(Refusal) as refused:
        read_body(_request(Broken(error), CONTENT_LENGTH="9"))

    assert refused.value.status == status


@pytest.mark.parametrize(
    "unit", [b"[]", b"{}", b"0", b'""', b'{"a":{"a":1}}', b"[[[[]]]]"]
)
def test_a_body_with_too_many_values_is_refused_before_it_is_parsed(
    unit: bytes,
) -> None:
    body = b"[" + b",".join([unit] * (MAX_VALUES + 1)) + b"]"

    with pytest.raises(Refusal) as refused:
        check_values(body)

    assert refused.value.status == 413


@pytest.mark.parametrize(
    "unit", [b"[],", b'{\\"a\\": [1, 2]}, ', b"\\\\,", b'\\\\\\",']
)
def test_values_in_strings_do_not_count(unit: bytes) -> None:
    body = b'[{"body": "' + unit * MAX_VALUES + b'"}, {}]'

    orjson.loads(body)
    check_values(body)
