"""How records are stored: names and codes of their fields, in Python and in Lua."""

import pytest
from importlib.resources import files
from lupa import lua51
from scheduler_api.core.store.records import EVENT, GATE, SCHEDULE, Fields
from typing import Any

KINDS = {"EVENT": EVENT, "SCHEDULE": SCHEDULE, "GATE": GATE}


def lua_records() -> Any:
    """The module as a server fills it while it loads the library."""
    file = files("scheduler_api.core.store").joinpath("lua", "lib", "records.lua")
    lua = lua51.LuaRuntime()
    lua.execute("records = {}")
    lua.execute(file.read_text())
    return lua.globals().records


@pytest.mark.parametrize("kind", KINDS)
def test_the_functions_store_the_fields_of_a_record_under_the_same_codes(kind: str):
    assert dict(lua_records()[kind].items()) == dict(KINDS[kind].names)


@pytest.mark.parametrize("kind", ["EVENT", "SCHEDULE"])
def test_the_functions_name_every_code_of_a_whole_record(kind: str):
    names = {code: name for name, code in KINDS[kind].names.items()}

    assert dict(lua_records()[f"{kind}_NAMES"].items()) == names


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_fields_of_a_record_share_a_code(kind: str):
    codes = [*KINDS[kind].names.values()]

    assert len(set(codes)) == len(codes)


def test_fields_of_later_versions_are_left_out():
    fields = Fields(state="st", owner="o")

    assert fields.named({b"st": b"dead", b"new": b"1"}) == {"state": b"dead"}


def test_codes_come_in_the_order_of_their_names():
    fields = Fields(state="st", owner="o")

    assert fields.codes("owner", "state") == ["o", "st"]
    assert fields.code("owner") == "o"


def test_a_field_that_no_record_has_cannot_be_named():
    with pytest.raises(KeyError):
        EVENT.code("at")
    with pytest.raises(KeyError):
        EVENT.codes("due_ms", "at")
