"""What comes at the same moment is one call; each still gets its own answer.

Each test runs in a process as a web process is: greenlets, and gevent's own threads.
"""

import subprocess
import sys

GREENLETS = """
from gevent import monkey; monkey.patch_all()
import gevent, sys
from scheduler_api.core.store.batching import CallBatcher

calls = []

def all_at_once(ask, *asked):
    began = [gevent.spawn(ask, *each) for each in asked]
    gevent.joinall(began, timeout=20)
    return [each.value if each.successful() else each.exception for each in began]

def call(key, items):
    calls.append((key, list(items)))
    gevent.sleep(0.01)
    return [-item for item in items]
"""


def printed(script: str, *words: str) -> str:
    """What a script prints in such a process."""
    command = [sys.executable, "-c", GREENLETS + script, *words]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return told.stdout


def test_events_created_at_once_are_one_round_trip(valkey: str) -> None:
    script = """
import redis
from scheduler_api.core.model import Content, Draft, Owner
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.reads import read_events
from tests.core.round_trips import CountingConnection, RoundTrips

trips, one = RoundTrips(), Owner("1", "jiter")
pool = redis.ConnectionPool.from_url(
    sys.argv[1], connection_class=CountingConnection, trips=trips
)
cell = Cell(redis.Redis.from_pool(pool), "{gathered}:")
store = EventStore(cell, batches=True)

def create(number):
    content = Content(f"https://receiver.example/{number}", b"x")
    draft = Draft(content, 1_000, at_ms=2**42 + number, must_be_future=True)
    return store.create(one, draft)

create(0)
trips.count = 0
made = all_at_once(create, *([number] for number in range(30)))
print(trips.count)
print(read_events(cell, one, [each.id for each in made]) == made)
print([each.wanted_ms for each in made] == [2**42 + n for n in range(30)])
"""
    assert printed(script, valkey) == "1\nTrue\nTrue\n"


def test_those_who_are_ready_share_a_call_up_to_the_most() -> None:
    script = """
ask = CallBatcher(call, max_items=3).submit
print(all_at_once(ask, ("a", 1), ("b", 2), ("a", 3), ("a", 4), ("a", 5)))
print(sorted(calls))
"""
    assert printed(script).splitlines() == [
        "[-1, -2, -3, -4, -5]",
        "[('a', [1, 3, 4]), ('a', [5]), ('b', [2])]",
    ]


def test_while_a_call_is_under_way_the_next_one_gathers() -> None:
    script = """
from gevent.event import Event
under_way, end = Event(), Event()
def slow(key, items):
    under_way.set()
    end.wait(20)
    return call(key, items)
ask = CallBatcher(slow, max_items=9, max_wait_s=20).submit
first = gevent.spawn(ask, "a", 1)
under_way.wait(20)
second, _ = gevent.spawn(ask, "a", 2), gevent.sleep(0.01)
third, _ = gevent.spawn(ask, "a", 3), gevent.sleep(0.01)
end.set()
print([each.get(timeout=20) for each in (first, second, third)], calls)
"""
    assert printed(script) == "[-1, -2, -3] [('a', [1]), ('a', [2, 3])]\n"


def test_a_call_that_takes_long_holds_nobody_up() -> None:
    script = """
from gevent.event import Event
under_way, other = Event(), Event()
def first_hangs(key, items):
    under_way.set()
    (other.wait if items == [1] else other.set)()
    return call(key, items)
ask = CallBatcher(first_hangs, max_items=9).submit
first = gevent.spawn(ask, "a", 1)
under_way.wait(20)
second = gevent.spawn(ask, "a", 2)
print([each.get(timeout=20) for each in (second, first)], calls)
"""
    assert printed(script) == "[-2, -1] [('a', [2]), ('a', [1])]\n"


def test_an_error_is_told_to_all_whom_the_call_was_for_and_ends_with_it() -> None:
    script = """
def fail(key, items):
    if len(items) > 1:
        raise OSError(len(items))
    return call(key, items)
ask = CallBatcher(fail, max_items=9).submit
print(all_at_once(ask, ("a", 1), ("a", 2), ("b", 3)))
print(all_at_once(ask, ("a", 4)))
"""
    assert printed(script).splitlines() == ["[OSError(2), OSError(2), -3]", "[-4]"]


def test_one_who_is_stopped_before_the_call_leaves_nobody_waiting() -> None:
    script = """
ask = CallBatcher(call, max_items=9, yield_to_others=lambda: gevent.sleep(0.05)).submit
first, second = gevent.spawn(ask, "a", 1), gevent.spawn(ask, "a", 2)
gevent.sleep(0)
first.kill()
gevent.joinall([first, second], timeout=20)
print(first.ready(), second.ready(), calls)
print(all_at_once(ask, ("a", 3)))
"""
    assert printed(script).splitlines() == ["True True []", "[-3]"]
