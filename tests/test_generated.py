"""Tests with requests generated from the OpenAPI documents of Jiter and Scheduler v1.

The QStash dialect has its own generated tests, from the publisher's OpenAPI document.
"""

import pytest
import redis
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from scheduler_api.app import create_app
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.dialects.events_v1.settings import EventsV1Settings
from scheduler_api.dialects.outbound import SECRETS
from scheduler_api.settings import Settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from typing import Any

SECRET_KEY = "0123456789abcdef"
HOOK, FAR_FUTURE = "https://example.com/hook", "2399-01-01T00:00:00Z"
EVENT = {"payload": "", "destination": HOOK, "scheduledTime": FAR_FUTURE}
CRON_JOB = {"payload": "", "destination": HOOK, "expression": "0 0 1 1 *"}
V1_EVENT = {
    **{"eventOwner": "user@example.com", "endDate": FAR_FUTURE},
    **{"interval": "0 0 1 1 *", "callbackUrl": HOOK},
}
# How to create an object whose id replaces a path parameter: the route, the body, and
# the location of the id in the response.
CREATION: dict[tuple[str, str], tuple[str, dict[str, str], tuple[str, ...]]] = {
    ("jiter", "event_id"): ("/api/events", EVENT, ("id",)),
    ("jiter", "cron_id"): ("/api/cronjobs", CRON_JOB, ("id",)),
    ("v1", "event_id"): ("/v1/events", V1_EVENT, ("data", "eventId")),
}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
SETTINGS = settings(
    max_examples=6,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def app(valkey: str) -> Any:
    return create_app(
        Settings(
            redis_url=valkey,
            secret_key=SECRET_KEY,
            dialects=(EventsV1Settings(register=True),),
        )
    )


@pytest.fixture
def token(valkey: str) -> str:
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        return (
            Tenants(Cell(client, "{s1}:"), secret_key=SECRET_KEY, makers=SECRETS)
            .create("one")
            .token
        )


@pytest.mark.parametrize("name", ["jiter", "v1"])
def test_every_response_is_as_documented(app: Any, token: str, name: str) -> None:
    document = app.test_client().get(f"/openapi/{name}.json").get_json()
    config = SchemathesisConfig.from_dict({"generation": {"deterministic": True}})
    schema = schemathesis.openapi.from_dict(document, config=config)

    headers = {"X-API-Key": token}

    def fill_in_ids(case: Case) -> None:
        """Create an object for each id in the path, and use the ids of the objects."""
        for parameter in case.path_parameters or {}:
            if (name, parameter) in CREATION:
                path, body, location = CREATION[name, parameter]
                answer = app.test_client().post(path, json=body, headers=headers)
                value = answer.get_json()
                for key in location:
                    value = value[key]
                case.path_parameters[parameter] = value

    for operation in schema.get_all_operations():

        @given(case=operation.ok().as_strategy())
        @SETTINGS
        def answers_as_documented(case: Case) -> None:
            fill_in_ids(case)
            case.call_and_validate(app=app, headers=headers, checks=CHECKS)

        answers_as_documented()
