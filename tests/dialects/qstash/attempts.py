"""One attempt of a message, for tests to vary."""

from dataclasses import dataclass, replace
from scheduler_api.core.model import Begun, Content, Owner
from scheduler_api.dialects.qstash.message import Message, to_options

NOW_MS = 1_700_000_000_000
URL = "https://example.com/a//b?c=%2F&d=1"
BODY = b'{"n": 1.0}\n'
BEGUN = Begun(
    id="7k",
    token="t:1",
    attempt=1,
    failures=0,
    interruptions=0,
    wanted_ms=NOW_MS,
    created_ms=NOW_MS - 1000,
    deadline_ms=10_000,
    owner=Owner("5", "qstash"),
    content_key="b:7k",
    content=Content(URL, BODY),
    schedule=None,
)


@dataclass(frozen=True)
class Reply:
    """How an attempt ended."""

    status: int | None = 500
    error: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    started_ms: int = NOW_MS - 500
    total_ms: float = 500.0


def begun_of(message: Message, *, failures: int = 0, body: bytes = BODY) -> Begun:
    """The attempt of a message after some that failed."""
    content = Content(URL, body, to_options(message))
    return replace(BEGUN, content=content, failures=failures)
