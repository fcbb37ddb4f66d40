"""Tests that connections are not reused for longer than receivers announce (R-26)."""

import asyncio
import pytest
from tests.workers.http_client import hostile
from tests.workers.http_client.hostile import Connection, receiving, until
from tests.workers.http_client.sending import new_client, post, run
from workers.http_client.keep_alive import idle_limit_s
from workers.http_client.ramp import Ramp

IDLE_S = 0.02


@pytest.mark.parametrize(
    ("value", "limit_s"),
    [
        (b"timeout=5", 4.0),
        (b"timeout=5, max=100", 4.0),
        (b"timeout=1", 0.5),
        (b"timeout=0", 0.0),
        (b"timeout=600", 599.0),
        (b"Timeout = 5", 4.0),
        (b'timeout="5"', 4.0),
        (b"max=7, timeout=5", 4.0),
        (b"max=100;timeout=2", 1.0),
        (b"timeout=9, timeout=3", 2.0),
        (b"max=4", None),
        (b"max=3", 0.0),
        (b"max=1, timeout=5", 0.0),
        (b"timeout=-1", None),
        (b"timeout=x, max=", None),
        (b"timeout=" + b"9" * 5000, None),
        (b"5", None),
        (b"", None),
    ],
)
def test_an_announcement_is_kept_with_a_margin(
    value: bytes, limit_s: float | None
) -> None:
    assert idle_limit_s([(b"X-A", b"b"), (b"keep-alive", value)], 3) == limit_s
    assert idle_limit_s([(b"Keep-Alive", value)], 3) == limit_s
    assert idle_limit_s([(b"X-Keep-Alive", value)], 3) is None


def announcing(value: str) -> bytes:
    return (
        f"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: {value}\r\n\r\n".encode()
    )


@pytest.mark.parametrize(
    ("value", "connections"),
    [("timeout=5, max=100", 1), ("timeout=0", 6), ("max=2", 3), ("max=0", 6)],
)
def test_a_connection_is_used_as_often_as_announced(
    value: str, connections: int
) -> None:
    async def main() -> None:
        behave = hostile.answering(announcing(value))
        async with receiving(behave) as receiver, new_client() as client:
            for _ in range(6):
                assert (await client.send(post(receiver.url()))).status == 200
            assert receiver.connections == connections

    run(main())


def test_an_idle_connection_is_not_used_after_the_announced_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "workers.http_client.connection.idle_limit_s", lambda *_: IDLE_S
    )

    async def main() -> None:
        async with receiving(hostile.answering()) as receiver, new_client() as client:
            for _ in range(2):
                assert (await client.send(post(receiver.url()))).status == 200
                await asyncio.sleep(2 * IDLE_S)
            assert receiver.connections == 2

    run(main())


def test_r26_a_receiver_that_closes_without_saying_so_gets_new_connections() -> None:
    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.write(hostile.OK)
        if connection.receiver.connections > 1:
            await connection.hang()

    async def main() -> None:
        async with receiving(behave) as receiver, new_client(keepalive_s=60) as client:
            await client.send(post(receiver.url()))
            await until(lambda: receiver.open_connections == 0)
            await client.send(post(receiver.url()))
            # The receiver keeps this connection, but the client does not.
            await until(lambda: receiver.open_connections == 0)
            assert receiver.connections == 2

    run(main())


def test_half_of_the_time_after_which_a_receiver_closes_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connections = Ramp(10)
    assert connections.idle_limit_s is None
    connections.closed_idle(2.0)
    connections.closed_idle(6.0)
    assert connections.idle_limit_s == 1.0

    monkeypatch.setattr("workers.http_client.ramp.FORGOTTEN_S", 0)
    assert connections.idle_limit_s is None


def test_an_announcement_in_the_first_response_holds_for_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    announced = iter([25 * IDLE_S, None])
    monkeypatch.setattr(
        "workers.http_client.connection.idle_limit_s", lambda *_: next(announced, None)
    )

    async def main() -> None:
        async with receiving(hostile.answering()) as receiver, new_client() as client:
            await client.send(post(receiver.url()))
            await client.send(post(receiver.url()))
            assert receiver.connections == 1
            await asyncio.sleep(30 * IDLE_S)
            await client.send(post(receiver.url()))
            assert receiver.connections == 2

    run(main())
