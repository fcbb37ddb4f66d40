"""Tests that every API and the command line give the same reason for a refusal."""

import pytest
import redis
from click.testing import CliRunner
from flask.testing import FlaskClient
from scheduler_api.app import create_app
from scheduler_api.cli import main
from scheduler_api.core.cron.expression import CronError, parse
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.dialects.outbound import GRAMMARS, SECRETS
from scheduler_api.settings import Settings
from typing import Any

SECRET_KEY = "0123456789abcdef"
HOOK = "https://receiver.example/hook"
REFUSED = {
    "too few fields": "0 9 * *",
    "too many fields": "0 0 9 * * 1 2027",
    "not a value": "0 nine * * *",
    "out of range": "0 9 * * 8",
    "a bad step": "*/0 9 * * *",
    "a reversed range": "0 22-2 * * *",
    "an unknown name": "0 9 * * FRY",
    "a missing value": "0 9,,17 * * *",
    "an unknown alias": "@fortnightly",
    "text after an alias": "@daily 5",
    "a zone behind the fields": "0 9 * * * Europe/Berlin",
    "never": "0 9 30 2 *",
    "braces": "0 {9} * * *",
    "W": "0 9 15W * *",
}


@pytest.fixture(scope="module")
def client(valkey: str) -> FlaskClient:
    with redis.Redis.from_url(valkey) as store:
        store.flushall()
        token = (
            Tenants(Cell(store, "{s1}:"), secret_key=SECRET_KEY, makers=SECRETS)
            .create("one")
            .token
        )
    http = create_app(Settings(redis_url=valkey, secret_key=SECRET_KEY)).test_client()
    http.environ_base |= {
        "HTTP_AUTHORIZATION": f"Bearer {token}",
        "HTTP_X_API_KEY": token,
    }
    return http


def reason(expression: str, dialect: str) -> str:
    with pytest.raises(CronError) as caught:
        parse(expression, grammar=GRAMMARS[dialect])
    return str(caught.value)


def create_job(client: FlaskClient, expression: Any, **more: Any) -> Any:
    body = {"payload": "x", "destination": HOOK, "expression": expression} | more
    return client.post("/api/cronjobs", json=body)


def create_event(client: FlaskClient, interval: str, **more: Any) -> Any:
    body = {
        "eventOwner": "user@example.com",
        "endDate": "2999-01-01T00:00:00Z",
        "callbackUrl": HOOK,
        "interval": interval,
    }
    return client.post("/v1/events", json=body | more)


@pytest.mark.parametrize("expression", REFUSED.values(), ids=REFUSED)
def test_qstash_gives_the_reason_in_its_error(
    client: FlaskClient, expression: str
) -> None:
    response = client.post(
        f"/v2/schedules/{HOOK}", headers={"Upstash-Cron": expression}
    )

    assert response.status_code == 400
    assert reason(expression, "qstash") in response.get_json()["error"]


@pytest.mark.parametrize("expression", REFUSED.values(), ids=REFUSED)
def test_jiter_gives_the_reason_in_a_header(
    client: FlaskClient, expression: str
) -> None:
    response = create_job(client, expression)

    assert response.status_code == 400
    assert response.get_json() == {"message": "Please enter a valid cron expression"}
    assert response.headers["Scheduler-Reason"] == reason(expression, "jiter")


@pytest.mark.parametrize("expression", REFUSED.values(), ids=REFUSED)
def test_v1_gives_the_reason_as_a_further_message(
    client: FlaskClient, expression: str
) -> None:
    response = create_event(client, expression)

    assert response.status_code == 400
    assert response.get_json()["message"] == [
        "interval must be a valid cron expression",
        reason(expression, "v1"),
    ]


@pytest.mark.parametrize("dialect", GRAMMARS)
def test_the_preview_and_the_command_line_give_the_same_reason(
    client: FlaskClient, dialect: str
) -> None:
    for expression in REFUSED.values():
        query = {"expression": expression, "dialect": dialect}
        response = client.get("/cron/preview", query_string=query)
        shown = CliRunner().invoke(main, ["cron", expression, "--dialect", dialect])
        assert response.status_code == 400
        assert response.get_json()["error"] == reason(expression, dialect)
        assert f"Error: {reason(expression, dialect)}\n" in shown.output


@pytest.mark.parametrize("expression", [..., None, 5, ["* * * * *"]])
def test_jiter_gives_a_reason_for_what_is_not_a_text(
    client: FlaskClient, expression: Any
) -> None:
    more = {} if expression is ... else {"expression": expression}
    response = client.post("/api/cronjobs", json={"payload": "x"} | more)

    assert response.status_code == 400
    assert response.headers["Scheduler-Reason"] == (
        "'expression' should be a text with five fields, such as '0 9 * * *'"
    )


def test_a_reason_in_a_header_is_ascii(client: FlaskClient) -> None:
    response = create_job(client, "0 9 \u0663 * *")

    assert response.headers["Scheduler-Reason"].startswith("'\\u0663' is not allowed")


def test_other_refusals_of_jiter_have_no_reason(client: FlaskClient) -> None:
    response = create_job(client, "0 9 * * *", payload=5)

    assert response.status_code == 400
    assert "Scheduler-Reason" not in response.headers


def test_a_schedule_without_any_fire_time_is_refused_with_the_reason(
    client: FlaskClient,
) -> None:
    # Clocks skip 02:30 on the last Sunday in March, the only day of this rule.
    options = {"timeZone": "Europe/Berlin", "gap": "skip"}
    skipped = create_event(client, "30 2 * 3 0L", options=options)
    late = create_job(
        client, "0 9 * * *", options={"startDate": "9999-01-01T00:00:00Z"}
    )

    never = (
        "the expression never fires: clock changes or 'startDate' exclude all of its"
        " times"
    )
    assert (skipped.status_code, late.status_code) == (400, 400)
    assert skipped.get_json()["message"][1] == never
    assert late.headers["Scheduler-Reason"] == never
