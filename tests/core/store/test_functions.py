"""Tests of loading and deleting the library of Lua functions, also on a full server."""

import asyncio
import pytest
import redis
import redis.asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from redis.exceptions import OutOfMemoryError, ReadOnlyError
from scheduler_api.core.store import functions
from scheduler_api.core.store.functions import Library
from tests.core.engine import PREFIX
from typing import Any

ONE_BYTE = 1
WITHOUT_ALLOW_OOM = {"create_events", "reserve_ids"}
READS = {"inspect_records", "recall_events"}


@pytest.fixture
def client(store_client: redis.Redis) -> redis.Redis:
    """A client of a server, fakeredis or Valkey, without function libraries."""
    store_client.function_flush()
    return store_client


@pytest.fixture
def server(bare_valkey: redis.Redis) -> redis.Redis:
    return bare_valkey


def inspect(client: redis.Redis, library: Library) -> Any:
    """Call a Lua function that tries to read a missing record."""
    return library.call(client, "inspect_records", {}, ["7"])


def loaded(client: redis.Redis) -> list[str]:
    """Return the names of all function libraries on the server."""
    found: list[Any] = client.function_list()
    return sorted(
        dict(zip(each[::2], each[1::2], strict=True))[b"library_name"].decode()
        for each in found
    )


@contextmanager
def full(client: redis.Redis) -> Iterator[None]:
    """Set a memory limit that the server exceeds, until the context ends."""
    client.config_set("maxmemory", ONE_BYTE)
    try:
        yield
    finally:
        client.config_set("maxmemory", 0)


def test_a_call_loads_a_missing_library(client: redis.Redis) -> None:
    library = Library(PREFIX, 0)

    assert inspect(client, library) == [[[], []]]
    assert loaded(client) == [library.name]


def test_a_call_loads_a_lost_library_again(client: redis.Redis) -> None:
    library = Library(PREFIX, 0)
    inspect(client, library)
    client.function_flush()

    assert inspect(client, library) == [[[], []]]


def test_an_asynchronous_call_loads_a_missing_library(
    connect: Callable[[], redis.asyncio.Redis], client: redis.Redis
) -> None:
    library = Library(PREFIX, 0)

    async def call() -> Any:
        worker = connect()
        try:
            return await library.call_async(worker, "inspect_records", {}, ["7"])
        finally:
            await worker.aclose()

    assert asyncio.run(call()) == [[[], []]]
    assert loaded(client) == [library.name]


def test_the_library_survives_flushall(client: redis.Redis) -> None:
    library = Library(PREFIX, 0)
    inspect(client, library)

    client.flushall()

    assert loaded(client) == [library.name]


def test_ten_processes_can_load_the_library_at_once(
    valkey: str, server: redis.Redis
) -> None:
    clients = [redis.Redis.from_url(valkey) for _ in range(10)]

    with ThreadPoolExecutor(len(clients)) as pool:
        answers = [*pool.map(lambda each: inspect(each, Library(PREFIX, 0)), clients)]

    for each in clients:
        each.close()
    assert answers == [[[[], []]]] * len(clients)
    assert loaded(server) == [Library(PREFIX, 0).name]


@pytest.mark.parametrize(
    ("prefix", "database"), [("{s2}:", 0), (PREFIX, 1)], ids=["prefix", "database"]
)
def test_each_cell_has_its_own_library(
    client: redis.Redis, prefix: str, database: int
) -> None:
    one, other = Library(PREFIX, 0), Library(prefix, database)
    inspect(client, one)
    inspect(client, other)

    assert functions.delete(client, one, others_only=True) == []
    assert loaded(client) == sorted([one.name, other.name])


def test_delete_removes_libraries_of_other_versions(
    client: redis.Redis,
) -> None:
    library = Library(PREFIX, 0)
    inspect(client, library)
    older = f"scheduler_{library.cell}_older"
    source = library.source.replace(library.version, f"{library.cell}_older")
    client.function_load(source)

    assert functions.delete(client, library, others_only=True) == [older]
    assert loaded(client) == [library.name]


def test_delete_ignores_a_library_that_is_already_gone(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Library(PREFIX, 0)
    inspect(client, library)
    listed = client.function_list()
    client.function_flush()
    monkeypatch.setattr(client, "function_list", lambda _: listed)

    assert functions.delete(client, library, others_only=False) == [library.name]


def test_delete_works_with_resp3(valkey: str, server: redis.Redis) -> None:
    library = Library(PREFIX, 0)
    inspect(server, library)

    with redis.Redis.from_url(valkey, protocol=3) as client:
        deleted = functions.delete(client, library, others_only=False)

    assert deleted == [library.name]
    assert loaded(server) == []


def test_a_library_deleted_between_load_and_call_is_loaded_again(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, load, loads = Library(PREFIX, 0), client.function_load, []

    def load_and_flush(source: str) -> Any:
        answer = load(source)
        if not loads:
            client.function_flush()
        loads.append(source)
        return answer

    monkeypatch.setattr(client, "function_load", load_and_flush)

    assert inspect(client, library) == [[[], []]]
    assert len(loads) == 2


def test_the_library_name_depends_on_the_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = Library(PREFIX, 0)
    body = functions._body()
    monkeypatch.setattr(functions, "_body", lambda: body + "-- changed\n")

    after = Library(PREFIX, 0)

    assert before.name != after.name
    assert before.cell == after.cell


def test_a_full_server_runs_loaded_functions_but_refuses_new_events(
    server: redis.Redis,
) -> None:
    library = Library(PREFIX, 0)
    inspect(server, library)

    with full(server):
        assert inspect(server, library) == [[[], []]]
        assert library.call(server, "settle", {}, []) == []
        with pytest.raises(OutOfMemoryError):
            library.call(server, "create_events", {}, [])


def test_a_refusal_of_the_library_by_a_full_server_is_logged(
    server: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    library = Library(PREFIX, 0)

    with full(server), pytest.raises(OutOfMemoryError):
        inspect(server, library)

    assert "library.refused" in caplog.text


def test_a_refused_library_is_not_sent_again_for_a_second(
    server: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, now = Library(PREFIX, 0), [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with full(server), pytest.raises(OutOfMemoryError):
        inspect(server, library)

    now[0] += functions.REFUSED_FOR_S / 2
    errors = []
    for _ in range(2):
        with pytest.raises(OutOfMemoryError) as caught:
            inspect(server, library)
        errors.append(caught.value)
    now[0] += functions.REFUSED_FOR_S / 2

    # Each caller gets a new error object. A shared error object would collect the
    # tracebacks of all callers.
    assert errors[0] is not errors[1]
    assert inspect(server, library) == [[[], []]]


def test_a_replica_without_the_library_raises_a_read_only_error(
    server: redis.Redis,
) -> None:
    server.replicaof("127.0.0.1", 1)
    try:
        with pytest.raises(ReadOnlyError):
            inspect(server, Library(PREFIX, 0))
    finally:
        server.replicaof("NO", "ONE")


def test_every_function_that_takes_no_new_work_runs_in_a_full_store(
    client: redis.Redis,
) -> None:
    library = Library(PREFIX, 0)
    inspect(client, library)
    [found] = client.function_list()
    listed = dict(zip(found[::2], found[1::2], strict=True))[b"functions"]
    flags = {
        each[1].decode().removesuffix(f"_{library.version}"): {
            flag.decode() for flag in each[5]
        }
        for each in listed
    }

    assert flags == {
        name: set()
        if name in WITHOUT_ALLOW_OOM
        else {"no-writes"}
        if name in READS
        else {"allow-oom"}
        for name in functions.names()
    }
