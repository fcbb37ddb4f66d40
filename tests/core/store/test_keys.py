"""Key names: the scripts build the same ones, and fsck knows every one of them."""

import inspect
import pytest
import redis
from collections.abc import Callable
from importlib.resources import files
from scheduler_api.core.fsck import walk
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from tests.core.engine import PREFIX

# How the prelude and the parts spell what `keys` names.
IN_LUA: dict[str, Callable[[str], str]] = {
    "DUE": keys.due,
    "LEASED": keys.leased,
    "PARKED": keys.parked,
    "STUCK": keys.stuck,
    "WHY": keys.why,
    "SOLO": keys.solo,
    "NEXT": keys.next_time,
    "LINES": keys.lines,
    "SHUT": keys.shut,
    "STALLED": keys.stalled,
    "P .. 'beat'": keys.beat,
    "P .. 'quiet'": keys.quiet,
    "P .. 'epoch'": keys.epoch,
    "P .. 'full'": keys.full,
    "P .. 'owners'": keys.owners,
    "P .. 'superseded'": keys.superseded,
    "P .. 'wake'": keys.wake,
    "event_key('7')": lambda prefix: keys.event(prefix, "7"),
    "log_key('7')": lambda prefix: keys.log(prefix, "7"),
    "schedule_key('7')": lambda prefix: keys.schedule(prefix, "7"),
    "template_key('7', 'r')": lambda prefix: keys.template(prefix, "7", "r"),
    "occurrences_key('7')": lambda prefix: keys.occurrences(prefix, "7"),
    "by_time_key('1:jiter', 'dead')": lambda p: keys.by_time(p, "1:jiter", "dead"),
    "by_time_key('1:jiter', 'schedules')": lambda p: keys.schedules(p, "1:jiter"),
    "finished_key('1:jiter', 'dead')": lambda p: keys.finished(p, "1:jiter", "dead"),
    "term_key('1:jiter', 't')": lambda prefix: keys.term(prefix, "1:jiter", "t"),
    "skipped_key('7')": lambda prefix: keys.skipped(prefix, "7"),
    "names_key('1:jiter')": lambda prefix: keys.names(prefix, "1:jiter"),
    "groups_key('1:jiter')": lambda prefix: keys.groups(prefix, "1:jiter"),
    "journal_key('1:jiter')": lambda prefix: keys.journal(prefix, "1:jiter"),
    "mark_key('1:jiter', 'd')": lambda prefix: keys.mark(prefix, "1:jiter", "d"),
    "P .. 'seq'": keys.sequence,
    "given_key('n')": lambda prefix: keys.given(prefix, "n"),
    "told_key('w')": lambda prefix: keys.told(prefix, "w"),
    "gate_key('q:1:qstash:n')": lambda p: keys.queue(p, "q:1:qstash:n"),
    "order_key('q:1:qstash:n')": lambda p: keys.order(p, "q:1:qstash:n"),
    "gate_key('f:1:qstash:k')": lambda p: keys.gate(p, "f:1:qstash:k"),
    "waiters_key('f:1:qstash:k')": lambda p: keys.waiters(p, "f:1:qstash:k"),
    "holders_key('f:1:qstash:k')": lambda p: keys.holders(p, "f:1:qstash:k"),
    "begins_key('f:1:qstash:k')": lambda p: keys.begins(p, "f:1:qstash:k"),
    "pending_key('f:1:qstash:k')": lambda p: keys.pending(p, "f:1:qstash:k"),
    "reserved_key('f:1:qstash:k')": lambda p: keys.reserved(p, "f:1:qstash:k"),
    "health_key('d:1:7')": lambda p: keys.health(p, "d:1:7"),
    "queues_key('1:qstash')": lambda prefix: keys.queues(prefix, "1:qstash"),
    "flows_key('1:qstash')": lambda prefix: keys.flows(prefix, "1:qstash"),
    "body_key('7')": lambda prefix: keys.body(prefix, "7"),
    "body_key('7', '')": lambda prefix: keys.body(prefix, "7", ""),
    "body_key('7', 'r')": lambda prefix: keys.body(prefix, "7", "r"),
}
EXPIRING = {
    *("full", "alive", "mark", "requests", "month", "skipped", "given", "told"),
    "health",
}
NO_KEYS = {"wake"}
FOLDER = files("scheduler_api.core.store").joinpath("lua")
LUA = [file for file in FOLDER.iterdir() if file.name.endswith(".lua")]


def functions() -> dict[str, Callable[..., str]]:
    return {
        name: function
        for name, function in inspect.getmembers(keys, inspect.isfunction)
        if function.__module__ == keys.__name__
    }


def name_of(function: Callable[..., str]) -> str:
    count = len(inspect.signature(function).parameters) - 1
    return function(PREFIX, *["7"] * count)


@pytest.mark.parametrize("spelt", IN_LUA)
def test_scripts_build_the_same_name(store_client: redis.Redis, spelt: str):
    source = FOLDER.joinpath("prelude.lua").read_text()

    built = store_client.eval(f"{source} return {spelt}", 1, PREFIX, "")

    assert built == IN_LUA[spelt](PREFIX).encode()


@pytest.mark.parametrize("file", LUA, ids=lambda file: file.name)
def test_scripts_write_out_no_name_that_is_not_compared(file):
    written = {
        line.partition("P .. '")[2].partition("'")[0]
        for line in file.read_text().splitlines()
        if "P .. '" in line and file.name != "prelude.lua"
    }

    assert written <= {spelt[6:-1] for spelt in IN_LUA if spelt.startswith("P .. '")}


@pytest.mark.parametrize("name", functions())
def test_every_name_begins_with_the_cell_and_belongs_to_one_function(name: str):
    others = {name_of(each) for other, each in functions().items() if other != name}

    assert name_of(functions()[name]).startswith(PREFIX)
    assert name_of(functions()[name]) not in others


@pytest.mark.parametrize("name", functions())
def test_every_docstring_begins_with_the_type(name: str):
    text = functions()[name].__doc__ or ""

    assert text.startswith(
        ("String, ", "Stream, ", "Hash", "Set;", "List;", "Sorted set;", "Channel ")
    )


@pytest.mark.parametrize("name", functions())
def test_fsck_knows_which_names_stay(store_client: redis.Redis, name: str):
    key = name_of(functions()[name])
    store_client.set(key, "x")

    faults = [str(fault) for fault in walk.check(Cell(store_client, PREFIX))]

    unknown = f"{key.removeprefix(PREFIX)}: is unknown and never expires"
    assert (unknown in faults) == (name in EXPIRING | NO_KEYS)
