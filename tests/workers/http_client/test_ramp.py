"""Tests of how many connections to an origin the client uses (S-15)."""

import asyncio
import contextlib
import pytest
import socket
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from tests.workers.http_client import hostile
from tests.workers.http_client.hostile import Connection, Receiver, receiving, until
from tests.workers.http_client.sending import DEADLINE_MS, new_client, post, run
from workers.http_client import ramp
from workers.http_client.client import HttpClient, Result
from workers.http_client.failures import Failure
from workers.http_client.ramp import START, Crowded, Ramp

ALL = 60
HERD = 120


async def send_all(client: HttpClient, url: str, *, timeout_ms: int) -> list[Result]:
    request = post(url, timeout_ms=timeout_ms)
    return await asyncio.gather(*(client.send(request) for _ in range(ALL)))


def test_the_number_of_connections_begins_small_and_grows_with_each_answer() -> None:
    answers = asyncio.Semaphore(0)

    async def behave(connection: Connection) -> None:
        while True:
            await connection.read_request()
            await answers.acquire()
            await connection.write(hostile.OK)

    async def main() -> None:
        async with receiving(behave) as receiver, new_client(limit=100) as client:
            sending = asyncio.create_task(
                send_all(client, receiver.url(), timeout_ms=30_000)
            )
            for answered in range(20):
                # A connection that was answered is used again; one more is opened.
                await until(partial(has_requests, receiver, START + 2 * answered))
                assert receiver.connections == START + answered
                answers.release()
            for _ in range(ALL):
                answers.release()
            results = await sending

        assert {result.status for result in results} == {200}

    run(main())


def has_requests(receiver: Receiver, count: int) -> bool:
    return len(receiver.requests) == count


@contextlib.contextmanager
def one_thread(*, work_s: float) -> Iterator[tuple[str, list[str]]]:
    """Run a server with one thread; return its URL, and the paths that it has seen."""
    paths = list[str]()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            paths.append(self.path)
            time.sleep(work_s)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", paths
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("work_s", [0, 0.003])
def test_a_server_with_one_thread_loses_no_request(work_s: float) -> None:
    with one_thread(work_s=work_s) as (url, paths):

        async def main() -> None:
            async with new_client(limit=400) as client:
                requests = [
                    post(f"{url}/{number}", timeout_ms=60_000) for number in range(HERD)
                ]
                results = await asyncio.gather(*map(client.send, requests))

            assert {(result.status, result.error) for result in results} == {
                (200, None)
            }

        run(main())

    assert sorted(paths) == sorted(f"/{number}" for number in range(HERD))


def test_a_silent_route_delays_no_other_route_of_its_origin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ramp, "SILENT_S", 0.05)

    async def behave(connection: Connection) -> None:
        while b"POST /good " in await connection.read_request():
            await connection.write(hostile.OK)
        await connection.hang()

    async def main() -> None:
        async with receiving(behave) as receiver, new_client(limit=100) as client:
            silent = [
                asyncio.create_task(client.send(post(receiver.url(f"/users/{number}"))))
                for number in range(ALL)
            ]
            await until(lambda: len(receiver.requests) == START)
            result = await client.send(post(receiver.url("/good")))

            assert result.status == 200
            # The silent requests did not go first.
            assert len(receiver.requests) < ALL
            await until(lambda: len(receiver.requests) == ALL + 1)
            for task in silent:
                task.cancel()
            await asyncio.gather(*silent, return_exceptions=True)

    run(main())


@contextlib.contextmanager
def accepting_nothing() -> Iterator[str]:
    """Listen on a port whose backlog is full; return its URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(address)
        yield f"http://127.0.0.1:{address[1]}/"
        for client in waiting:
            client.close()


@pytest.mark.skipif(
    sys.platform != "linux", reason="other systems refuse at a full backlog"
)
def test_a_receiver_that_accepts_nothing_fails_all_at_the_deadline() -> None:
    async def main(url: str) -> None:
        async with new_client(limit=100) as client:
            results = await send_all(client, url, timeout_ms=DEADLINE_MS)

        assert {result.error for result in results} == {Failure.CONNECT_TIMEOUT}

    with accepting_nothing() as url:
        run(main(url))


@pytest.mark.skipif(
    sys.platform != "linux", reason="other systems refuse at a full backlog"
)
def test_who_waits_for_a_receiver_that_accepts_nothing_does_not_try_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workers.http_client.pool.CONNECT_TIMEOUT_S", 0.2)
    monkeypatch.setattr(ramp, "SLOW_S", 0.1)

    async def main(url: str) -> None:
        async with new_client(limit=100) as client:
            results = await send_all(client, url, timeout_ms=30_000)

        assert {result.error for result in results} == {Failure.CONNECT_TIMEOUT}
        assert max(result.total_ms for result in results) < 5_000

    with accepting_nothing() as url:
        run(main(url))


def test_a_wait_that_ends_at_its_deadline_keeps_no_connection() -> None:
    async def behave(connection: Connection) -> None:
        while True:
            await connection.read_request()
            await connection.receiver.may_continue.wait()
            await connection.write(hostile.OK)

    async def main() -> None:
        async with receiving(behave) as receiver, new_client(limit=100) as client:
            url = receiver.url()
            busy = [asyncio.create_task(client.send(post(url))) for _ in range(START)]
            await until(lambda: len(receiver.requests) == START)
            late = await send_all(client, url, timeout_ms=50)
            receiver.may_continue.set()
            await asyncio.gather(*busy)

            assert {result.error for result in late} == {Failure.WAIT_TIMEOUT}
            assert not any(result.dispatched for result in late)
            # All turns are free again.
            results = await send_all(client, url, timeout_ms=30_000)
            assert {result.status for result in results} == {200}

    run(main())


def test_a_number_that_is_not_used_does_not_grow() -> None:
    connections = Ramp(100)
    for _ in range(50):
        assert connections.enter()
        connections.leave(answered=True)

    assert connections.limit == START + 2


def test_connections_that_are_not_accepted_do_not_let_the_number_grow() -> None:
    async def main() -> None:
        connections = Ramp(100)
        connections.limit = START + 2
        with contextlib.ExitStack() as stack:
            for _ in range(connections.limit):
                assert connections.enter()
                stack.enter_context(connections.connecting())
            assert connections.accepted == 0
            connections.leave(answered=True)
            assert connections.limit == START + 2

    run(main())


@pytest.mark.parametrize(
    ("delay_s", "error"), [(0, ConnectionResetError), (0.02, None)]
)
def test_connecting_that_is_slow_or_reset_halves_the_number(
    monkeypatch: pytest.MonkeyPatch, delay_s: float, error: type[OSError] | None
) -> None:
    monkeypatch.setattr(ramp, "SLOW_S", 0.01)

    async def main() -> None:
        connections = Ramp(100)
        for _ in range(4):
            connections.enter()
        with contextlib.suppress(OSError), connections.connecting():
            await asyncio.sleep(delay_s)
            if error is not None:
                raise error
        assert connections.limit == 2

    run(main())


@pytest.mark.parametrize("kind", [ConnectionResetError, TimeoutError])
@pytest.mark.parametrize("accepts", [True, False])
def test_connecting_is_tried_again_if_the_receiver_accepts_others(
    kind: type[OSError], accepts: bool
) -> None:
    async def main() -> None:
        connections = Ramp(100)
        connections.enter()
        connections.enter()
        with pytest.raises(Crowded if accepts else kind), connections.connecting():
            if accepts:
                with connections.connecting():
                    pass
            raise kind

    run(main())


def test_slow_and_reset_connections_halve_the_number_once() -> None:
    connections = Ramp(100)
    connections.limit = 40
    for _ in range(40):
        assert connections.enter()
    begun_s = time.perf_counter()
    for _ in range(10):
        connections.halve(begun_s)
    assert connections.limit == 20

    connections.halve(time.perf_counter())
    assert connections.limit == 10
    assert not connections.enter()


def test_a_number_is_forgotten_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    connections = Ramp(100)
    connections.enter()
    monkeypatch.setattr(ramp, "FORGOTTEN_S", 0)
    assert not connections.is_forgotten

    connections.leave(answered=True)
    assert connections.is_forgotten


def test_the_number_of_remembered_origins_is_limited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workers.http_client.pool.RAMPS_MAX", 5)

    async def main() -> None:
        async with (
            receiving(hostile.answering()) as receiver,
            new_client(limit=20, lookup=lambda _: ["127.0.0.1"]) as client,
        ):
            for number in range(30):
                url = receiver.url(host=f"h{number}.example")
                assert (await client.send(post(url))).status == 200
            assert len(client._pool._ramps) <= 6

    run(main())
