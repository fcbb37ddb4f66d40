"""Tests of what tokens allow: read-only tokens, and operator's tokens (S-27, S-29)."""

import io
import pytest
import re
from collections.abc import Callable, Iterator
from scheduler_api import auth
from scheduler_api.dialects.inbound import DIALECTS
from scheduler_api.web import openapi, request_body
from scheduler_api.web.access import (
    NO_TENANT,
    OTHER_TENANT,
    READ_ONLY,
    TENANT_HEADER,
    UNKNOWN_TENANT,
)
from tests.dialects.engine import Web
from tests.dialects.furnished import NAME, Furnished, furnish, hook
from typing import Any

HOOK = hook(NAME)
SECRETS = ("/v1/keys", "/v2/keys")
PREVIEW = "/cron/preview?expression=0+0+*+*+*"


@pytest.fixture
def furnished(make_web: Callable[..., Web]) -> Furnished:
    return furnish(make_web())


def routes(furnished: Furnished) -> Iterator[tuple[str, str]]:
    """Each method and path, with ids of what the tenant has."""
    for dialect in DIALECTS:
        ids = furnished.ids[dialect.DOCUMENT.blueprint]
        for rule, method, _ in openapi.views(furnished.web.app, dialect.DOCUMENT):
            path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule).format(**ids)
            if path != "/v1/register":
                yield method, path


def message_of(body: Any) -> str:
    """The message in an error response of any dialect."""
    return str(body.get("message") or body["error"])


def test_s27_a_read_only_token_reads_everything_and_writes_nothing(
    furnished: Furnished,
) -> None:
    tokens = furnished.web.tenants.tokens
    reader = tokens.create(furnished.web.tenant.id, "reader", read_only=True)
    before = furnished.stored()

    for method, path in routes(furnished):
        status, body = furnished.call(method, path, token=reader)
        if method == "GET" and path not in SECRETS:
            assert status == 200, (path, body)
        else:
            assert status == 403, (method, path, body)
            assert message_of(body) == READ_ONLY
    assert furnished.call("GET", PREVIEW, token=reader)[0] == 200
    assert furnished.stored() == before


def test_the_same_requests_are_not_refused_with_a_full_token(
    furnished: Furnished,
) -> None:
    statuses = {
        (method, path): furnished.call(method, path)[0]
        for method, path in routes(furnished)
    }

    assert len(statuses) > 80
    assert not {401, 403} & set(statuses.values())


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/events", {"message": READ_ONLY}),
        (f"/v2/publish/{HOOK}", {"error": READ_ONLY}),
        ("/v1/events", {"statusCode": 403, "error": "Forbidden", "message": READ_ONLY}),
    ],
)
def test_a_refusal_has_the_format_of_the_dialect(
    furnished: Furnished, path: str, expected: dict[str, Any]
) -> None:
    tenants = furnished.web.tenants
    token = tenants.tokens.create(furnished.web.tenant.id, "reader", read_only=True)

    status, body = furnished.call("POST", path, token=token)

    body.pop("timestamp", None)
    assert (status, body) == (403, expected)


def test_an_operator_s_token_acts_for_the_tenant_that_a_header_names(
    furnished: Furnished, make_web: Callable[..., Web]
) -> None:
    operator = furnished.web.tenants.tokens.create(None, "ops")
    other = make_web().tenant
    own = {TENANT_HEADER: furnished.web.tenant.id}

    for path in ("/api/events", "/v2/queues", "/v1/events"):
        mine = furnished.call("GET", path)
        assert furnished.call("GET", path, token=operator, headers=own) == mine
        foreign = {TENANT_HEADER: other.id}
        answer = furnished.call("GET", path, token=operator, headers=foreign)
        assert answer[0] == 200 and NAME not in str(answer) and answer != mine
    paused = furnished.call(
        "POST", f"/v2/queues/{NAME}/pause", token=operator, headers=own
    )
    assert paused[0] == 200
    assert furnished.make("GET", f"/v2/queues/{NAME}")["paused"] is True


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, NO_TENANT),
        ({TENANT_HEADER: "99"}, UNKNOWN_TENANT),
        ({TENANT_HEADER: ""}, UNKNOWN_TENANT),
    ],
)
def test_an_operator_s_token_is_refused_without_a_tenant(
    furnished: Furnished, headers: dict[str, str], message: str
) -> None:
    operator = furnished.web.tenants.tokens.create(None, "ops")

    for path in ("/api/events", "/v2/queues", "/v1/events"):
        status, body = furnished.call("GET", path, token=operator, headers=headers)
        assert (status, message_of(body)) == (403, message)
    assert furnished.call("GET", PREVIEW, token=operator)[0] == 200


def test_a_read_only_operator_s_token_changes_no_tenant(furnished: Furnished) -> None:
    reader = furnished.web.tenants.tokens.create(None, "ops", read_only=True)
    headers = {TENANT_HEADER: furnished.web.tenant.id}
    path = f"/v2/queues/{NAME}/pause"

    status, body = furnished.call("POST", path, token=reader, headers=headers)

    assert (status, message_of(body)) == (403, READ_ONLY)
    assert furnished.call("GET", "/v2/queues", token=reader, headers=headers)[0] == 200


def test_a_tenant_s_token_cannot_name_another_tenant(
    furnished: Furnished, make_web: Callable[..., Web]
) -> None:
    other, own = make_web().tenant.id, furnished.web.tenant.id

    for path in ("/api/events", "/v2/queues", "/v1/events"):
        status, body = furnished.call("GET", path, headers={TENANT_HEADER: other})
        assert (status, message_of(body)) == (403, OTHER_TENANT)
        assert furnished.call("GET", path, headers={TENANT_HEADER: own})[0] == 200


class SlowBody(io.BytesIO):
    """A body whose end arrives after something has happened."""

    def __init__(self, body: bytes, happens: Callable[[], object]) -> None:
        super().__init__(body)
        self._happens = happens

    def read(self, size: int | None = -1) -> bytes:
        self._happens()
        return super().read(size)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2/publish/http://a.example/", b"x"),
        ("/v2/queues", b'{"queueName": "late"}'),
        ("/api/events", b"{}"),
        ("/v1/events", b"{}"),
    ],
)
@pytest.mark.parametrize("holder", ["tenant", "operator"])
def test_a_token_that_is_revoked_while_a_body_arrives_is_refused(
    make_web: Callable[..., Web],
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    body: bytes,
    holder: str,
) -> None:
    monkeypatch.setattr(auth, "CACHED_S", 0)
    monkeypatch.setattr(request_body, "QUICK_S", -1)
    web = make_web()
    owner = web.tenant.id if holder == "tenant" else None
    token = web.tenants.tokens.create(owner, "slow")
    before = Furnished(web, {}).stored()

    answer = web.app.test_client().post(
        path,
        input_stream=SlowBody(body, lambda: web.tenants.tokens.revoke(owner, "slow")),
        headers={
            "Authorization": f"Bearer {token}",
            "x-api-key": token,
            "Content-Length": str(len(body)),
        }
        | ({} if owner else {TENANT_HEADER: web.tenant.id}),
    )

    assert answer.status_code == 401
    assert {each for each in Furnished(web, {}).stored() if each not in before} == set()
