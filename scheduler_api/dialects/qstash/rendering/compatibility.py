"""Lists the operations of QStash's API that this server has, and how they differ here.

`docs/qstash.md` contains the output of `operations_table()`. Tests check that the page
is up to date, and that `OPERATIONS` agrees with the API description and the routes.
"""

import re

# Maps each operation to a text that says how this server differs from the API
# description that QStash publishes. The text is empty if there is no difference.
OPERATIONS = {
    "POST /v2/publish/{destination}": "201, or 202 for a duplicate; a bare array for a"
    " url group, as both SDKs expect",
    "POST /v2/enqueue/{queueName}/{destination}": "as publish; also takes delays and"
    " flow control",
    "POST /v2/batch": "the answers of a url group are nested; an invalid item gets an"
    " error in its place; 413 above the limits (settings)",
    "GET /v2/messages/{messageId}": "finished messages are kept for the retention time;"
    " 404 for a cancelled message, at the latest after its last attempt has failed",
    "DELETE /v2/messages/{messageId}": '`{"cancelled": 1}`; 404 for a finished message',
    "DELETE /v2/messages": "ids also in a JSON body; cancels all matches in one call"
    " and ignores `count`; an empty list of ids cancels nothing; 400 for an unknown"
    " parameter",
    "POST /v2/queues": "also takes `paused`",
    "GET /v2/queues": "",
    "GET /v2/queues/{queueName}": "",
    "DELETE /v2/queues/{queueName}": "its waiting messages are cancelled and logged as"
    " such",
    "POST /v2/queues/{queueName}/pause": "immediate; 404 for an unknown queue",
    "POST /v2/queues/{queueName}/resume": "immediate; 404 for an unknown queue",
    "POST /v2/schedules/{destination}": "also takes `Upstash-Queue-Name`, flow control,"
    " deduplication, `Scheduler-Missed-Runs`, and `@every 10s` as a cron expression;"
    " 412 only at a limit of the tenant",
    "GET /v2/schedules": "",
    "GET /v2/schedules/{scheduleId}": "for a url group, `lastScheduleStates` names the"
    " run that created its messages",
    "DELETE /v2/schedules/{scheduleId}": "404 for an unknown schedule",
    "POST /v2/schedules/{scheduleId}/pause": "also `PATCH`, which the SDKs send",
    "POST /v2/schedules/{scheduleId}/resume": "also `PATCH`, which the SDKs send",
    "GET /v2/topics": "",
    "GET /v2/topics/{urlGroupName}": "also `PATCH`, which sets default headers for"
    " messages to the group",
    "DELETE /v2/topics/{urlGroupName}": "the runs of a schedule that still names the"
    " group become dead letters (`group-missing`)",
    "POST /v2/topics/{urlGroupName}/endpoints": "at most 500; 400 for an invalid URL",
    "DELETE /v2/topics/{urlGroupName}/endpoints": "404 for an unknown group",
    "GET /v2/dlq": "also takes `flowControlKey`, `dlqIds`, `order` and `urlGroup`; a"
    " page has at most 16 MiB",
    "DELETE /v2/dlq": "ids also in a JSON body; an empty list of ids deletes nothing;"
    " 400 for an unknown parameter",
    "GET /v2/dlq/{dlqId}": "",
    "DELETE /v2/dlq/{dlqId}": "",
    "POST /v2/dlq/retry/{dlqId}": "202 for a duplicate; its dead letter stays",
    "POST /v2/dlq/retry": "unknown ids are skipped; no `cursor` on the last page",
    "GET /v2/flowControl": "also takes `?search=`",
    "GET /v2/flowControl/{flowControlKey}": "a limit that is not set is 0",
    "POST /v2/flowControl/{flowControlKey}/pause": "",
    "POST /v2/flowControl/{flowControlKey}/resume": "404 for an unknown key",
    "POST /v2/flowControl/{flowControlKey}/pin": "",
    "POST /v2/flowControl/{flowControlKey}/unpin": "",
    "POST /v2/flowControl/{flowControlKey}/resetRate": "",
    "GET /v2/globalParallelism": "the limit is `SCHED_TENANT_PARALLELISM`; if that is"
    " 0, only deliveries under flow-control keys are counted",
    "GET /v2/keys": "",
    "POST /v2/keys/rotate": "a second rotation within 24 h (setting) replaces only"
    " `next`, so that no receiver breaks; `?force=true` replaces both",
    "GET /v2/logs": "also `/v2/events`, 1000 entries a page by default; the list is in"
    " both `logs` and `events`; a page ends at 16 MiB; `CANCELED`, as the SDKs spell"
    " it",
}
# The features that only the hosted service has, by the start of their paths.
ABSENT = {
    "/llm/": "language models",
    "/v2/workflows": "workflows",
    "/v2/trigger/": "workflows",
    "/v2/notify/": "workflows",
    "/v2/wait/": "workflows",
    "/v2/waiters": "workflows",
    "/v2/batch/trigger": "workflows",
    "/v2/email": "email",
}
ABSENT_DESTINATIONS = "`api/llm` and `api/email` as destinations"
EMPTY = "not found: the path has an empty name between two slashes"
TWICE = "not found: the path begins with /v2/v2/"
_EMPTY_NAME = re.compile("/v2(/[a-z]+){0,2}//", re.IGNORECASE)
PROVIDER = "a provider's own URL works as a destination"


def not_found_reason(path: str) -> str | None:
    """Return why a path does not exist, or None if there is nothing to explain.

    Only the hosted service may have the path, or the path may be malformed.
    """
    if path.lower().startswith("/v2/v2/"):
        return f"{TWICE}: give clients the URL of this server without /v2"
    if _EMPTY_NAME.match(path):
        return EMPTY
    for beginning, feature in ABSENT.items():
        if path.lower().startswith(beginning):
            return f"{feature}: not supported by this server"
    return None


def operations_table() -> str:
    """Return the table of all operations in Markdown."""
    rows = [
        f"| `{operation}` | {'differs' if difference else 'supported'} | {difference} |"
        for operation, difference in OPERATIONS.items()
    ]
    absent = ", ".join(f"`{path}`" for path in ABSENT)
    rows += [
        f"| {ABSENT_DESTINATIONS} | absent | 400; {PROVIDER} |",
        f"| {absent} | absent | 404 that names the feature |",
    ]
    return "\n".join(["| operation | here | how |", "| --- | --- | --- |", *rows])
