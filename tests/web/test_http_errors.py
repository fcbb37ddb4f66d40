"""Tests of the JSON errors that replace gunicorn's HTML pages."""

import pytest
from gunicorn.http.errors import InvalidRequestLine, LimitRequestLine
from scheduler_api.web.http_errors import JsonErrors
from werkzeug.wrappers import Response

PAGE = b"HTTP/1.1 414 URI Too Long\r\n\r\n<html>"


class Client:
    """A socket that keeps what is sent."""

    def __init__(self) -> None:
        self.sent = b""

    def sendall(self, data: bytes) -> None:
        self.sent += data


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/v2/publish/http://h?x", "/v2/publish/http://h"),
        ("http://api.example.com/v2/logs?x", "/v2/logs"),
        ("", ""),
    ],
)
def test_the_error_has_the_format_of_the_path(target: str, path: str) -> None:
    paths: list[str] = []

    def error_at(path: str, status: int, _message: str) -> Response:
        paths.append(path)
        return Response("{}", status)

    error = InvalidRequestLine("x")
    JsonErrors(Client(), error_at, target=target, error=error).sendall(PAGE)

    assert paths == [path]


def test_the_error_for_a_long_target_is_found_in_one_pass() -> None:
    # Time that grows with the square of the length would be more than an hour.
    target = "/v2/" + "a" * 1_000_000
    client = Client()

    def error_at(path: str, status: int, message: str) -> Response:
        return Response(f"{len(path)} {message}", status)

    error = LimitRequestLine(len(target), 8190)
    JsonErrors(client, error_at, target=target, error=error).sendall(PAGE)

    assert client.sent.startswith(b"HTTP/1.1 414 ")
    assert client.sent.endswith(
        b"1000004 the request line is too long: shorten the URL"
    )
