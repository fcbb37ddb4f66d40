"""Create begun attempts for tests."""

from dataclasses import replace
from scheduler_api.core.model import Begun, Content, Owner
from typing import Any

NOW_MS = 1_700_000_000_000
_FIRST = Begun(
    id="7",
    token="w:1",
    attempt=1,
    failures=0,
    interruptions=0,
    wanted_ms=NOW_MS,
    created_ms=NOW_MS - 1000,
    deadline_ms=10_000,
    owner=Owner("5", "jiter"),
    content_key="b:7",
    content=None,
    schedule=None,
)


def begun(dialect: str, content: Content | None = None, **changes: Any) -> Begun:
    """The first attempt of an event; `changes` replace fields of the attempt."""
    owner = Owner(_FIRST.owner.tenant, dialect)
    return replace(_FIRST, owner=owner, content=content, **changes)
