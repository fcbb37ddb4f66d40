"""Tests of the names and codes of record fields, in Python and in Lua."""

import pytest
from importlib.resources import files
from lupa import lua51
from scheduler_api.core.store.records import EVENT, GATE, SCHEDULE, Fields
from typing import Any

KINDS = {"EVENT": EVENT, "SCHEDULE": SCHEDULE, "GATE": GATE}


def lua_records() -> Any:
    """Return the Lua module `records`."""
    file = files("scheduler_api.core.store").joinpath("lua", "lib", "records.lua")
    lua = lua51.LuaRuntime()
    lua.execute("records = {}")
    lua.execute(file.read_text())
    return lua.globals().records


@pytest.mark.parametrize("kind", KINDS)
def test_lua_uses_the_same_codes(kind: str):
    assert dict(lua_records()[kind].items()) == dict(KINDS[kind].names)


@pytest.mark.parametrize("kind", ["EVENT", "SCHEDULE"])
def test_lua_has_a_name_for_every_code(kind: str):
    names = {code: name for name, code in KINDS[kind].names.items()}

    assert dict(lua_records()[f"{kind}_NAMES"].items()) == names


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_fields_of_a_record_share_a_code(kind: str):
    codes = [*KINDS[kind].names.values()]

    assert len(set(codes)) == len(codes)


def test_unknown_fields_are_left_out():
    fields = Fields(state="st", owner="o")

    assert fields.named({b"st": b"dead", b"new": b"1"}) == {"state": b"dead"}


def test_codes_are_in_the_order_of_the_names():
    fields = Fields(state="st", owner="o")

    assert fields.codes("owner", "state") == ["o", "st"]
    assert fields.code("owner") == "o"


def test_an_unknown_field_is_an_error():
    with pytest.raises(KeyError):
        EVENT.code("at")
    with pytest.raises(KeyError):
        EVENT.codes("due_ms", "at")
