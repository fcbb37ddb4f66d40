"""Tests of batching: several callers share one call, and each gets its own answer.

Each test runs a script in a new process. gevent patches this process in the same way as
a process of the web application.
"""

import subprocess
import sys

GREENLETS = """
from gevent import monkey; monkey.patch_all()
import gevent, sys
from scheduler_api.core.store.batching import CallBatcher

calls = []

def all_at_once(submit, *calls):
    greenlets = [gevent.spawn(submit, *args) for args in calls]
    gevent.joinall(greenlets, timeout=20)
    return [each.value if each.successful() else each.exception for each in greenlets]

def call(key, items):
    calls.append((key, list(items)))
    gevent.sleep(0.01)
    return [-item for item in items]
"""


def printed(script: str, *args: str) -> str:
    """Run a script in a process that gevent patches; return the output."""
    command = [sys.executable, "-c", GREENLETS + script, *args]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return result.stdout


def test_events_created_at_once_need_one_round_trip(valkey: str) -> None:
    script = """
import redis
from scheduler_api.core.model import Content, Draft, Owner
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.reads import read_events
from tests.core.round_trips import CountingConnection, RoundTrips

trips, owner = RoundTrips(), Owner("1", "jiter")
pool = redis.ConnectionPool.from_url(
    sys.argv[1], connection_class=CountingConnection, trips=trips
)
cell = Cell(redis.Redis.from_pool(pool), "{batched}:")
store = EventStore(cell, batches=True)

def create(number):
    content = Content(f"https://receiver.example/{number}", b"x")
    draft = Draft(content, 1_000, at_ms=2**42 + number, must_be_future=True)
    return store.create(owner, draft)

create(0)
trips.count = 0
made = all_at_once(create, *([number] for number in range(30)))
print(trips.count)
print(read_events(cell, owner, [each.id for each in made]) == made)
print([each.wanted_ms for each in made] == [2**42 + n for n in range(30)])
"""
    assert printed(script, valkey) == "1\nTrue\nTrue\n"


def test_callers_of_one_key_share_a_call_up_to_the_maximum() -> None:
    script = """
submit = CallBatcher(call, max_items=3).submit
print(all_at_once(submit, ("a", 1), ("b", 2), ("a", 3), ("a", 4), ("a", 5)))
print(sorted(calls))
"""
    assert printed(script).splitlines() == [
        "[-1, -2, -3, -4, -5]",
        "[('a', [1, 3, 4]), ('a', [5]), ('b', [2])]",
    ]


def test_callers_join_a_batch_while_the_previous_call_runs() -> None:
    script = """
from gevent.event import Event
started, end = Event(), Event()
def slow(key, items):
    started.set()
    end.wait(20)
    return call(key, items)
submit = CallBatcher(slow, max_items=9, max_wait_s=20).submit
first = gevent.spawn(submit, "a", 1)
started.wait(20)
second, _ = gevent.spawn(submit, "a", 2), gevent.sleep(0.01)
third, _ = gevent.spawn(submit, "a", 3), gevent.sleep(0.01)
end.set()
print([each.get(timeout=20) for each in (first, second, third)], calls)
"""
    assert printed(script) == "[-1, -2, -3] [('a', [1]), ('a', [2, 3])]\n"


def test_a_slow_call_does_not_delay_the_next() -> None:
    script = """
from gevent.event import Event
started, other = Event(), Event()
def first_hangs(key, items):
    started.set()
    (other.wait if items == [1] else other.set)()
    return call(key, items)
submit = CallBatcher(first_hangs, max_items=9).submit
first = gevent.spawn(submit, "a", 1)
started.wait(20)
second = gevent.spawn(submit, "a", 2)
print([each.get(timeout=20) for each in (second, first)], calls)
"""
    assert printed(script) == "[-2, -1] [('a', [2]), ('a', [1])]\n"


def test_an_error_is_raised_in_all_callers_of_the_batch_only() -> None:
    script = """
def fail(key, items):
    if len(items) > 1:
        raise OSError(len(items))
    return call(key, items)
submit = CallBatcher(fail, max_items=9).submit
print(all_at_once(submit, ("a", 1), ("a", 2), ("b", 3)))
print(all_at_once(submit, ("a", 4)))
"""
    assert printed(script).splitlines() == ["[OSError(2), OSError(2), -3]", "[-4]"]


def test_a_killed_first_caller_does_not_block_the_others() -> None:
    script = """
slow_start = lambda: gevent.sleep(0.05)
submit = CallBatcher(call, max_items=9, yield_to_others=slow_start).submit
first, second = gevent.spawn(submit, "a", 1), gevent.spawn(submit, "a", 2)
gevent.sleep(0)
first.kill()
gevent.joinall([first, second], timeout=20)
print(first.ready(), second.ready(), calls)
print(all_at_once(submit, ("a", 3)))
"""
    assert printed(script).splitlines() == ["True True []", "[-3]"]
