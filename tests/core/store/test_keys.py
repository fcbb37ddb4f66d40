"""Tests of key names: Lua and Python build the same names, and fsck knows all names."""

import inspect
import pytest
import re
import redis
from collections.abc import Callable
from importlib.resources import files
from scheduler_api.core.fsck import walk
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.functions import Library
from tests.core.engine import PREFIX

# Lua expressions for key names, each with the Python function for the same name.
IN_LUA: dict[str, Callable[[str], str]] = {
    **{
        f"keys.{name}(ctx)": getattr(keys, name)
        for name in (
            *("due", "leased", "paused_schedules", "quarantine", "quarantine_reasons"),
            *("isolated", "next_check", "waiting_gates", "held_destinations"),
            *("rq_full", "last_claim_at", "lease_grace_until", "epoch", "full"),
            *("turned_away", "clock_step", "server", "repeats_before", "lost_tail"),
            *("owners", "superseded", "sequence", "wake", "routes", "processes"),
            "alerts",
            "attempt_feed",
        )
    },
    "keys.named(ctx, 'due')": keys.due,
    "keys.alive(ctx, 'ticker')": lambda prefix: keys.alive(prefix, "ticker"),
    "keys.event(ctx, '7')": lambda prefix: keys.event(prefix, "7"),
    "keys.log(ctx, '7')": lambda prefix: keys.log(prefix, "7"),
    "keys.schedule(ctx, '7')": lambda prefix: keys.schedule(prefix, "7"),
    "keys.template(ctx, '7', 'r')": lambda prefix: keys.template(prefix, "7", "r"),
    "keys.body(ctx, '7')": lambda prefix: keys.body(prefix, "7"),
    "keys.body(ctx, '7', '')": lambda prefix: keys.body(prefix, "7", ""),
    "keys.body(ctx, '7', 'r')": lambda prefix: keys.body(prefix, "7", "r"),
    "keys.shared_body(ctx, '1:jiter', 'n')": lambda p: keys.shared_body(
        p, "1:jiter", "n"
    ),
    "keys.sharers(ctx, '1:jiter', 'n')": lambda p: keys.sharers(p, "1:jiter", "n"),
    "keys.occurrences(ctx, '7')": lambda prefix: keys.occurrences(prefix, "7"),
    "keys.skipped(ctx, '7')": lambda prefix: keys.skipped(prefix, "7"),
    "keys.issued_id(ctx, 'n')": lambda prefix: keys.issued_id(prefix, "n"),
    "keys.last_report(ctx, 'w')": lambda prefix: keys.last_report(prefix, "w"),
    "keys.by_time(ctx, '1:jiter', 'dead')": lambda p: keys.by_time(
        p, "1:jiter", "dead"
    ),
    "keys.finished(ctx, '1:jiter', 'dead')": lambda p: keys.finished(
        p, "1:jiter", "dead"
    ),
    "keys.schedules(ctx, '1:jiter')": lambda p: keys.schedules(p, "1:jiter"),
    "keys.search_term(ctx, '1:jiter', 't')": lambda p: keys.search_term(
        p, "1:jiter", "t"
    ),
    "keys.names(ctx, '1:jiter')": lambda prefix: keys.names(prefix, "1:jiter"),
    "keys.groups(ctx, '1:jiter')": lambda prefix: keys.groups(prefix, "1:jiter"),
    "keys.journal(ctx, '1:jiter')": lambda prefix: keys.journal(prefix, "1:jiter"),
    "keys.queues(ctx, '1:qstash')": lambda prefix: keys.queues(prefix, "1:qstash"),
    "keys.flow_keys(ctx, '1:qstash')": lambda p: keys.flow_keys(p, "1:qstash"),
    "keys.deduplication(ctx, '1:jiter', 'd')": lambda p: keys.deduplication(
        p, "1:jiter", "d"
    ),
    "keys.removed(ctx, '7')": lambda prefix: keys.removed(prefix, "7"),
    "keys.tenant(ctx, '7')": lambda prefix: keys.tenant(prefix, "7"),
    "keys.audit(ctx, '7')": lambda prefix: keys.audit(prefix, "7"),
    "keys.totals(ctx)": keys.totals,
    "keys.counts(ctx, '7', 5)": lambda prefix: keys.counts(prefix, "7", 5),
    "keys.destination_counts(ctx, '7', 5)": lambda prefix: keys.destination_counts(
        prefix, "7", 5
    ),
    "keys.gate(ctx, 'q:1:qstash:n')": lambda p: keys.queue(p, "q:1:qstash:n"),
    "keys.gate(ctx, 'f:1:qstash:k')": lambda p: keys.gate(p, "f:1:qstash:k"),
    "keys.order(ctx, 'q:1:qstash:n')": lambda p: keys.order(p, "q:1:qstash:n"),
    "keys.waiters(ctx, 'f:1:qstash:k')": lambda p: keys.waiters(p, "f:1:qstash:k"),
    "keys.holders(ctx, 'f:1:qstash:k')": lambda p: keys.holders(p, "f:1:qstash:k"),
    "keys.reserved(ctx, 'f:1:qstash:k')": lambda p: keys.reserved(p, "f:1:qstash:k"),
    "keys.not_begun(ctx, 'f:1:qstash:k')": lambda p: keys.not_begun(p, "f:1:qstash:k"),
    "keys.begins(ctx, 'f:1:qstash:k')": lambda p: keys.begins(p, "f:1:qstash:k"),
    "keys.letter_job(ctx, '7:j')": lambda p: keys.letter_job(p, "7", "j"),
    "keys.health(ctx, 'd:1:7')": lambda prefix: keys.health(prefix, "d:1:7"),
    "keys.routes_of(ctx, 'd:1:7')": lambda prefix: keys.routes_of(prefix, "d:1:7"),
}
EXPIRING = {
    *(
        "full",
        "confirmed",
        "alive",
        "processes",
        "deduplication",
        "requests",
        "month",
        "skipped",
    ),
    *("issued_id", "last_report", "health", "routes_of", "routes", "requests_now"),
    *("erasing", "confirmed", "turned_away", "sign_in", "signed_out", "begins"),
    *("letter_job", "letter_jobs", "letter_job_lease"),
    *("counts", "destination_counts", "attempt_feed"),
}
NO_KEYS = {"wake"}
FOLDER = files("scheduler_api.core.store").joinpath("lua")
LUA = [*FOLDER.joinpath("lib").iterdir(), *FOLDER.joinpath("functions").iterdir()]


def functions() -> dict[str, Callable[..., str]]:
    return {
        name: function
        for name, function in inspect.getmembers(keys, inspect.isfunction)
        if function.__module__ == keys.__name__
    }


def name_of(function: Callable[..., str]) -> str:
    count = len(inspect.signature(function).parameters) - 1
    return function(PREFIX, *["7"] * count)


def test_lua_builds_the_same_names(store_client: redis.Redis):
    library = Library(PREFIX, 0)
    expressions = ", ".join(IN_LUA)
    store_client.function_load(
        library.source.replace(library.version, "names")
        + "redis.register_function('names', function(key_names, args)\n"
        "local ctx = context.new(key_names, {'{}'})\n"
        f"return {{{expressions}}} end)\n",
        replace=True,
    )

    built = store_client.fcall("names", 1, PREFIX)

    assert built == [build(PREFIX).encode() for build in IN_LUA.values()]


def test_every_name_in_lua_is_compared():
    text = FOLDER.joinpath("lib", "keys.lua").read_text()

    defined = set(re.findall(r"^function keys\.(\w+)", text, re.MULTILINE))

    assert defined == {lua.partition("(")[0].removeprefix("keys.") for lua in IN_LUA}


@pytest.mark.parametrize("file", LUA, ids=lambda file: file.name)
def test_only_keys_lua_builds_names(file):
    builds = "ctx.prefix" in file.read_text()

    assert builds == (file.name == "keys.lua")


@pytest.mark.parametrize("name", functions())
def test_every_name_is_unique_and_starts_with_the_cell(name: str):
    others = {name_of(each) for other, each in functions().items() if other != name}

    assert name_of(functions()[name]).startswith(PREFIX)
    assert name_of(functions()[name]) not in others


@pytest.mark.parametrize("name", functions())
def test_fsck_knows_which_keys_have_no_ttl(store_client: redis.Redis, name: str):
    key = name_of(functions()[name])
    store_client.set(key, "x")

    faults = [str(fault) for fault in walk.check(Cell(store_client, PREFIX))]

    unknown = f"{key.removeprefix(PREFIX)}: is an unknown key without a TTL"
    assert (unknown in faults) == (name in EXPIRING | NO_KEYS)
