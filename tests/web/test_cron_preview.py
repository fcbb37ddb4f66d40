"""Tests of `GET /cron/preview`, on a real store."""

import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient
from scheduler_api.app import create_app
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.dialects.outbound import SECRETS
from scheduler_api.settings import Settings
from typing import Any

SECRET_KEY = "0123456789abcdef"
NEW_YORK = "America/New_York"
SPRING = "2025-03-09T00:00:00-05:00"


@pytest.fixture
def token(valkey: str) -> str:
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        return (
            Tenants(Cell(client, "{s1}:"), secret_key=SECRET_KEY, makers=SECRETS)
            .create("one")
            .token
        )


@pytest.fixture
def app(valkey: str, token: str) -> Flask:
    return create_app(Settings(redis_url=valkey, secret_key=SECRET_KEY))


@pytest.fixture
def http(app: Flask) -> FlaskClient:
    return app.test_client()


class Preview:
    """Requests previews with a valid token."""

    def __init__(self, http: FlaskClient, token: str) -> None:
        self._http = http
        self._headers = {"Authorization": f"Bearer {token}"}

    def __call__(self, query: Any = None, **parameters: str) -> tuple[int, Any]:
        response = self._http.get(
            "/cron/preview", query_string=query or parameters, headers=self._headers
        )
        assert response.mimetype == "application/json"
        return response.status_code, response.get_json()


@pytest.fixture
def preview(http: FlaskClient, token: str) -> Preview:
    return Preview(http, token)


def test_lists_runs_with_notes(preview: Preview) -> None:
    status, body = preview(
        expression="30 1,2 * * *", tz=NEW_YORK, after=SPRING, count="2"
    )

    assert status == 200
    assert body == {
        "expression": "30 1,2 * * *",
        "tz": NEW_YORK,
        "runs": [
            {"at": "2025-03-09T06:30:00Z", "local": "2025-03-09T01:30:00"},
            {
                "at": "2025-03-09T07:00:00Z",
                "local": "2025-03-09T03:00:00",
                "note": "moved here from 02:30: clocks go forward from 02:00 to 03:00",
            },
        ],
        "skipped": [],
    }


def test_lists_skipped_times_with_reasons(preview: Preview) -> None:
    status, body = preview(
        expression="30 2 * * *", tz=NEW_YORK, after=SPRING, count="1", gap="skip"
    )

    assert status == 200
    assert body["skipped"] == [
        {
            "local": "2025-03-09T02:30:00",
            "why": "clock change: clocks go forward from 02:00 to 03:00",
        }
    ]


def test_the_fold_policy_is_applied(preview: Preview) -> None:
    times = {
        fold: [
            run["at"]
            for run in preview(
                expression="30 1 * * *",
                tz=NEW_YORK,
                after="2025-11-02T00:00:00-04:00",
                count="1",
                fold=fold,
            )[1]["runs"]
        ]
        for fold in ("first", "second")
    }

    assert times == {
        "first": ["2025-11-02T05:30:00Z"],
        "second": ["2025-11-02T06:30:00Z"],
    }


def test_the_default_is_five_runs_from_now_in_utc(preview: Preview) -> None:
    status, body = preview(expression="* * * * *")

    assert status == 200
    assert body["tz"] == "UTC"
    assert len(body["runs"]) == 5
    assert all(run["at"] == f"{run['local']}Z" for run in body["runs"])


def test_a_zone_in_the_expression_overrides_the_parameter(preview: Preview) -> None:
    _, body = preview(
        expression="CRON_TZ=Asia/Tokyo 0 9 * * *", tz=NEW_YORK, after=SPRING, count="1"
    )

    assert body["tz"] == "Asia/Tokyo"
    assert body["runs"] == [
        {"at": "2025-03-10T00:00:00Z", "local": "2025-03-10T09:00:00"}
    ]


def test_an_unencoded_plus_in_an_offset_is_accepted(preview: Preview) -> None:
    query = "expression=0+0+*+*+*&count=1&after=2025-03-09T00:00:00+02:00"

    assert preview(query)[1]["runs"][0]["at"] == "2025-03-09T00:00:00Z"


@pytest.mark.parametrize(
    ("dialect", "accepted"),
    [(None, True), ("v1", True), ("jiter", False), ("qstash", False)],
)
def test_a_dialect_accepts_its_own_grammar_only(
    preview: Preview, dialect: str | None, accepted: bool
) -> None:
    parameters = {} if dialect is None else {"dialect": dialect}

    status, body = preview(expression="0 0 0 L * *", **parameters)

    assert (status == 200) is accepted, body
    if not accepted:
        assert "a field for seconds is not supported here" in body["error"]


@pytest.mark.parametrize(
    ("expression", "position", "message"),
    [
        ("61 * * * *", 0, "'61' is out of range: the minute goes from 0 to 59"),
        ("0 0 1 january *", 6, "'january' is not a valid month"),
        ("TZ=Mars 0 0 * * *", 3, "unknown time zone 'Mars'"),
        ("0 0 30 2 *", None, "no year has a day with day of month '30', month '2'"),
        (
            "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
            0,
            "not allowed",
        ),
        ("", 0, "has 0 fields"),
    ],
)
def test_a_wrong_expression_is_refused_with_the_position_of_the_fault(
    preview: Preview, expression: str, position: int | None, message: str
) -> None:
    status, body = preview({"expression": expression})

    assert status == 400
    assert list(body) == ["error", "position"]
    assert body["position"] == position
    assert message in body["error"]


def test_an_expression_always_skipped_by_clock_changes_is_refused(
    preview: Preview,
) -> None:
    status, body = preview(expression="*/30 2 * 3 0#2", tz=NEW_YORK)

    assert (status, body["position"]) == (400, None)
    assert "the expression never fires" in body["error"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({}, "'expression' is missing"),
        ({"tz": "Mars"}, "unknown time zone 'Mars'"),
        ({"tz": ""}, "unknown time zone ''"),
        ({"tz": "../UTC"}, "unknown time zone"),
        ({"after": "soon"}, "'after' takes an ISO 8601 time of the years 1970 to 2999"),
        ({"after": "1969-12-31T23:59:59Z"}, "'after' takes"),
        ({"after": "3000-01-01T00:00:00Z"}, "'after' takes"),
        ({"after": "0001-01-01T00:00:00+23:59"}, "'after' takes"),
        ({"after": "9999-12-31T23:59:59-23:59"}, "'after' takes"),
        ({"after": "1"}, "'after' takes"),
        ({"count": "0"}, "'count' takes a number from 1 to 100, not '0'"),
        ({"count": "101"}, "'count' takes"),
        ({"count": "-1"}, "'count' takes"),
        ({"count": "1.5"}, "'count' takes"),
        ({"count": "\u0661"}, "'count' takes"),
        ({"count": "9" * 5000}, "'count' takes"),
        ({"dialect": "unix"}, "'dialect' takes one of jiter, qstash, v1, not 'unix'"),
        ({"gap": "run"}, "'gap' takes one of after, skip, shift, not 'run'"),
        ({"fold": ""}, "'fold' takes one of first, second, both, not ''"),
        ({"timezone": "UTC"}, "'timezone' is no parameter here: use expression, tz"),
    ],
)
def test_the_refusal_names_the_wrong_parameter(
    preview: Preview, query: dict[str, str], message: str
) -> None:
    parameters = query if not query else {"expression": "* * * * *", **query}

    status, body = preview(parameters)

    assert status == 400
    assert body == {"error": body["error"], "position": None}
    assert message in body["error"] and len(body["error"]) < 200


def test_a_repeated_parameter_is_refused(preview: Preview) -> None:
    status, body = preview("expression=*+*+*+*+*&tz=UTC&tz=Asia/Tokyo")

    assert (status, body["error"]) == (400, "'tz' is given twice")


@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_a_bearer_token_is_accepted(
    http: FlaskClient, token: str, name: str, scheme: str
) -> None:
    response = http.get(
        "/cron/preview?expression=@daily", headers={name: f"{scheme} {token}"}
    )

    assert response.status_code == 200


@pytest.mark.parametrize("name", ["X-API-Key", "x-api-key", "X-Api-Key"])
def test_an_api_key_is_accepted(http: FlaskClient, token: str, name: str) -> None:
    response = http.get("/cron/preview?expression=@daily", headers={name: token})

    assert response.status_code == 200


def test_one_valid_token_of_two_is_enough(http: FlaskClient, token: str) -> None:
    for bearer, key in ((token, "other"), ("other", token)):
        headers = {"Authorization": f"Bearer {bearer}", "X-API-Key": key}
        response = http.get("/cron/preview?expression=@daily", headers=headers)
        assert response.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer other"},
        {"Authorization": "Bearer "},
        {"X-API-Key": "other"},
        {"X-API-Key": ""},
    ],
)
def test_a_request_without_a_valid_token_is_unauthorized(
    http: FlaskClient, headers: dict[str, str]
) -> None:
    response = http.get("/cron/preview?expression=nonsense", headers=headers)

    assert response.status_code == 401
    assert list(response.get_json()) == ["error"]


def test_the_basic_scheme_is_refused(http: FlaskClient, token: str) -> None:
    headers = {"Authorization": f"Basic {token}"}

    assert http.get("/cron/preview", headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/cron/preview", 405),
        ("GET", "/cron", 404),
        ("GET", "/cron/previews", 404),
    ],
)
def test_unknown_paths_and_methods_have_the_same_error_format(
    http: FlaskClient, method: str, path: str, status: int
) -> None:
    response = http.open(path, method=method)

    assert (response.status_code, list(response.get_json())) == (status, ["error"])
