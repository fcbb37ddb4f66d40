"""Helpers that parse headers and return the message, or the expected error."""

import pytest
from scheduler_api.dialects.qstash.parsing.header_values import BadValue
from scheduler_api.dialects.qstash.parsing.message import Message
from scheduler_api.dialects.qstash.parsing.request_headers import from_headers
from typing import Any

BACK = "https://example.com/back"


def read(headers: dict[str, str] | None = None, **rest: Any) -> Message:
    return from_headers((headers or {}).items(), **rest)


def refusal(headers: dict[str, str], **rest: Any) -> BadValue:
    with pytest.raises(BadValue) as fault:
        read(headers, **rest)
    assert str(fault.value).startswith(fault.value.name)
    return fault.value
