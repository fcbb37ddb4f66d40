"""Tests of RedisConnection on a real server."""

import asyncio
import pytest
import redis
import uvloop
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from redis.exceptions import AuthenticationError
from tests.core.reply_dropping_proxy import ReplyDroppingProxy
from tests.workers.http_client import hostile
from workers.redis_connection import RedisConnection

TIMEOUT_S = 5.0
ECHO = """#!lua name=echo
redis.register_function('echo', function(key_names, args)
  return {args[1], tonumber(args[2]), key_names[1]}
end)
"""
COUNT = """#!lua name=count
redis.register_function('count', function(key_names)
  return redis.call('INCR', key_names[1])
end)
"""
Work = Callable[[RedisConnection], Awaitable[None]]


def run(url: str, work: Work, *, timeout_s: float = TIMEOUT_S) -> None:
    """Call `work` with a connection, in a uvloop event loop as in a worker."""

    async def main() -> None:
        connection = RedisConnection(url, timeout_s=timeout_s)
        try:
            await work(connection)
        finally:
            connection.close()

    uvloop.run(main())


@pytest.fixture
def client(bare_valkey: redis.Redis) -> redis.Redis:
    return bare_valkey


def test_concurrent_callers_get_the_replies_to_their_own_commands(
    valkey: str, client: redis.Redis
):
    async def work(connection: RedisConnection) -> None:
        await connection.function_load(ECHO)
        calls = [connection.fcall("echo", 1, "key", b"\xff\x00", n) for n in range(500)]
        replies = await asyncio.gather(*calls)
        assert replies == [[b"\xff\x00", n, b"key"] for n in range(500)]
        assert connection.connects == 1

    run(valkey, work)


def test_get_returns_what_set_wrote_until_it_expires(valkey: str, client: redis.Redis):
    async def work(connection: RedisConnection) -> None:
        assert await connection.get("a") is None
        await connection.set("a", b"\x00" * 1_000_000, ex=60)
        assert await connection.get("a") == b"\x00" * 1_000_000

    run(valkey, work)
    assert 0 < client.ttl("a") <= 60


def test_commands_sent_without_waiting_run_in_order(valkey: str, client: redis.Redis):
    async def work(connection: RedisConnection) -> None:
        connection.send("SET", "lost", "x")
        assert await connection.get("a") is None
        connection.send("SET", "a", "1")
        connection.send("NO", "SUCH", "COMMAND")
        assert await connection.get("a") == b"1"

    run(valkey, work)
    assert not client.exists("lost")


def test_errors_are_those_of_redis_py(valkey: str, client: redis.Redis):
    async def work(connection: RedisConnection) -> None:
        with pytest.raises(redis.ResponseError, match="Function not found"):
            await connection.fcall("none", 1, "key")
        client.rpush("list", 1)
        with pytest.raises(redis.ResponseError, match="wrong kind of value"):
            await connection.get("list")
        assert await connection.get("other") is None

    run(valkey, work)


def test_a_command_whose_reply_is_lost_is_sent_again(valkey: str, client: redis.Redis):
    port = client.connection_pool.connection_kwargs["port"]
    proxy = ReplyDroppingProxy(port)

    async def work(connection: RedisConnection) -> None:
        await connection.function_load(COUNT)
        proxy.drop_replies()
        assert await connection.fcall("count", 1, "n") == 2
        assert connection.connects == 2

    try:
        run(f"redis://127.0.0.1:{proxy.port}/0", work)
    finally:
        proxy.close()


def test_r06_a_command_whose_reply_is_lost_twice_fails(
    valkey: str, client: redis.Redis
):
    port = client.connection_pool.connection_kwargs["port"]
    proxy = ReplyDroppingProxy(port)

    async def work(connection: RedisConnection) -> None:
        await connection.get("a")
        proxy.drop_replies(2)
        with pytest.raises(redis.ConnectionError):
            await connection.get("a")
        assert await connection.get("a") is None

    try:
        run(f"redis://127.0.0.1:{proxy.port}/0", work)
    finally:
        proxy.close()


def test_r06_a_connection_that_the_server_closed_is_opened_again(
    valkey: str, client: redis.Redis
):
    async def work(connection: RedisConnection) -> None:
        await connection.get("a")
        own = client.client_id()
        others = [each["id"] for each in client.client_list()]
        for other in others:
            if other != str(own):
                client.client_kill_filter(_id=other)
        assert await connection.get("a") is None
        assert connection.connects == 2

    run(valkey, work)


def test_a_refused_connection_is_a_connection_error():
    async def work(connection: RedisConnection) -> None:
        with pytest.raises(redis.ConnectionError):
            await connection.get("a")

    run("redis://127.0.0.1:1/0", work)


@asynccontextmanager
async def silent() -> AsyncIterator[int]:
    """A server that reads commands and never replies."""

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            pass
        writer.close()

    async with await asyncio.start_server(read, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


def test_r06_commands_without_a_reply_time_out():
    async def main() -> None:
        async with silent() as port:
            connection = RedisConnection(f"redis://127.0.0.1:{port}/0", timeout_s=0.05)
            calls = [connection.get("a"), connection.get("b")]
            errors = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(error) for error in errors] == [redis.TimeoutError] * 2
            connection.close()

    uvloop.run(main())


def test_after_a_cancelled_call_the_next_gets_its_own_reply(
    valkey: str, client: redis.Redis
):
    client.mset({"a": "1", "b": "2"})

    async def work(connection: RedisConnection) -> None:
        await connection.get("a")
        cancelled = asyncio.create_task(connection.get("a"))
        await asyncio.sleep(0)
        cancelled.cancel()
        assert await connection.get("b") == b"2"
        assert cancelled.cancelled()

    run(valkey, work)


def test_the_url_names_database_user_and_password(valkey: str, client: redis.Redis):
    client.execute_command("ACL", "SETUSER", "ann", "on", ">s3cr:t", "~*", "+@all")
    address = valkey.removeprefix("redis://").removesuffix("/0")

    async def write(connection: RedisConnection) -> None:
        await connection.set("a", b"1", ex=60)

    async def fail(connection: RedisConnection) -> None:
        before = len(client.client_list())
        with pytest.raises(AuthenticationError):
            await connection.get("a")
        async with asyncio.timeout(TIMEOUT_S):
            while len(client.client_list()) > before:
                await asyncio.sleep(0.01)

    try:
        run(f"redis://ann:s3cr%3At@{address}/3", write)
        run(f"redis://ann:wrong@{address}/3", fail)
    finally:
        client.execute_command("ACL", "DELUSER", "ann")
    assert client.get("a") is None
    client.select(3)
    assert client.get("a") == b"1"


async def hi(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reply `hi` to the command `GET key`."""
    with suppress(asyncio.IncompleteReadError):
        await reader.readuntil(b"key\r\n")
        writer.write(b"$2\r\nhi\r\n")
        await reader.read()
    writer.close()


def test_the_url_may_name_a_unix_socket(tmp_path: Path):
    path = str(tmp_path / "store")

    async def main() -> None:
        async with await asyncio.start_unix_server(hi, path):
            connection = RedisConnection(f"unix://{path}", timeout_s=TIMEOUT_S)
            assert await connection.get("key") == b"hi"
            connection.close()

    uvloop.run(main())


@pytest.mark.parametrize(("name", "trusted"), [("localhost", True), ("other", False)])
def test_a_tls_certificate_must_match_the_host(
    name: str, trusted: bool, tmp_path: Path
):
    authority = hostile.make_authority(tmp_path)
    server = authority.serve_as(name)

    async def main() -> None:
        async with await asyncio.start_server(hi, "127.0.0.1", 0, ssl=server) as ours:
            port = ours.sockets[0].getsockname()[1]
            url = f"rediss://localhost:{port}/0?ssl_ca_certs={authority.path}"
            connection = RedisConnection(url, timeout_s=TIMEOUT_S)
            if trusted:
                assert await connection.get("key") == b"hi"
            else:
                with pytest.raises(redis.ConnectionError, match="SCHED_STORE_CA"):
                    await connection.get("key")
            connection.close()

    uvloop.run(main())
