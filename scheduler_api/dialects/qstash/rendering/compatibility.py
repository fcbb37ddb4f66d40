"""What of QStash's description is served as described, otherwise, or not at all.

The README has `operations_table()`; tests compare both with the description and
with the routes.
"""

# Every operation of the description; a text says what differs from it.
OPERATIONS = {
    "POST /v2/publish/{destination}": "201, or 202 for a duplicate; to a url group a"
    " bare list, as both SDKs read it",
    "POST /v2/enqueue/{queueName}/{destination}": "as publish; takes delays and flow"
    " control as well",
    "POST /v2/batch": "answers of a url group are nested; what is wrong with an item is"
    " told in its place; 413 beyond the limits (settings)",
    "GET /v2/messages/{messageId}": "known until the retention ends; a cancelled one is"
    " 404, at the latest when its last attempt has failed",
    "DELETE /v2/messages/{messageId}": '`{"cancelled": 1}`; 404 once it has ended',
    "DELETE /v2/messages": "ids also in a JSON body; all matches in one call, whatever"
    " `count` says; no ids cancel nothing; an unknown parameter is a 400",
    "POST /v2/queues": "takes `paused` as well",
    "GET /v2/queues": "",
    "GET /v2/queues/{queueName}": "",
    "DELETE /v2/queues/{queueName}": "what waits in it is cancelled, and logged so",
    "POST /v2/queues/{queueName}/pause": "at once; 404 for an unknown queue",
    "POST /v2/queues/{queueName}/resume": "at once; 404 for an unknown queue",
    "POST /v2/schedules/{destination}": "takes `Upstash-Queue-Name`, flow control and"
    " deduplication, `Scheduler-Missed-Runs`, and `@every 10s` for a cron line;"
    " never 412",
    "GET /v2/schedules": "",
    "GET /v2/schedules/{scheduleId}": "of a url group, `lastScheduleStates` names the"
    " run that made its messages",
    "DELETE /v2/schedules/{scheduleId}": "404 for an unknown one",
    "POST /v2/schedules/{scheduleId}/pause": "also `PATCH`, as the SDKs send it",
    "POST /v2/schedules/{scheduleId}/resume": "also `PATCH`, as the SDKs send it",
    "GET /v2/topics": "",
    "GET /v2/topics/{urlGroupName}": "also `PATCH`: headers that hold where a publisher"
    " gives none",
    "DELETE /v2/topics/{urlGroupName}": "a schedule that still names it makes dead"
    " letters (`group-missing`)",
    "POST /v2/topics/{urlGroupName}/endpoints": "500 at most; 400 for what is no URL",
    "DELETE /v2/topics/{urlGroupName}/endpoints": "404 for an unknown group",
    "GET /v2/dlq": "filters by `flowControlKey` and `dlqIds`, and `order`, as well",
    "DELETE /v2/dlq": "ids also in a JSON body; no ids delete nothing; an unknown"
    " parameter is a 400",
    "GET /v2/dlq/{dlqId}": "",
    "DELETE /v2/dlq/{dlqId}": "",
    "POST /v2/dlq/retry/{dlqId}": "202 for a duplicate, whose dead letter stays",
    "POST /v2/dlq/retry": "unknown ids are passed over; no `cursor` on the last page",
    "GET /v2/flowControl": "`?search=` narrows it down",
    "GET /v2/flowControl/{flowControlKey}": "a limit that is not set is 0",
    "POST /v2/flowControl/{flowControlKey}/pause": "",
    "POST /v2/flowControl/{flowControlKey}/resume": "",
    "POST /v2/flowControl/{flowControlKey}/pin": "",
    "POST /v2/flowControl/{flowControlKey}/unpin": "",
    "POST /v2/flowControl/{flowControlKey}/resetRate": "",
    "GET /v2/globalParallelism": "the limit is `SCHED_TENANT_PARALLELISM`; while that"
    " is 0, what runs under flow-control keys is counted",
    "GET /v2/keys": "",
    "POST /v2/keys/rotate": "within 24 h (setting) only `next` is replaced, so that no"
    " receiver breaks; `?force=true` replaces both",
    "GET /v2/logs": "also `/v2/events`; both `logs` and `events` in the answer, up to"
    " 1000 a page; `CANCELED`, as the SDKs spell it",
}
# What else the service has, by the beginning of its paths, and what that is.
ABSENT = {
    "/llm/": "language models",
    "/v2/workflows": "workflows",
    "/v2/trigger/": "workflows",
    "/v2/notify/": "workflows",
    "/v2/wait/": "workflows",
    "/v2/email": "email",
}
# Where these would be destinations.
ABSENT_DESTINATIONS = "`api/llm` and `api/email` as destinations"
PROVIDER = "a provider's own URL works as a destination"


def told(path: str) -> str | None:
    """What is said of a path that only the service has, None if it is another."""
    for beginning, what in ABSENT.items():
        if path.startswith(beginning):
            return f"{what}: not supported by this server"
    return None


def operations_table() -> str:
    """The table of all operations, in Markdown."""
    rows = [
        f"| `{operation}` | {'differs' if how else 'supported'} | {how} |"
        for operation, how in OPERATIONS.items()
    ]
    absent = ", ".join(f"`{path}`" for path in ABSENT)
    rows += [
        f"| {ABSENT_DESTINATIONS} | absent | 400; {PROVIDER} |",
        f"| {absent} | absent | 404, in words |",
    ]
    return "\n".join(["| operation | here | how |", "| --- | --- | --- |", *rows])
