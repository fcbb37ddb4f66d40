"""The headers of messages and schedules, as the document has them.

Their names come from the tables that requests are read by; a test holds that each has
words here.
"""

from collections.abc import Collection, Mapping
from marshmallow import Schema, fields
from scheduler_api.dialects.qstash.parsing.message import canonical
from scheduler_api.dialects.qstash.parsing.request_headers import (
    CALLBACK_HEADERS,
    MESSAGE_HEADERS,
    SCHEDULE_HEADERS,
)
from typing import Any

CRON = "Upstash-Cron"
WORDS = {
    "content-based-deduplication": "true: not again what was published alike lately",
    "deduplication-id": "Not again what was published under the same id lately",
    "delay": "How long to wait before it is sent: 50s, 1d10h30m",
    "label": "Labels, separated by commas",
    "method": "Method of the request that is sent",
    "not-before": "Unix time in seconds before which it is not sent",
    "queue-name": "The queue that messages of the schedule go through",
    "redact-fields": "What logs hide: body, header, header[Name]",
    "retries": "How often a failed attempt is repeated",
    "retry-delay": "Milliseconds before a repeat, as an expression of retried",
    "schedule-id": "The name of the schedule; one of that name is replaced",
    "timeout": "Deadline of one attempt: 30s",
}
OTHERS = {
    "Upstash-Callback": "Where the outcome of each attempt is posted",
    "Upstash-Failure-Callback": "Where it is told that a message gave up",
    "Upstash-Flow-Control-Key": "What shares the limits of the value",
    "Upstash-Flow-Control-Value": "Limits: parallelism=2, rate=10, period=1m",
    "Upstash-Forward-*": "A header to send, without the prefix",
    "Upstash-Header-Forward": "true: all headers are sent on",
    "Upstash-Callback-Forward-*": "A header to send with the callback",
    "Upstash-Failure-Callback-Forward-*": "A header to send with the failure callback",
}


def message_headers() -> type[Schema]:
    """Those of a message."""
    return _schema("MessageHeaders", _settings(MESSAGE_HEADERS) | OTHERS)


def schedule_headers(own: Mapping[str, str]) -> type[Schema]:
    """Those of a schedule, with words for those that are this service's own."""
    words = {CRON: "When it runs: five cron fields, an alias, or @every"}
    words |= {**_settings(SCHEDULE_HEADERS), **OTHERS, **own}
    return _schema("ScheduleHeaders", words, required=(CRON,))


def _settings(table: Mapping[str, object]) -> dict[str, str]:
    """Names and words of a table's headers, and of both callbacks'."""
    found = {f"Upstash-{canonical(name)}": WORDS.get(name, "") for name in table}
    for callback in ("Callback", "Failure-Callback"):
        for name in CALLBACK_HEADERS:
            words = f"As Upstash-{canonical(name)}, for the callback's own request"
            found[f"Upstash-{callback}-{canonical(name)}"] = words
    return found


def _schema(
    name: str, words: Mapping[str, str], *, required: Collection[str] = ()
) -> type[Schema]:
    shown: dict[str, fields.Field[Any]] = {
        header: fields.String(
            required=header in required, metadata={"description": about}
        )
        for header, about in words.items()
    }
    return Schema.from_dict(shown, name=name)
