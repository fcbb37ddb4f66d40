"""The form of the store's function library: what keeps its modules apart."""

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
# What servers offer to a function, and only while it runs.
OFFERED = {
    *("redis", "cjson", "string", "table", "math"),
    *("error", "ipairs", "next", "pairs", "pcall", "select", "tonumber", "tostring"),
    *("type", "unpack"),
}
MOST_OTHERS = 9


def code_of(source: str) -> str:
    """The source without comments."""
    return re.sub(r"--.*", "", source)


def known_fields() -> dict[str, set[str]]:
    """The names of the fields of each kind of record, as `records` has them."""
    text = LIB["records"]
    return {
        kind: set(re.findall(r"'(\w+)', '\w+'", listed))
        for kind, listed in re.findall(
            r"records\.([A-Z]+)(?:, records\.\w+)? = codes\(\{(.*?)\}\)", text, re.S
        )
    }


def test_every_file_of_a_module_is_loaded() -> None:
    folder = LUA.joinpath("lib").iterdir()

    assert sorted(file.name for file in folder) == sorted(f"{name}.lua" for name in LIB)


def test_no_global_is_named_that_servers_do_not_offer() -> None:
    source = functions.Library("{s1}:", 0).source.partition("\n")[2]

    read, written = globals_of(source)

    assert (read - OFFERED, written) == (set(), set())


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
def test_a_module_fills_its_own_table_and_no_other(name: str) -> None:
    code = code_of(FILES[name])
    defined = re.findall(r"^function (\w+)\.", code, re.MULTILINE)
    assigned = re.findall(r"(?:^|, )(\w+)\.\w+(?=[^=~<>\n]* = )", code, re.MULTILINE)

    filled = {table for table in [*defined, *assigned] if table in functions.MODULES}

    assert filled == ({name} if name in LIB else set())


@pytest.mark.parametrize("name", LIB)
def test_a_module_uses_few_others(name: str) -> None:
    used = set(re.findall(r"(?<![.\w])(\w+)\.\w", code_of(LIB[name])))

    others = (used & set(functions.MODULES)) - {name}

    assert len(others) <= MOST_OTHERS, others


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_file_of_a_function_registers_the_one_that_it_is_named_after(
    name: str,
) -> None:
    registered = re.findall(r"function_name = '(\w+)_' \.\. VERSION", FUNCTIONS[name])

    assert registered == [name]


@pytest.mark.parametrize("name", FILES)
def test_every_field_that_is_named_exists(name: str) -> None:
    code, known = code_of(FILES[name]), known_fields()
    constants = re.findall(r"\b(EVENT|SCHEDULE|GATE)\.(\w+)", code)
    for kind, listed in re.findall(
        r"records\.fields\((?:records\.)?(EVENT|SCHEDULE|GATE),([^)]*)\)", code
    ):
        constants += [(kind, field) for field in re.findall(r"'(\w+)'", listed)]

    assert [(kind, f) for kind, f in constants if f not in known[kind]] == []


@pytest.mark.parametrize("name", FILES)
def test_only_the_module_of_records_names_stored_codes(name: str) -> None:
    calls = re.findall(
        r"'(?:HSET|HSETNX|HDEL|HGET|HMGET|HEXISTS|HINCRBY)',[^)\n]*",
        code_of(FILES[name]),
    )
    codes = set(re.findall(r"'\w+', '(\w+)'", LIB["records"]))
    # The counters of a destination's health are no record.
    codes -= {"a", "f"} if name == "breaker_health" else set()

    literals = {each for call in calls for each in re.findall(r", '(\w+)'", call)}

    assert literals & codes == set()


@pytest.mark.parametrize("name", FILES)
def test_a_file_uses_nothing_that_some_server_lacks(name: str) -> None:
    used = set(re.findall(r"\bredis\.(\w+)", code_of(FILES[name])))

    assert used <= {"call", "register_function"}


@pytest.mark.parametrize("name", FILES)
def test_a_file_has_no_function_that_nothing_names(name: str) -> None:
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
