"""What each part of the code may import, and that it does not import more."""

import ast
import pytest
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tests import field_codes

ROOT = Path(__file__).parents[1]
WEB = ("flask", "werkzeug", "marshmallow", "gunicorn")
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for folder in ("scheduler_api", "workers")
    for path in (ROOT / folder).rglob("*.py")
}
CORE, DIALECT = "scheduler_api.core", "scheduler_api.dialects"
VOCABULARY = {"model", "headers", "deduplication", "timestamps", "logfmt", "gc_tuning"}
# The floors of the engine, top down: a folder imports itself and what is below it.
FLOORS = (
    {"fsck", "recovery"},
    {"schedules", "tenants", "flow_control", "queries"},
    {"store"},
    {"delivery"},
    {"settings"} | VOCABULARY,
    {"cron", "ids", "errors"},
)
HEIGHT = {
    name: height for height, floor in enumerate(reversed(FLOORS)) for name in floor
}
REGISTRY = f"{DIALECT}.outbound"
REGISTRIES = (REGISTRY, f"{DIALECT}.inbound")
SETTINGS = "scheduler_api.settings"
RECORDS = f"{CORE}.store.records"
DIALECTS = {
    path.parent.name
    for path in (ROOT / "scheduler_api" / "dialects").glob("*/__init__.py")
}


@cache
def imported(module: str) -> frozenset[str]:
    """The modules that a module names in its imports."""
    return frozenset(_names(ast.parse(MODULES[module].read_text())))


def _names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, "imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module


def reached(module: str) -> set[str]:
    """All that is imported when a module is."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        for name in imported(waiting.pop()) - seen:
            seen.add(name)
            if name in MODULES:
                waiting.append(name)
    return seen


def under(*folders: str) -> list[str]:
    return sorted(name for name in MODULES if within(name, *folders))


def within(name: str, *folders: str) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in folders)


def crossings(modules: list[str], *beyond: str) -> list[tuple[str, str]]:
    """Imports of these modules that lead beyond a border."""
    return [
        (module, name)
        for module in modules
        for name in sorted(imported(module))
        if within(name, *beyond)
    ]


READERS = [
    name
    for name in under(CORE, "scheduler_api.web", DIALECT, "workers")
    if name != RECORDS
]


def test_the_engine_knows_nothing_of_the_rest() -> None:
    rest = [
        name for name in MODULES if not within(name, CORE, "scheduler_api.__init__")
    ]

    assert crossings(under(CORE), *rest, *WEB, "aiohttp", "requests") == []


def room(module: str) -> str:
    """The folder or file of the engine that a module is in or is."""
    return module.removeprefix(f"{CORE}.").partition(".")[0]


def test_the_engine_imports_downward_only() -> None:
    inside = [name for name in under(CORE) if not name.endswith("__init__")]
    upward = [
        (module, name)
        for module, name in crossings(inside, CORE)
        if room(module) != room(name)
        and HEIGHT[room(module)] <= HEIGHT[room(name)]
        and not {room(module), room(name)} <= VOCABULARY
    ]

    assert {room(name) for name in inside} == HEIGHT.keys()
    assert upward == []


def test_the_event_store_is_for_those_who_write_events() -> None:
    others = ("fsck", "schedules", "tenants", "flow_control", "queries")
    modules = under(*(f"{CORE}.{name}" for name in others))

    assert crossings(modules, f"{CORE}.store.events") == []
    assert crossings(under(f"{CORE}.recovery"), f"{CORE}.store.events") != []


def test_no_import_leads_back_to_where_it_began() -> None:
    assert [name for name in MODULES if name in reached(name)] == []


@pytest.mark.parametrize("own", sorted(DIALECTS))
def test_a_dialect_knows_no_other(own: str) -> None:
    others = [f"{DIALECT}.{each}" for each in DIALECTS - {own}]

    assert crossings(under(f"{DIALECT}.{own}"), *others) == []


def test_what_dialects_share_knows_none_of_them() -> None:
    folders = [f"{DIALECT}.{each}" for each in DIALECTS]
    shared = set(under(DIALECT)) - {*under(*folders), *REGISTRIES}

    assert crossings(sorted(shared), *folders) == []


def test_the_web_process_knows_no_worker() -> None:
    assert crossings(under("scheduler_api"), "workers") == []


def test_workers_name_the_engine_the_settings_and_the_registry_only() -> None:
    named = {name for _, name in crossings(under("workers"), "scheduler_api")}

    assert {name for name in named if not within(name, CORE)} == {REGISTRY, SETTINGS}


def test_settings_know_the_registry_of_dialects_only() -> None:
    parts = [f"{DIALECT}.{each}.settings" for each in sorted(DIALECTS)]

    assert [name for _, name in crossings([SETTINGS], DIALECT)] == [REGISTRY]
    assert crossings(parts, "scheduler_api") == crossings(parts, f"{CORE}.settings")


def test_of_the_dialects_only_the_registries_name_any() -> None:
    folders = [f"{DIALECT}.{each}" for each in DIALECTS]
    outside = [name for name in MODULES if not within(name, *folders, *REGISTRIES)]

    assert crossings(outside, *folders) == []
    for registry in REGISTRIES:
        named = {name.split(".")[2] for _, name in crossings([registry], *folders)}
        assert named == DIALECTS


@pytest.mark.parametrize("module", under(CORE, "workers"))
def test_the_engine_and_the_workers_spell_no_name_of_a_dialect(module: str) -> None:
    text = MODULES[module].read_text().lower()

    assert [name for name in (*DIALECTS, "upstash") if name in text] == []


def test_workers_start_nothing_of_the_web() -> None:
    started = set().union(*map(reached, under("workers")))

    assert [name for name in sorted(started) if within(name, *WEB)] == []


def test_schemas_stay_with_the_dialects() -> None:
    outside = set(MODULES) - {*under(DIALECT), *under("scheduler_api.web")}

    assert crossings(sorted(outside), "marshmallow") == []


def test_a_package_says_what_it_is_and_holds_nothing() -> None:
    packages = [name for name in MODULES if name.endswith("__init__")]
    bodies = {name: ast.parse(MODULES[name].read_text()).body for name in packages}

    assert all(ast.get_docstring(ast.Module(body, [])) for body in bodies.values())
    assert [name for name in bodies if len(bodies[name]) > 1] == ["workers.__init__"]


def test_of_the_dialects_engine_and_workers_name_the_registry_only() -> None:
    named = {name for _, name in crossings(under(CORE, "workers"), DIALECT)}

    assert named == {REGISTRY}


@pytest.mark.parametrize("module", READERS)
def test_only_the_module_of_records_names_stored_codes(module: str) -> None:
    assert field_codes.literals(MODULES[module].read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        'client.hget(keys.event(prefix, "7"), "st")',
        'client.hmget(keys.schedule(prefix, "7"), ["o", b"st"])',
        'client.hset(keys.gate(prefix, gate), mapping={"pz": 1})',
        'client.hdel(keys.queue(prefix, gate), *("pz", "p"))',
        'ask(("HMGET", keys.event(prefix, "7"), "st"))',
        'ask("HGET", keys.event(prefix, "7"), "st")',
        'def read():\n    key = keys.event(prefix, "7")\n    client.hget(key, "st")',
        'for name in ("o", "st"):\n    client.hget(keys.event(prefix, "7"), name)',
        'STATE: str = "st"\nclient.hget(keys.event(prefix, "7"), STATE)',
        'STATE = "st"\nclient.hget(keys.event(prefix, "7"), STATE)',
        'BOTH = (b"o", b"st")\nclient.hmget(keys.event(prefix, "7"), BOTH)',
        """def place(member):
    return keys.event(prefix, member)
ask(("HMGET", self.place("7"), "st"))""",
    ],
)
def test_a_code_is_seen_however_it_is_handed_over(source: str) -> None:
    assert field_codes.literals(source) != []


@pytest.mark.parametrize(
    "source",
    [
        'client.hget(keys.event(prefix, "7"), EVENT.code("state"))',
        'BOTH = EVENT.codes("owner", "state")\n'
        'client.hmget(keys.event(prefix, "7"), BOTH)',
        'client.hget(keys.names(prefix, "1:jiter"), "nightly")',
    ],
)
def test_a_field_that_is_named_in_full_is_no_code(source: str) -> None:
    assert field_codes.literals(source) == []
