"""Tests that every key of a tenant is found by its name."""

import inspect
import pytest
from collections.abc import Callable
from scheduler_api.core.store import keys
from scheduler_api.core.store.owned_keys import belongs_to, is_gate_of

PREFIX = "{s1}:"
OF_TENANTS = {"owner": "7:jiter", "gate": "d:7:abc", "holder": "7", "tenant_id": "7"}
OWNED = {
    name: function
    for name, function in inspect.getmembers(keys, inspect.isfunction)
    if OF_TENANTS.keys() & inspect.signature(function).parameters.keys()
    # The record of a tenant is deleted last, and the mark of its removal expires.
    and function not in (keys.tenant, keys.removed)
}


def name_of(function: Callable[..., str], tenant: str) -> str:
    """The name of a key of a tenant, without the prefix of the cell."""
    values = []
    for parameter in [*inspect.signature(function).parameters][1:]:
        value = OF_TENANTS.get(parameter, "x").replace("7", tenant)
        is_queue = function in (keys.queue, keys.order)
        values.append(f"q:{tenant}:qstash:n" if is_queue else value)
    return function(PREFIX, *values).removeprefix(PREFIX)


@pytest.mark.parametrize("name", OWNED)
def test_the_keys_of_a_tenant_belong_to_it_and_to_no_other(name: str):
    own, other = name_of(OWNED[name], "7"), name_of(OWNED[name], "77")

    assert belongs_to("7", own)
    assert not belongs_to("7", other)


def test_shared_keys_belong_to_no_tenant():
    names = ("due", "leased", "owners", "tenants", "tn:7", "seq", "e:7", "s:7", "t:7:r")
    assert not [name for name in names if belongs_to("7", name)]


@pytest.mark.parametrize(
    ("gate", "owned"),
    [
        ("d:7:abc", True),
        ("d:7:abc.def", True),
        ("f:7:qstash:key", True),
        ("q:7:qstash:name", True),
        ("t:7", True),
        ("h:7", False),
        ("a", False),
        ("d:77:abc", False),
    ],
)
def test_gates_of_one_tenant_are_told_from_shared_ones(gate: str, owned: bool):
    assert is_gate_of("7", gate) is owned
