"""OpenAPI schemas for the headers of messages and schedules.

The names come from the tables with which requests are parsed. A test checks that each
name has a description in this module.
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
DESCRIPTIONS = {
    "content-based-deduplication": "true: ignore a repeated publish of equal content",
    "deduplication-id": "Ignore a repeated publish with the same id",
    "delay": "Delay before the first attempt: 50s, 1d10h30m",
    "label": "Labels, separated by commas",
    "method": "Method of the request to the destination",
    "not-before": "Unix time in seconds of the first attempt; wins over the delay",
    "queue-name": "Queue through which messages are delivered",
    "redact-fields": "What API answers and logs hide: body, header, header[Name]",
    "retries": "Maximum number of retries after a failed first attempt",
    "retry-delay": "Milliseconds before a retry, as an expression of retried",
    "schedule-id": "Name of the schedule; replaces a schedule of the same name",
    "timeout": "Deadline of one attempt: 30s",
}
EXAMPLES = {CRON: {"examples": ["0 9 * * *"]}}
OTHER_DESCRIPTIONS = {
    "Upstash-Callback": "URL that receives the outcome of each attempt",
    "Upstash-Failure-Callback": "URL that is called when the message has failed",
    "Upstash-Flow-Control-Key": "Messages with the same key share its limits",
    "Upstash-Flow-Control-Value": "Limits: parallelism=2, rate=10, period=1m",
    "Upstash-Forward-*": "A header to send, without the prefix",
    "Upstash-Header-Forward": "true: send all headers of this request on",
    "Upstash-Callback-Forward-*": "A header to send with the callback",
    "Upstash-Failure-Callback-Forward-*": "A header to send with the failure callback",
}


def message_headers() -> type[Schema]:
    """Return the schema of a message's headers."""
    descriptions = _described(MESSAGE_HEADERS) | OTHER_DESCRIPTIONS
    return _schema("MessageHeaders", descriptions)


def schedule_headers(own: Mapping[str, str]) -> type[Schema]:
    """Return the schema of a schedule's headers.

    Args:
        own: headers that only this server accepts, with their descriptions.
    """
    descriptions = {CRON: "Fire times: five cron fields, an alias, or @every"}
    descriptions |= {**_described(SCHEDULE_HEADERS), **OTHER_DESCRIPTIONS, **own}
    return _schema("ScheduleHeaders", descriptions, required=(CRON,))


def _described(table: Mapping[str, object]) -> dict[str, str]:
    """Return the descriptions of a table's headers and of all callback headers."""
    described = {
        f"Upstash-{canonical(name)}": DESCRIPTIONS.get(name, "") for name in table
    }
    for callback in ("Callback", "Failure-Callback"):
        for name in CALLBACK_HEADERS:
            about = f"As Upstash-{canonical(name)}, for the callback's own request"
            described[f"Upstash-{callback}-{canonical(name)}"] = about
    return described


def _schema(
    name: str, descriptions: Mapping[str, str], *, required: Collection[str] = ()
) -> type[Schema]:
    headers: dict[str, fields.Field[Any]] = {
        header: fields.String(
            required=header in required,
            metadata={"description": about, **EXAMPLES.get(header, {})},
        )
        for header, about in descriptions.items()
    }
    return Schema.from_dict(headers, name=name)
