"""Tests that a compressed JSON body is refused with the name of its encoding."""

import gzip
import pytest
from collections.abc import Callable
from tests.dialects.engine import Web

FAULT = "Content-Encoding gzip is not supported here"
COMPRESSED = gzip.compress(b"{}", mtime=0)
PATHS = (
    ("/v2/batch", "POST", "body is not valid UTF-8"),
    ("/v2/messages", "DELETE", "body is not valid UTF-8"),
    ("/api/events", "POST", ""),
    ("/api/cronjobs", "POST", ""),
    ("/v1/events", "POST", ""),
)


def refusal(
    web: Web, path: str, method: str, body: bytes, encoding: str
) -> tuple[int, str]:
    token = web.tenant.token
    headers = {"x-api-key": token, "Authorization": f"Bearer {token}"}
    if encoding:
        headers["Content-Encoding"] = encoding
    client = web.app.test_client()
    response = client.open(path, method=method, data=body, headers=headers)
    return response.status_code, response.get_data(as_text=True)


def test_a_compressed_body_is_refused_with_its_encoding(
    make_web: Callable[..., Web],
) -> None:
    web = make_web()
    for path, method, fault in PATHS:
        status, text = refusal(web, path, method, COMPRESSED, "gzip")
        assert (path, status) == (path, 400)
        assert fault in text and FAULT in text


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(COMPRESSED, ""), (b"\xff", "identity"), (b"7", "gzip")],
    ids=["unnamed", "identity", "no-object"],
)
def test_other_bodies_are_refused_without_an_encoding(
    make_web: Callable[..., Web], body: bytes, encoding: str
) -> None:
    web = make_web()
    for path, method, _ in PATHS:
        status, text = refusal(web, path, method, body, encoding)
        assert (path, status) == (path, 400)
        assert "Content-Encoding" not in text
