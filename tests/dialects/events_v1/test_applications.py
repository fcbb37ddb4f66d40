"""Tests of the registration of applications."""

import pytest
from tests.dialects.events_v1.conftest import Api

EMPTY, STRING = "appName should not be empty", "appName must be a string"


@pytest.fixture
def open_api(make_api) -> Api:
    return make_api(register=True)


def register(api: Api, name: object) -> dict[str, str]:
    headers = {"X-API-Key": ""}
    status, response = api.call(
        "POST", "/v1/register", {"appName": name}, headers=headers
    )
    assert status == 201, response
    return dict(response["data"])


def test_an_application_gets_its_own_key(open_api: Api):
    application = register(open_api, "my app")

    headers = {"X-API-Key": application["apiKey"]}
    assert set(application) == {"appName", "apiKey", "signingSecret"}
    assert application["appName"] == "my app"
    assert open_api.call("GET", "/v1/events", headers=headers)[0] == 200
    assert open_api.data("GET", "/v1/keys", headers=headers) == {
        "signingSecret": application["signingSecret"]
    }


def test_a_name_can_be_registered_only_once(open_api: Api):
    register(open_api, "my app")

    refused = open_api.error("POST", "/v1/register", {"appName": "my app"})

    assert refused == (400, ["appName already exists"])


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        *(({"appName": v}, [EMPTY, STRING]) for v in (None, "")),
        ({}, [EMPTY, STRING]),
        ({"appName": 1}, [STRING]),
        ({"appName": "a\nb"}, ["appName must contain only printable characters"]),
        (
            {"appName": "a" * 201},
            ["appName must be shorter than or equal to 200 characters"],
        ),
    ],
)
def test_a_wrong_name_is_refused(open_api: Api, body: object, messages: list[str]):
    assert open_api.error("POST", "/v1/register", body) == (400, messages)


def test_registration_is_closed_by_default(api: Api):
    status, message = api.error("POST", "/v1/register", {"appName": "x"})

    assert (status, message) == (403, "Applications are registered by an operator here")
