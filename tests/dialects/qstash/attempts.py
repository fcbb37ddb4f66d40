"""Helpers for tests of outbound code: begun attempts of messages, and results."""

from dataclasses import dataclass, replace
from scheduler_api.core.model import Begun, Content
from scheduler_api.dialects.qstash.parsing.message import Message, to_options
from tests.attempts import NOW_MS, begun

URL = "https://example.com/a//b?c=%2F&d=1"
BODY = b'{"n": 1.0}\n'
BEGUN = begun("qstash", Content(URL, BODY), id="7k")


@dataclass(frozen=True)
class Reply:
    """The result of an attempt."""

    status: int | None = 500
    error: str | None = None
    detail: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    body_truncated: bool = False
    body_incomplete: bool = False
    started_ms: int = NOW_MS - 500
    total_ms: float = 500.0


def begun_of(message: Message, *, failures: int = 0, body: bytes = BODY) -> Begun:
    """Return a begun attempt of a message, after `failures` failed attempts."""
    content = Content(URL, body, to_options(message))
    return replace(BEGUN, content=content, failures=failures)
