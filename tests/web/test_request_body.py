"""Bodies are taken whole or not at all, as a server hands them on."""

import pytest
from flask import Request
from functools import partial
from gunicorn.http.errors import InvalidChunkSize, NoMoreData
from io import BytesIO
from scheduler_api.web import request_body
from scheduler_api.web.refusal import Refusal
from typing import Any

TOO_LARGE, MALFORMED = "at most ten bytes", "cut off"

read_body = partial(request_body.read_body, too_large=TOO_LARGE, malformed=MALFORMED)


class Broken:
    """What a server reads from when a client sends what is no HTTP."""

    def __init__(self, problem: Exception) -> None:
        self._problem = problem

    def read(self, size: int = -1) -> bytes:
        raise self._problem


def _request(stream: Any, **environ: str) -> Request:
    # As gunicorn has it: a stream that ends where the connection does.
    return Request({"wsgi.input": stream, "wsgi.input_terminated": True, **environ})


@pytest.mark.parametrize("raw", [b"", b"\xff\x00", b"x" * 200_000])
def test_whole_body_is_read_as_it_came(raw: bytes) -> None:
    length = str(len(raw))

    assert read_body(_request(BytesIO(raw), CONTENT_LENGTH=length)) == raw
    assert read_body(_request(BytesIO(raw), HTTP_TRANSFER_ENCODING="chunked")) == raw


@pytest.mark.parametrize("raw", [b"", b"{", b"x" * 99])
def test_body_that_ends_before_its_length_is_none(raw: bytes) -> None:
    with pytest.raises(Refusal, match=MALFORMED):
        read_body(_request(BytesIO(raw), CONTENT_LENGTH="100"))


@pytest.mark.parametrize("problem", [InvalidChunkSize(b"zz"), NoMoreData()])
def test_chunks_that_are_none_are_no_body(problem: Exception) -> None:
    with pytest.raises(Refusal, match=MALFORMED):
        read_body(_request(Broken(problem), HTTP_TRANSFER_ENCODING="chunked"))


@pytest.mark.parametrize("size", [9, 10, 11])
def test_body_of_as_many_bytes_as_are_looked_at_is_too_large(size: int) -> None:
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
