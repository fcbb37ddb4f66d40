"""Tests of rules for the source code of the Lua function library."""

import pytest
import re
from collections import Counter
from importlib.resources import files
from scheduler_api.core.store import functions
from tests.core.store.lua_globals import globals_of

LUA = files("scheduler_api.core.store").joinpath("lua")
LIB = {
    name: LUA.joinpath("lib", f"{name}.lua").read_text() for name in functions.MODULES
}
FUNCTIONS = {
    name: LUA.joinpath("functions", f"{name}.lua").read_text()
    for name in functions.names()
}
FILES = {**LIB, **FUNCTIONS}
# Global names that Redis and Valkey provide to a function while it runs.
PROVIDED = {
    *("redis", "cjson", "string", "table", "math"),
    *("error", "ipairs", "next", "pairs", "pcall", "select", "tonumber", "tostring"),
    *("type", "unpack"),
}
MAX_USED_MODULES = 9


def code_of(source: str) -> str:
    """Return Lua source code without the comments."""
    return re.sub(r"--.*", "", source)


def record_fields() -> dict[str, set[str]]:
    """Return the field names of each kind of record, from the Lua module `records`."""
    text = LIB["records"]
    return {
        kind: set(re.findall(r"'(\w+)', '\w+'", fields))
        for kind, fields in re.findall(
            r"records\.([A-Z]+)(?:, records\.\w+)? = codes\(\{(.*?)\}\)", text, re.S
        )
    }


def test_every_module_file_is_loaded() -> None:
    folder = LUA.joinpath("lib").iterdir()

    assert sorted(file.name for file in folder) == sorted(f"{name}.lua" for name in LIB)


def test_only_globals_that_servers_provide_are_used() -> None:
    source = functions.Library("{s1}:", 0).source.partition("\n")[2]

    read, written = globals_of(source)

    assert (read - PROVIDED, written) == (set(), set())


@pytest.mark.parametrize("name", FILES)
def test_a_file_declares_each_local_once(name: str) -> None:
    declared = [
        each.strip()
        for names in re.findall(
            r"^local (?:function )?([\w, ]+)", code_of(FILES[name]), re.MULTILINE
        )
        for each in names.split(",")
    ]

    assert [each for each, count in Counter(declared).items() if count > 1] == []
    assert set(declared) & {*functions.MODULES, "VERSION"} == set()


@pytest.mark.parametrize("name", FILES)
def test_a_module_defines_only_its_own_table(name: str) -> None:
    code = code_of(FILES[name])
    defined = re.findall(r"^function (\w+)\.", code, re.MULTILINE)
    assigned = re.findall(r"(?:^|, )(\w+)\.\w+(?=[^=~<>\n]* = )", code, re.MULTILINE)

    filled = {table for table in [*defined, *assigned] if table in functions.MODULES}

    assert filled == ({name} if name in LIB else set())


@pytest.mark.parametrize("name", LIB)
def test_a_module_uses_at_most_nine_others(name: str) -> None:
    used = set(re.findall(r"(?<![.\w])(\w+)\.\w", code_of(LIB[name])))

    others = (used & set(functions.MODULES)) - {name}

    assert len(others) <= MAX_USED_MODULES, others


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_file_registers_the_function_of_its_name(
    name: str,
) -> None:
    registered = re.findall(r"function_name = '(\w+)_' \.\. VERSION", FUNCTIONS[name])

    assert registered == [name]


@pytest.mark.parametrize("name", FILES)
def test_every_record_field_in_use_exists(name: str) -> None:
    code, known = code_of(FILES[name]), record_fields()
    constants = re.findall(r"\b(EVENT|SCHEDULE|GATE)\.(\w+)", code)
    for kind, listed in re.findall(
        r"records\.fields\((?:records\.)?(EVENT|SCHEDULE|GATE),([^)]*)\)", code
    ):
        constants += [(kind, field) for field in re.findall(r"'(\w+)'", listed)]

    assert [(kind, f) for kind, f in constants if f not in known[kind]] == []


@pytest.mark.parametrize("name", FILES)
def test_only_records_lua_contains_field_codes(name: str) -> None:
    calls = re.findall(
        r"'(?:HSET|HSETNX|HDEL|HGET|HMGET|HEXISTS|HINCRBY)',[^)\n]*",
        code_of(FILES[name]),
    )
    codes = set(re.findall(r"'\w+', '(\w+)'", LIB["records"]))
    # `breaker_health` uses these as names of counters, not as field codes.
    codes -= {"a", "f", "s"} if name == "breaker_health" else set()

    literals = {each for call in calls for each in re.findall(r", '(\w+)'", call)}

    assert literals & codes == set()


@pytest.mark.parametrize("name", FILES)
def test_a_file_uses_only_redis_functions_that_all_servers_have(name: str) -> None:
    used = set(re.findall(r"\bredis\.(\w+)", code_of(FILES[name])))

    assert used <= {"call", "register_function"}


@pytest.mark.parametrize("name", FILES)
def test_every_function_is_used(name: str) -> None:
    own, everywhere = code_of(FILES[name]), code_of("\n".join(FILES.values()))
    local = re.findall(r"local function (\w+)", own)
    shared = re.findall(r"^function (\w+\.\w+)", own, re.MULTILINE)

    unused = [each for each in local if len(re.findall(rf"\b{each}\b", own)) < 2]
    unused += [
        each
        for each in shared
        if len(re.findall(rf"\b{re.escape(each)}\b", everywhere)) < 2
    ]

    assert unused == []
