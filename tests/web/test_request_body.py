"""Bodies are taken whole or not at all, as a server hands them on."""

import pytest
from flask import Request
from gunicorn.http.errors import InvalidChunkSize, NoMoreData
from io import BytesIO
from scheduler_api.web.request_body import BadBody, read_whole
from typing import Any
from werkzeug.exceptions import RequestEntityTooLarge


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

    assert read_whole(_request(BytesIO(raw), CONTENT_LENGTH=length)) == raw
    assert read_whole(_request(BytesIO(raw), HTTP_TRANSFER_ENCODING="chunked")) == raw


@pytest.mark.parametrize("raw", [b"", b"{", b"x" * 99])
def test_body_that_ends_before_its_length_is_none(raw: bytes) -> None:
    with pytest.raises(BadBody):
        read_whole(_request(BytesIO(raw), CONTENT_LENGTH="100"))


@pytest.mark.parametrize("problem", [InvalidChunkSize(b"zz"), NoMoreData()])
def test_chunks_that_are_none_are_no_body(problem: Exception) -> None:
    with pytest.raises(BadBody):
        read_whole(_request(Broken(problem), HTTP_TRANSFER_ENCODING="chunked"))


@pytest.mark.parametrize("size", [9, 10, 11])
def test_body_of_as_many_bytes_as_are_looked_at_is_too_large(size: int) -> None:
    for framing in (
        {"CONTENT_LENGTH": str(size)},
        {"HTTP_TRANSFER_ENCODING": "chunked"},
    ):
        request = _request(BytesIO(b"x" * size), **framing)
        request.max_content_length = 10
        if size < 10:
            assert read_whole(request) == b"x" * size
        else:
            with pytest.raises(RequestEntityTooLarge):
                read_whole(request)
