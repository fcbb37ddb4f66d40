"""Tests that send generated requests to every operation, and check the answers.

`operations.json` is the published description of the QStash API. Where our API differs
on purpose, the adaptations below change the description. Answers must match the changed
description.

Source: https://upstash.com/docs/qstash/api-reference
"""

import json
import pytest
import re
import schemathesis
from dataclasses import dataclass, field
from hypothesis import HealthCheck, given, seed, settings
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
    INTEGER,
    MAP,
    TEXT,
    TEXTS,
    Adaptation,
    answer,
    cases,
    either,
    empty_unless_described,
    headers,
    listed,
    load,
    mostly_valid,
    operations,
    query,
    record,
    unescaped_path,
)
from typing import Any

EXAMPLES = 20
# Without this seed, every edit of the test would change the generated requests.
SEED = 1
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    empty_unless_described,
]

# Statuses that every operation may return, even if its description lacks them.
GENERAL = {
    "401": "the token is missing or unknown",
    "404": "an id, a name or a route is unknown",
    "405": "the path has no such method",
    "413": "the body is larger than a limit in the settings",
    "429": "the client sends too many requests",
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
OF_ITEM = record(
    *("messageId", "url"),
    **PUBLISHED["properties"],
    ignored=TEXT,
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
    "parallelism": INTEGER,
    "rate": INTEGER,
    "period": INTEGER,
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
        "Upstash-Callback-Retries", "Upstash-Failure-Callback-Retries", schema=INTEGER
    ),
}
STATES = (
    *("CREATED", "ACTIVE", "RETRY", "ERROR", "DELIVERED", "FAILED"),
    "CANCEL_REQUESTED",
)
FLOW_CONTROL_HEADERS = headers("Upstash-Flow-Control-Key", "Upstash-Flow-Control-Value")

# Changes to described requests. Most of these changes add parameters or bodies that
# clients send, but that the description lacks. Described answers stay unchanged.
REQUESTS = (
    Adaptation(
        f"{BATCH} requestBody content application/json schema items properties",
        {"body": {"type": ["string", "null"]}, "queue": {"type": ["string", "null"]}},
        "Python's SDK sends null for absent values",
    ),
    *(
        Adaptation(f"{operation} parameters", ANY_HEADERS, "`*` stands for any name")
        for operation in (PUBLISH, ENQUEUE, SCHEDULE)
    ),
    Adaptation(
        f"{ENQUEUE} parameters",
        headers("Upstash-Delay")
        | headers("Upstash-Not-Before", schema=INTEGER)
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
            "queueName": mostly_valid("queueName"),
            "parallelism": {"maximum": 1_000},
            "paused": {"type": ["boolean", "null"]},
        },
        "the SDKs send paused",
    ),
    Adaptation(
        f"{TOPICS} post requestBody content application/json schema properties",
        {
            "endpoints": {
                "minItems": 1,
                "items": {
                    "properties": {
                        "url": mostly_valid("url"),
                        "name": mostly_valid("label"),
                    }
                },
            }
        },
        "random values would be refused",
    ),
    Adaptation(
        f"{TOPICS} delete requestBody content application/json schema properties",
        {"endpoints": {"items": record(url=mostly_valid("url"), name=TEXT)}},
        "random values would be refused",
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
            headers("Upstash-Retries", schema=INTEGER)
            | headers("Upstash-Delay", "Upstash-Forward-X-Test", "Upstash-Label"),
            "a retry takes the headers of a publish",
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
        "random values would be refused",
    ),
    Adaptation(
        "paths /v2/flowControl get parameters",
        query(search=TEXT),
        "the hosted service had it",
    ),
)
# Fields of answers that are optional in the description, but that an SDK needs. The
# adaptations make these fields required.
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
# Changes to described answers. The SDKs need answers that the description lacks.
ANSWERS = (
    Adaptation(
        f"{PUBLISH} responses",
        ACCEPTED,
        "the hosted service answers 201, and 202 for a duplicate; the SDKs accept any "
        "2xx. They recognise a url group by a bare array; Python's needs messageId",
    ),
    Adaptation(f"{ENQUEUE} responses", ACCEPTED, "as for publish"),
    Adaptation(
        f"{BATCH} responses 200",
        answer(listed(either(OF_ITEM, REFUSED, listed(OF_ITEM)))),
        "the SDKs need the answers of a url group nested; a refused item has an error "
        "in its place, with the messageId that Python's SDK reads; fields and headers "
        "without effect are named",
    ),
    Adaptation(
        "paths /v2/messages/{messageId} delete responses 200",
        answer(record("cancelled", cancelled=INTEGER)),
        "node's SDK parses JSON",
    ),
    Adaptation(
        "paths /v2/messages delete responses 200",
        answer(record("cancelled", cancelled=INTEGER)),
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
            **{"bodyBase64": TEXT, "timeout": INTEGER, "queueName": TEXT},
            "topicName": TEXT,
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
# The description has no 400 for these operations, but our server answers 400 to this
# invalid input. If the server ignored the input, the operation could change or return
# more than the client asked for.
INVALID_INPUT = {
    "/v2/messages delete": "an unknown filter, which must not cancel all messages",
    "/v2/logs get": "an unknown or invalid filter",
    "/v2/queues/{queueName} delete": "an invalid name",
    "/v2/topics/{urlGroupName}/endpoints post": "a body without an endpoint",
    "/v2/topics/{urlGroupName}/endpoints delete": "a body without an endpoint",
    "/v2/dlq get": "an unknown or invalid filter",
    "/v2/dlq delete": "an unknown filter, which must not delete all dead letters",
    "/v2/dlq/retry post": "an unknown filter, or an invalid header",
    "/v2/dlq/retry/{dlqId} post": "an invalid header",
    "/v2/flowControl get": "an unknown parameter",
}
BODY_MARKS = {
    "bodyIncomplete": {"type": "boolean"},
    "bodyTruncated": {"type": "boolean"},
}
# Fields of our answers that the description lacks. The description allows additional
# fields, and clients ignore unknown fields.
OWN_FIELDS = {
    "Schedule": {
        **{"missedRuns": TEXT, "mostMissed": INTEGER, "skippedRuns": INTEGER},
        **{"timeZone": TEXT, "gap": TEXT, "fold": TEXT, "overlap": TEXT},
        **{"startDate": TEXT, "endDate": TEXT, "maxRuns": INTEGER, "jitter": TEXT},
    },
    "LogEntry": {"errorCode": TEXT, **BODY_MARKS},
    "DLQMessage": {"error": TEXT, "errorCode": TEXT, **BODY_MARKS},
    "URLGroup": {"headers": MAP},
    "SigningKeys": {
        **{"breaks": TEXT, "graceEndsAt": INTEGER},
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
        for operation, reason in INVALID_INPUT.items()
    ),
    *(
        Adaptation(f"components schemas {kind} properties", fields, "additional fields")
        for kind, fields in OWN_FIELDS.items()
    ),
)
# The SDKs use these operations, but the description lacks them. Each operation has the
# same effect as the described operation that follows its name.
ALIASES = {
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
LOOKUPS = {
    "messageId": "/v2/messages/{messageId}",
    "scheduleId": "/v2/schedules/{scheduleId}",
}
OPERATIONS = [(method, path) for path, method in operations(ALIASES)]
SETTINGS = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@dataclass
class Subject:
    """The application under test.

    Attributes:
        newest_ids: the id of the newest message, schedule and dead letter. The key is
            the placeholder that generated requests contain instead of the id.
    """

    api: Any
    description: schemathesis.BaseSchema
    newest_ids: dict[str, str] = field(default_factory=dict)

    def publish(self) -> str:
        made = self.api.publish(
            **{"label": "first,second", "timeout": "7s", "retry_delay": "1000"},
            **{"callback": HOOK, "callback_forward_x_test": "1"},
            **{"failure_callback": HOOK, "failure_callback_forward_x_test": "1"},
            **{"flow_control_key": "key", "flow_control_value": "rate=1000"},
            **{"redact_fields": "header[X-Secret]", "forward_x_secret": "1"},
        )
        self.newest_ids[A_MESSAGE] = str(made["messageId"])
        return self.newest_ids[A_MESSAGE]

    def schedule(self) -> str:
        status, made = self.api.call(
            "POST", f"/v2/schedules/{HOOK}", headers=NIGHTLY, data=b"\xff"
        )
        assert status == 200, made
        self.newest_ids[A_SCHEDULE] = str(made["scheduleId"])
        return self.newest_ids[A_SCHEDULE]

    def letter(self) -> str:
        self.api.attempt(self.publish(), "dead", status=503, response="x")
        _, page = self.api.call("GET", "/v2/dlq?order=latestFirst&count=1")
        self.newest_ids[A_LETTER] = str(page["messages"][0]["dlqId"])
        return self.newest_ids[A_LETTER]

    def group(self) -> None:
        endpoints = [{"url": HOOK, "name": "first"}, {"url": f"{HOOK}/2"}]
        path = "/v2/topics/hooks/endpoints"
        assert self.api.call("POST", path, json={"endpoints": endpoints})[0] == 200

    def check(self, case: Case) -> Response:
        """Send a generated request, and check the answer against the description."""
        return case.call_and_validate(
            app=self.api.app,
            headers={"Authorization": f"Bearer {self.api.token}"},
            checks=CHECKS,
        )

    def get(self, path: str, **parts: Any) -> None:
        self.check(self.description[path]["get"].Case(**parts))

    def read_created(self, response: Response) -> None:
        """Read the messages and schedules that a request created; check the answers."""
        body = response.json() if response.content else None
        for each in body if isinstance(body, list) else [body]:
            for name, path in LOOKUPS.items():
                if isinstance(each, dict) and each.get(name):
                    self.get(path, path_parameters={name: each[name]})

    def fill(self, case: Case) -> None:
        """Create the resources that a request refers to, and insert their ids."""
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
        return self.newest_ids.get(value, value) if isinstance(value, str) else value


@pytest.fixture(scope="module")
def description() -> schemathesis.BaseSchema:
    return load(ADAPTATIONS, aliases=ALIASES, general=GENERAL)


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


def test_adaptations_of_requests_do_not_change_answers() -> None:
    for request in REQUESTS:
        _, _, place = request.at.partition("/v2/")
        assert "parameters" in place or "requestBody" in place


def test_our_additional_fields_are_not_in_the_description() -> None:
    described = json.loads(DESCRIPTION.read_text())
    for kind, fields in OWN_FIELDS.items():
        record = described["components"]["schemas"][kind]
        assert record["properties"].keys().isdisjoint(fields)
        assert record.get("additionalProperties", True)


def test_adaptations_add_no_status_but_201_202_and_400() -> None:
    described = json.loads(DESCRIPTION.read_text())["paths"]
    for adaptation in ANSWERS:
        place, _, status = adaptation.at.partition(" responses")
        if place.startswith("paths "):
            _, path, method = place.split()
            statuses = {status.split()[0]} if status else adaptation.value.keys()
            responses = described[path][method]["responses"]
            assert statuses <= responses.keys() | {"201", "202"}
    for operation in INVALID_INPUT:
        path, method = operation.split()
        assert "400" not in described[path][method]["responses"]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_answer_matches_the_description(
    subject: Subject, method: str, path: str
) -> None:
    statuses = set()

    @seed(SEED)
    @given(case=cases(subject.description[path][method]))
    @SETTINGS
    def answers_as_described(case: Case) -> None:
        subject.fill(case)
        case.path = unescaped_path(case)
        # Send each request twice. The second answer may differ, because the request is
        # a duplicate, or because the first request has deleted the resource.
        for response in (subject.check(case), subject.check(case)):
            subject.read_created(response)
            statuses.add(response.status_code)

    answers_as_described()
    subject.get("/v2/logs", query={"count": 1000})

    assert statuses & {200, 201, 202}, statuses


def test_every_operation_needs_a_token(api: Any) -> None:
    for method, path in OPERATIONS:
        url = re.sub("{.*?}", "x", path)

        status, answer = api.call(method, url, headers={"Authorization": ""})

        assert (status, list(answer)) == (401, ["error"]), (method, path)


def test_no_operation_has_the_method_put(api: Any) -> None:
    for _, path in OPERATIONS:
        status, answer = api.call("PUT", re.sub("{.*?}", "x", path))

        assert (status, list(answer)) == (405, ["error"]), path
