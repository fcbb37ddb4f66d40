"""Generated requests to every operation: no fault, no answer beyond what is described.

`operations.json` holds what QStash publishes of its operations: parameters, bodies,
statuses, fields. What is taken differently stands here, with the reason.

Source: https://upstash.com/docs/qstash/api-reference
"""

import json
import pytest
import re
import schemathesis
from dataclasses import dataclass, field
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, Response
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.dialects.qstash.operations import (
    A_LETTER,
    A_MESSAGE,
    A_SCHEDULE,
    DESCRIPTION,
    ERROR,
    HOOK,
    MAP,
    TEXT,
    TEXTS,
    WHOLE,
    Adaptation,
    answer,
    bare,
    cases,
    either,
    empty_unless_described,
    headers,
    listed,
    load,
    operations,
    query,
    record,
    spelt,
)
from typing import Any

EXAMPLES = 20
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    empty_unless_described,
]

# Statuses that any operation may answer with, whether or not the description has them.
GENERAL = {
    "401": "the token is missing or unknown",
    "404": "an id, a name or a route is unknown",
    "405": "the path has no such method",
    "413": "the body is beyond a limit that the installation sets",
    "429": "the client asks more often than it may",
}

PUBLISH = "paths /v2/publish/{destination} post"
ENQUEUE = "paths /v2/enqueue/{queueName}/{destination} post"
BATCH = "paths /v2/batch post"
SCHEDULE = "paths /v2/schedules/{destination} post"
LOGS = "paths /v2/logs get"
QUEUES = "paths /v2/queues"
TOPICS = "paths /v2/topics/{urlGroupName}/endpoints"

PUBLISHED = record(
    "messageId", "url", messageId=TEXT, url=TEXT, deduplicated={"type": "boolean"}
)
REFUSED = record("messageId", "error", messageId={"const": ""}, error=TEXT)
ACCEPTED = {
    "200": None,
    "201": answer(either(PUBLISHED, listed(PUBLISHED))),
    "202": answer(either(PUBLISHED, listed(PUBLISHED))),
}
CALLBACK_HEADERS = {"callbackHeader": MAP, "failureCallbackHeader": MAP}
FLOW_CONTROL = {
    "flowControlKey": TEXT,
    "parallelism": WHOLE,
    "rate": WHOLE,
    "period": WHOLE,
}
ANY_HEADERS = {
    "Upstash-Forward-*": None,
    "Upstash-Callback-Forward-*": None,
    "Upstash-Failure-Callback-Forward-*": None,
    "Upstash-Callback-*": None,
    "Upstash-Failure-Callback-*": None,
    **headers("Upstash-Forward-X-Test", "Upstash-Header-Forward"),
    **headers(
        *(
            f"Upstash-{kind}-{name}"
            for kind in ("Callback", "Failure-Callback")
            for name in ("Forward-X-Test", "Method", "Timeout", "Retry-Delay", "Delay")
        )
    ),
    **headers(
        "Upstash-Callback-Retries", "Upstash-Failure-Callback-Retries", schema=WHOLE
    ),
}
STATES = (
    *("CREATED", "ACTIVE", "RETRY", "ERROR", "DELIVERED", "FAILED"),
    "CANCEL_REQUESTED",
)
FLOW_CONTROL_HEADERS = headers("Upstash-Flow-Control-Key", "Upstash-Flow-Control-Value")

# What clients send that the description lacks. It allows no answer.
REQUESTS = (
    Adaptation(
        f"{BATCH} requestBody content application/json schema items properties",
        {"body": {"type": ["string", "null"]}, "queue": {"type": ["string", "null"]}},
        "Python's SDK sends null for what is not given",
    ),
    *(
        Adaptation(
            f"{operation} parameters", ANY_HEADERS, "the star stands for any name"
        )
        for operation in (PUBLISH, ENQUEUE, SCHEDULE)
    ),
    Adaptation(
        f"{ENQUEUE} parameters",
        headers("Upstash-Delay")
        | headers("Upstash-Not-Before", schema=WHOLE)
        | FLOW_CONTROL_HEADERS,
        "node's SDK may send them",
    ),
    Adaptation(
        f"{SCHEDULE} parameters",
        headers("Upstash-Queue-Name", "Upstash-Deduplication-Id")
        | headers("Upstash-Content-Based-Deduplication")
        | FLOW_CONTROL_HEADERS,
        "the SDKs send them",
    ),
    Adaptation(
        "paths /v2/messages delete requestBody content application/json",
        {"schema": record(messageIds=TEXTS)},
        "Python's SDK sends ids in a body, node's in the query",
    ),
    Adaptation(
        f"{LOGS} parameters",
        query(
            **{"messageIds": TEXTS, "host": TEXTS, "path": TEXTS, "callerIp": TEXTS},
            flowControlKey=TEXTS,
            state={"enum": [*STATES, "IN_PROGRESS", "CANCELED", "CANCELLED"]},
            order={"type": "string", "enum": ["earliestFirst", "latestFirst"]},
            count={"type": "integer", "minimum": 1, "maximum": 1000},
        ),
        "the SDKs have these filters, larger pages, and spell CANCELED",
    ),
    Adaptation(
        f"{QUEUES} post requestBody content application/json schema properties",
        {
            "queueName": spelt("queueName"),
            "parallelism": {"maximum": 1_000},
            "paused": {"type": ["boolean", "null"]},
        },
        "the SDKs send paused",
    ),
    Adaptation(
        f"{TOPICS} post requestBody content application/json schema properties",
        {"endpoints": {"items": {"properties": {"url": spelt("destination")}}}},
        "requests of mere noise are refused",
    ),
    Adaptation(
        f"{TOPICS} delete requestBody content application/json schema properties",
        {"endpoints": {"items": record(url=spelt("destination"), name=TEXT)}},
        "requests of mere noise are refused",
    ),
    *(
        Adaptation(
            f"paths {path} parameters",
            query(
                **{"dlqIds": TEXTS, "flowControlKey": TEXTS, "cursor": TEXT},
                order={"type": "string", "enum": ["earliestFirst", "latestFirst"]},
                count={"type": "integer", "minimum": 1, "maximum": 100},
            ),
            "the SDKs have these for each of the three",
        )
        for path in ("/v2/dlq get", "/v2/dlq delete", "/v2/dlq/retry post")
    ),
    Adaptation(
        "paths /v2/dlq delete requestBody content application/json",
        {"schema": record(dlqIds=TEXTS)},
        "Python's SDK sends ids in a body, node's in the query",
    ),
    *(
        Adaptation(
            f"paths {path} post parameters",
            headers("Upstash-Retries", schema=WHOLE)
            | headers("Upstash-Delay", "Upstash-Forward-X-Test", "Upstash-Label"),
            "a retry takes what a publisher may say",
        )
        for path in ("/v2/dlq/retry", "/v2/dlq/retry/{dlqId}")
    ),
    Adaptation(
        "paths /v2/flowControl/{flowControlKey}/pin post parameters",
        query(
            **{
                name: {"type": "integer", "minimum": 0, "maximum": 100}
                for name in ("parallelism", "rate", "period")
            }
        ),
        "requests of mere noise are refused",
    ),
    Adaptation(
        "paths /v2/flowControl get parameters",
        query(search=TEXT),
        "the service has had it",
    ),
)
# Fields without which an SDK breaks: fewer answers pass.
MESSAGE = ("messageId", "url", "method", "maxRetries", "notBefore", "createdAt")
NEEDED = {
    "Message": MESSAGE,
    "DLQMessage": (*MESSAGE, "dlqId", "responseStatus"),
    "LogEntry": ("time", "messageId", "state", "url"),
    "Schedule": (
        *("scheduleId", "destination", "cron", "createdAt", "method"),
        *("retries", "isPaused"),
    ),
    "Queue": ("name", "createdAt", "updatedAt", "parallelism", "paused", "lag"),
    "URLGroup": ("name", "createdAt", "updatedAt", "endpoints"),
    "FlowControlKey": ("flowControlKey",),
    "SigningKeys": ("current", "next"),
}
# Where the SDKs and the description disagree, the SDKs are right.
ANSWERS = (
    Adaptation(
        f"{PUBLISH} responses",
        ACCEPTED,
        "the service answers 201, and 202 to a duplicate; the SDKs take any 2xx. "
        "They tell url groups by a bare array, and Python's reads messageId and url",
    ),
    Adaptation(f"{ENQUEUE} responses", ACCEPTED, "as for publish"),
    Adaptation(
        f"{BATCH} responses 200",
        answer(listed(either(PUBLISHED, REFUSED, listed(PUBLISHED)))),
        "the SDKs need the answers of a url group nested; an item that is refused is "
        "told in its place, with the messageId that Python's SDK reads",
    ),
    Adaptation(
        "paths /v2/messages/{messageId} delete responses 200",
        answer(record("cancelled", cancelled=WHOLE)),
        "node's SDK parses JSON",
    ),
    Adaptation(
        "paths /v2/messages delete responses 200",
        answer(record("cancelled", cancelled=WHOLE)),
        "the SDKs read cancelled",
    ),
    Adaptation(
        f"{LOGS} responses 200 content application/json schema",
        {
            "required": ["events", "logs"],
            "properties": {"events": listed({"$ref": "#/components/schemas/LogEntry"})},
        },
        "the SDKs read events",
    ),
    Adaptation(
        "components schemas LogEntry properties",
        {
            "state": {"enum": [*STATES, "CANCELED"]},
            "retryDelayExpr": TEXT,
            "responseHeader": MAP,
            "callerIP": TEXT,
            **FLOW_CONTROL,
        },
        "Python's SDK knows no CANCELLED; the SDKs read the others",
    ),
    *(
        Adaptation(
            f"components schemas {kind} properties",
            {"retryDelayExpression": TEXT, **CALLBACK_HEADERS},
            "the SDKs read them",
        )
        for kind in ("Message", "DLQMessage")
    ),
    Adaptation(
        "components schemas DLQMessage properties",
        {"dlqId": TEXT},
        "the SDKs need it",
    ),
    Adaptation(
        "components schemas Schedule properties",
        {
            **{"bodyBase64": TEXT, "timeout": WHOLE, "queueName": TEXT},
            **{"callerIP": TEXT, "error": TEXT, **CALLBACK_HEADERS},
            "lastScheduleStates": {
                "additionalProperties": {"enum": ["IN_PROGRESS", "SUCCESS", "FAIL"]}
            },
        },
        "Python's SDK knows three states; the SDKs read the others",
    ),
    Adaptation(
        "paths /v2/dlq/retry post responses 201",
        answer(record("responses", responses=listed(PUBLISHED), cursor=TEXT)),
        "node's SDK needs the list; each answer is that of publishing",
    ),
    Adaptation(
        "paths /v2/dlq/retry/{dlqId} post responses",
        {"201": answer(PUBLISHED), "202": answer(PUBLISHED)},
        "as for publishing",
    ),
)
# Operations that the description gives no 400, and what in them cannot be carried out:
# to pass over it would do more than was meant, or something else.
UNREADABLE = {
    "/v2/messages delete": "a filter that is unknown does not mean everything",
    "/v2/logs get": "a filter may be one that cannot be read",
    "/v2/queues/{queueName} delete": "a name may be none of a queue",
    "/v2/topics/{urlGroupName}/endpoints post": "a body may name no endpoint",
    "/v2/topics/{urlGroupName}/endpoints delete": "as for adding them",
    "/v2/dlq get": "as for logs",
    "/v2/dlq delete": "as for messages",
    "/v2/dlq/retry post": "as for messages, or a header is no good",
    "/v2/dlq/retry/{dlqId} post": "a header may be no good",
    "/v2/flowControl get": "as for logs",
}
# Fields beside those that the description has: it leaves its records open, and clients
# pass over what they do not know.
OWN = {
    "Schedule": {
        **{"missedRuns": TEXT, "mostMissed": WHOLE, "skippedRuns": WHOLE},
        **{"timeZone": TEXT, "gap": TEXT, "fold": TEXT, "overlap": TEXT},
        **{"startDate": TEXT, "endDate": TEXT, "maxRuns": WHOLE, "jitter": TEXT},
    },
    "URLGroup": {"headers": MAP},
    "SigningKeys": {
        **{"breaks": TEXT, "graceEndsAt": WHOLE},
        "rotated": {"enum": ["both", "next"]},
    },
}
ADAPTATIONS = (
    *REQUESTS,
    *ANSWERS,
    *(
        Adaptation(
            f"components schemas {kind}", {"required": [*fields]}, "an SDK needs them"
        )
        for kind, fields in NEEDED.items()
    ),
    *(
        Adaptation(f"paths {operation} responses", {"400": ERROR}, reason)
        for operation, reason in UNREADABLE.items()
    ),
    *(
        Adaptation(f"components schemas {kind} properties", fields, "of our own")
        for kind, fields in OWN.items()
    ),
)
# The same operations as the SDKs call them, where the description has others.
SAME = {
    "/v2/events get": "/v2/logs get",
    "/v2/schedules/{scheduleId}/pause patch": "/v2/schedules/{scheduleId}/pause post",
    "/v2/schedules/{scheduleId}/resume patch": "/v2/schedules/{scheduleId}/resume post",
}
NIGHTLY = {
    "Upstash-Cron": "0 0 * * *",
    "Upstash-Queue-Name": "orders",
    "Upstash-Forward-X-Test": "é",
    "Upstash-Callback": HOOK,
    "Upstash-Callback-Forward-X-Test": "1",
    **{"Upstash-Delay": "90s", "Upstash-Timeout": "7s", "Upstash-Label": "first"},
    **{"Upstash-Flow-Control-Key": "k", "Upstash-Flow-Control-Value": "rate=1"},
}
LOOK_UP = {
    "messageId": "/v2/messages/{messageId}",
    "scheduleId": "/v2/schedules/{scheduleId}",
}
OPERATIONS = [(method, path) for path, method in operations(SAME)]
SETTINGS = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@dataclass
class Subject:
    """The application with something of each kind, held to the description."""

    api: Any
    description: schemathesis.BaseSchema
    newest: dict[str, str] = field(default_factory=dict)

    def publish(self) -> str:
        made = self.api.publish(
            **{"label": "first,second", "timeout": "7s", "retry_delay": "1000"},
            **{"callback": HOOK, "callback_forward_x_test": "1"},
            **{"failure_callback": HOOK, "failure_callback_forward_x_test": "1"},
            **{"flow_control_key": "key", "flow_control_value": "rate=1000"},
            **{"redact_fields": "header[X-Secret]", "forward_x_secret": "1"},
        )
        self.newest[A_MESSAGE] = str(made["messageId"])
        return self.newest[A_MESSAGE]

    def schedule(self) -> str:
        status, made = self.api.call(
            "POST", f"/v2/schedules/{HOOK}", headers=NIGHTLY, data=b"\xff"
        )
        assert status == 200, made
        self.newest[A_SCHEDULE] = str(made["scheduleId"])
        return self.newest[A_SCHEDULE]

    def letter(self) -> str:
        self.api.attempt(self.publish(), "dead", status=503, response="x")
        _, page = self.api.call("GET", "/v2/dlq?order=latestFirst&count=1")
        self.newest[A_LETTER] = str(page["messages"][0]["dlqId"])
        return self.newest[A_LETTER]

    def group(self) -> None:
        endpoints = [{"url": HOOK, "name": "first"}, {"url": f"{HOOK}/2"}]
        path = "/v2/topics/hooks/endpoints"
        assert self.api.call("POST", path, json={"endpoints": endpoints})[0] == 200

    def check(self, case: Case) -> Response:
        """Makes the request, and compares its answer with the description."""
        return case.call_and_validate(
            app=self.api.app,
            headers={"Authorization": f"Bearer {self.api.token}"},
            checks=CHECKS,
        )

    def get(self, path: str, **parts: Any) -> None:
        self.check(self.description[path]["get"].Case(**parts))

    def look_up(self, response: Response) -> None:
        """Reads what a request has made."""
        made = response.json() if response.content else None
        for each in made if isinstance(made, list) else [made]:
            for name, path in LOOK_UP.items():
                if isinstance(each, dict) and each.get(name):
                    self.get(path, path_parameters={name: each[name]})

    def fill(self, case: Case) -> None:
        """Puts ids of what there is where they are wanted."""
        in_path = list((case.path_parameters or {}).values())
        if A_MESSAGE in in_path:
            self.publish()
        if A_SCHEDULE in in_path:
            self.schedule()
        if A_LETTER in (*in_path, *(case.query or {}).values()):
            self.letter()
        if {"hooks", "destination"} & {*in_path, *(case.path_parameters or {})}:
            self.group()
        case.path_parameters = self._filled(case.path_parameters)
        case.query = self._filled(case.query)
        case.body = self._filled(case.body)

    def _filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._filled(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self._filled(each) for each in value]
        return self.newest.get(value, value) if isinstance(value, str) else value


@pytest.fixture(scope="module")
def description() -> schemathesis.BaseSchema:
    return load(ADAPTATIONS, same=SAME, general=GENERAL)


@pytest.fixture
def subject(api: Any, description: schemathesis.BaseSchema) -> Subject:
    subject = Subject(api, description)
    for outcome in ("retry", "dead", "delivered"):
        api.attempt(
            *(subject.publish(), outcome),
            **{"status": 503, "response": "später", "headers": ["retry-after", "1"]},
        )
    api.call("DELETE", f"/v2/messages/{subject.publish()}")
    subject.publish()
    subject.schedule()
    subject.letter()
    subject.group()
    api.call("POST", f"/v2/enqueue/orders/{HOOK}")
    return subject


def test_what_clients_send_allows_no_answer() -> None:
    for request in REQUESTS:
        _, _, of = request.at.partition("/v2/")
        assert "parameters" in of or "requestBody" in of


def test_what_is_our_own_is_beside_what_is_described() -> None:
    described = json.loads(DESCRIPTION.read_text())
    for kind, fields in OWN.items():
        record = described["components"]["schemas"][kind]
        assert record["properties"].keys().isdisjoint(fields)
        assert record.get("additionalProperties", True)


def test_every_status_beyond_the_described_is_one_of_few() -> None:
    described = json.loads(DESCRIPTION.read_text())["paths"]
    for answer_of in ANSWERS:
        place, _, status = answer_of.at.partition(" responses")
        if place.startswith("paths "):
            _, path, method = place.split()
            given = {status.split()[0]} if status else answer_of.value.keys()
            assert given <= described[path][method]["responses"].keys() | {"201", "202"}
    for operation in UNREADABLE:
        path, method = operation.split()
        assert "400" not in described[path][method]["responses"]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_answer_is_described(subject: Subject, method: str, path: str) -> None:
    statuses = set()

    @given(case=cases(subject.description[path][method]))
    @SETTINGS
    def answers_as_described(case: Case) -> None:
        subject.fill(case)
        case.path = bare(case)
        # The second time it may be a duplicate, or gone.
        for response in (subject.check(case), subject.check(case)):
            subject.look_up(response)
            statuses.add(response.status_code)

    answers_as_described()
    subject.get("/v2/logs", query={"count": 1000})

    assert statuses & {200, 201, 202}, statuses


def test_every_operation_needs_a_token(api: Any) -> None:
    for method, path in OPERATIONS:
        url = re.sub("{.*?}", "x", path)

        status, told = api.call(method, url, headers={"Authorization": ""})

        assert (status, list(told)) == (401, ["error"]), (method, path)


def test_no_operation_is_a_put(api: Any) -> None:
    for _, path in OPERATIONS:
        status, told = api.call("PUT", re.sub("{.*?}", "x", path))

        assert (status, list(told)) == (405, ["error"]), path
