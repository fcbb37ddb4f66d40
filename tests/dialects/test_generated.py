"""Tests with requests that are generated from the OpenAPI documents of all dialects.

About half of the requests do not match the document. All responses must match it.
`tests/dialects/qstash/endpoints/test_operations.py` does the same with the publisher's
document of the QStash API.
"""

import pytest
import schemathesis
from collections.abc import Callable
from hypothesis import Phase, given
from scheduler_api.dialects.events_v1.settings import EventsV1Settings
from scheduler_api.dialects.inbound import DIALECTS
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.dialects.engine import Web
from tests.dialects.furnished import Furnished, furnish
from tests.fuzzing import budget
from typing import Any

HOOK, FAR_FUTURE = "https://example.com/hook", "2399-01-01T00:00:00Z"
EVENT = {"payload": "", "destination": HOOK, "scheduledTime": FAR_FUTURE}
CRON_JOB = {"payload": "", "destination": HOOK, "expression": "0 0 1 1 *"}
V1_EVENT = {
    **{"eventOwner": "user@example.com", "endDate": FAR_FUTURE},
    **{"interval": "0 0 1 1 *", "callbackUrl": HOOK},
}
# How to create an object whose id replaces a path parameter: the route, the arguments
# of the request, and the location of the id in the response. Values of other path
# parameters are in `Furnished.ids`.
CREATION: dict[tuple[str, str], tuple[str, dict[str, Any], tuple[str, ...]]] = {
    ("jiter", "event_id"): ("/api/events", {"json": EVENT}, ("id",)),
    ("jiter", "cron_id"): ("/api/cronjobs", {"json": CRON_JOB}, ("id",)),
    ("v1", "event_id"): ("/v1/events", {"json": V1_EVENT}, ("data", "eventId")),
    ("qstash", "message_id"): (
        f"/v2/publish/{HOOK}",
        {"headers": {"Upstash-Delay": "1h"}},
        ("messageId",),
    ),
    ("qstash", "schedule_id"): (
        f"/v2/schedules/{HOOK}",
        {"headers": {"Upstash-Cron": "0 0 1 1 *"}},
        ("scheduleId",),
    ),
}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
BLUEPRINTS = {dialect.DOCUMENT.name: dialect.DOCUMENT.blueprint for dialect in DIALECTS}
EXAMPLES = {"jiter": 4, "v1": 3, "qstash": 2}


@pytest.fixture
def furnished(make_web: Callable[..., Web]) -> Furnished:
    return furnish(make_web(EventsV1Settings, register=True))


def filled(furnished: Furnished, name: str, case: Case) -> None:
    """Replace the path parameters of a request by those of existing objects."""
    ids = furnished.ids[BLUEPRINTS[name]]
    for parameter in case.path_parameters or {}:
        if (name, parameter) in CREATION:
            path, arguments, location = CREATION[name, parameter]
            value = furnished.make("POST", path, **arguments)
            for key in location:
                value = value[key]
            case.path_parameters[parameter] = value
        elif parameter in ids:
            case.path_parameters[parameter] = ids[parameter]


def check(
    furnished: Furnished, name: str, operation: APIOperation, mode: GenerationMode
) -> None:
    """Send generated requests for one operation, and check the responses."""
    token = furnished.web.tenant.token
    headers = {"X-API-Key": token, "Authorization": f"Bearer {token}"}
    fits = mode is GenerationMode.POSITIVE

    @given(case=operation.as_strategy(generation_mode=mode))
    @budget(EXAMPLES[name], phases=[Phase.generate])
    def answers_as_documented(case: Case) -> None:
        if fits or (name, *(case.path_parameters or {}))[:2] in CREATION:
            filled(furnished, name, case)
        case.call_and_validate(app=furnished.web.app, headers=headers, checks=CHECKS)

    answers_as_documented()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("name", sorted(BLUEPRINTS))
def test_every_response_is_as_documented(
    furnished: Furnished, name: str, mode: GenerationMode
) -> None:
    document = furnished.web.app.test_client().get(f"/openapi/{name}.json").get_json()
    config = SchemathesisConfig.from_dict({"generation": {"deterministic": True}})
    schema = schemathesis.openapi.from_dict(document, config=config)
    operations = [operation.ok() for operation in schema.get_all_operations()]

    assert len(operations) > 10
    for operation in operations:
        has_input = operation.query or operation.headers or operation.body
        if mode is GenerationMode.POSITIVE or has_input:
            check(furnished, name, operation, mode)
