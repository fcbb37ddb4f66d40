"""Tests of tokens that are presented together with an id."""

import base64
import json
import pytest
import redis
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.tenants.accounts import NewTenant, Tenants
from scheduler_api.core.tenants.token_forms import with_user
from scheduler_api.core.tenants.tokens import FIRST, Access


@pytest.fixture
def tenants(store_client: redis.Redis) -> Tenants:
    return Tenants(Cell(store_client, "{s1}:"), secret_key="a secret key", makers={})


@pytest.fixture
def ada(tenants: Tenants) -> NewTenant:
    return tenants.create("Ada")


def pack(pair: object) -> str:
    return base64.b64encode(json.dumps(pair).encode()).decode()


def test_a_token_with_an_id_decodes_to_both(ada: NewTenant):
    text = with_user(ada.id, ada.token)

    pair = json.loads(base64.b64decode(text, validate=True))
    assert pair == {"UserID": ada.id, "Password": ada.token}
    assert ada.token.startswith("sched_")


@pytest.mark.parametrize("tenant_id", ["1", "12", "123", "99999999"])
def test_a_token_with_an_id_needs_no_escapes_in_a_url(ada: NewTenant, tenant_id: str):
    assert with_user(tenant_id, ada.token).rstrip("=").isalnum()


def test_both_forms_of_a_token_identify_its_tenant(tenants: Tenants, ada: NewTenant):
    text = with_user(ada.id, ada.token)

    for form in (ada.token, text, text.rstrip("=")):
        assert tenants.tokens.find(form) == Access(ada.id, FIRST, read_only=False)


@pytest.mark.parametrize("user", ["2", "", None, 2, "no tenant"])
def test_the_id_beside_a_token_decides_nothing(
    tenants: Tenants, ada: NewTenant, user: object
):
    bob = tenants.create("Bob")

    assert (bob.id, tenants.tokens.find(pack({"UserID": bob.id}))) == ("2", None)
    ours = pack({"UserID": user, "Password": ada.token})
    assert tenants.tokens.find(ours) == Access(ada.id, FIRST, read_only=False)
    wrong = pack({"UserID": ada.id, "Password": "sched_wrong"})
    assert tenants.tokens.find(wrong) is None


@pytest.mark.parametrize(
    "text",
    [
        pack([]),
        pack("sched_"),
        pack({"Password": 7}),
        pack({"Password": ""}),
        pack({"Password": None}),
        pack({"Password": "\ud800"}),
        base64.b64encode(b"[" * 700).decode(),
        base64.b64encode(b"\xff\xfe{").decode(),
        "=",
        "====",
        "e30",
        "eyJ" * 100_000,
    ],
)
def test_what_looks_like_a_token_with_an_id_identifies_nobody(
    tenants: Tenants, ada: NewTenant, text: str
):
    assert tenants.tokens.find(text) is None


def test_a_token_within_a_token_within_a_token_identifies_nobody(
    tenants: Tenants, ada: NewTenant
):
    twice = pack({"UserID": "1", "Password": with_user(ada.id, ada.token)})

    assert tenants.tokens.find(twice) is None
