"""Tests of which addresses the client connects to, and when it reuses connections.

Covers S-01, S-03 to S-05, S-07, S-11 and S-15.
"""

import asyncio
import pytest
import random
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import ip_address
from scheduler_api.core.delivery.destinations import AddressPolicy
from scheduler_api.core.delivery.request import Request
from scheduler_api.core.settings.variables import read_networks
from tests.workers.http_client import hostile
from tests.workers.http_client.hostile import Receiver, receiving, until
from tests.workers.http_client.sending import LOCAL, LONG_MS, new_client, post, run
from typing import Any
from workers.http_client.client import HttpClient, Result
from workers.http_client.failures import Failure
from workers.http_client.resolver import Lookup

DEFAULT = AddressPolicy()
# Both are loopback addresses. The tests allow OUTSIDE, in place of a public address,
# and block INSIDE.
OUTSIDE, INSIDE = "127.0.0.2", "127.0.0.1"
ONLY_OUTSIDE = AddressPolicy(allow=read_networks(f"{OUTSIDE}/32"))


def new_client_with_lookup(
    lookup: Lookup, *, policy: AddressPolicy = ONLY_OUTSIDE
) -> HttpClient:
    return new_client(policy=policy, limit=20, lookup=lookup)


def tenant_view(result: Result) -> tuple[object, ...]:
    """The parts of a result that the tenant sees, except start and total time."""
    return (
        result.status,
        result.headers,
        result.body,
        result.error,
        result.connect_ms,
        result.first_byte_ms,
        result.dispatched,
    )


@asynccontextmanager
async def inside_and_outside(
    behave: hostile.Behaviour,
) -> AsyncIterator[tuple[Receiver, Receiver]]:
    """Two receivers with the same port: on a blocked and on an allowed address."""
    async with receiving(behave, host=INSIDE) as inside:
        try:
            async with receiving(behave, host=OUTSIDE, port=inside.port) as outside:
                yield inside, outside
        except OSError:
            pytest.skip(f"{OUTSIDE} is not an address of this system")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:0:7f00:1]", "[::]"]
)
def test_s01_a_literal_address_is_checked(host: str) -> None:
    async def main() -> None:
        async with (
            receiving(hostile.answering(), host="localhost") as receiver,
            new_client(policy=DEFAULT) as client,
        ):
            result = await client.send(post(receiver.url(host=host)))
            assert receiver.connections == 0

        assert (result.error, result.dispatched) == (Failure.BLOCKED, False)

    run(main())


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "own.example"])
def test_s01_closed_ports_stay_closed_in_allowed_networks(host: str) -> None:
    def lookup(name: str) -> Sequence[str]:
        return ["::1", "127.0.0.1"]

    async def main() -> None:
        async with receiving(hostile.answering()) as receiver:
            policy = AddressPolicy(
                allow=read_networks("127.0.0.0/8, ::1/128"),
                closed_ports=frozenset({(None, receiver.port)}),
            )
            async with new_client_with_lookup(lookup, policy=policy) as client:
                result = await client.send(post(receiver.url(host=host)))
            assert receiver.connections == 0

        assert result.error is Failure.BLOCKED
        assert "closed-port" in result.detail

    run(main())


def test_s01_a_connection_to_the_receiver_is_not_reused_for_other_paths() -> None:
    async def main() -> None:
        async with receiving(hostile.answering()) as receiver:
            policy = AddressPolicy(
                allow=read_networks("127.0.0.0/8"),
                closed_ports=frozenset({(None, receiver.port)}),
                receiver_port=receiver.port,
            )
            async with new_client(policy=policy) as client:
                opened = await client.send(post(receiver.url("/receiver/a")))
                again = await client.send(post(receiver.url("/receiver?b")))
                other = await client.send(post(receiver.url("/api/events")))

        assert (opened.status, again.status) == (200, 200)
        assert other.error is Failure.BLOCKED
        assert receiver.connections == 1

    run(main())


@pytest.mark.parametrize("stricter", [{"https_only": True}, {"ports": frozenset([1])}])
def test_s07_a_stricter_policy_applies_to_stored_events(
    stricter: dict[str, Any],
) -> None:
    async def main() -> None:
        async with receiving(hostile.answering()) as receiver:
            policy = AddressPolicy(allow=LOCAL.allow, **stricter)
            async with new_client(policy=policy) as client:
                result = await client.send(post(receiver.url()))
            assert receiver.connections == 0

        assert (result.error, result.dispatched) == (Failure.BLOCKED, False)

    run(main())


@pytest.mark.parametrize(
    "addresses",
    [[OUTSIDE, INSIDE], [INSIDE, OUTSIDE], [OUTSIDE, "::1"], [OUTSIDE] * 20 + [INSIDE]],
    ids=["last", "first", "ipv6", "behind-many"],
)
def test_s03_a_name_with_one_blocked_address_is_blocked(
    addresses: list[str],
) -> None:
    async def main() -> None:
        async with inside_and_outside(hostile.answering()) as (inside, outside):
            async with new_client_with_lookup(lambda host: addresses) as client:
                result = await client.send(post(outside.url(host="mixed.example")))
            assert inside.connections == outside.connections == 0

        assert result.error is Failure.BLOCKED

    run(main())


@pytest.mark.parametrize("keep_alive", [True, False], ids=["reused", "reconnecting"])
def test_s04_a_rebinding_name_never_leads_to_a_blocked_address(
    keep_alive: bool,
) -> None:
    sends, lookups = 1000, list[str]()
    addresses = [[OUTSIDE], [INSIDE], [OUTSIDE, INSIDE]]

    def lookup(host: str) -> Sequence[str]:
        """Return different addresses on each call.

        A client that looked up a host a second time would connect to addresses that it
        has not checked.
        """
        lookups.append(host)
        return addresses[len(lookups) % 3]

    async def main() -> None:
        behave = hostile.answering() if keep_alive else hostile.close_after_response
        results = list[Result]()
        async with (
            inside_and_outside(behave) as (inside, outside),
            new_client_with_lookup(lookup) as client,
        ):
            for number in range(sends):
                url = outside.url(host=f"h{number % 300}.example")
                results.append(await client.send(post(url)))
            heads = b"".join(outside.requests)

            assert inside.connections == 0
        sent = [result for result in results if result.status == 200]
        blocked = [result for result in results if result.error is Failure.BLOCKED]
        assert len(sent) + len(blocked) == sends
        assert len(blocked) >= 100
        assert len(sent) == len(outside.requests) >= 100
        assert len(lookups) <= sends
        assert heads.count(f".example:{outside.port}\r\n".encode()) == len(sent)

    run(main())


@pytest.mark.parametrize(
    "host",
    [
        "127.1",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "0",
        "0.0.0.0",
        "①②⑦.0.0.1",
        "\uff11\uff12\uff17.0.0.1",
        "localhost",
        "LOCALHOST",
        "localhost.",
    ],
)
def test_s05_every_spelling_of_loopback_is_blocked(host: str) -> None:
    async def main() -> None:
        async with (
            receiving(hostile.answering()) as receiver,
            new_client(policy=DEFAULT) as client,
        ):
            result = await client.send(post(receiver.url(host=host)))
            assert receiver.connections == 0

        assert result.error in {Failure.BLOCKED, Failure.DNS}, result
        assert not result.dispatched

    run(main())


def test_s11_open_and_closed_ports_of_a_blocked_address_look_the_same() -> None:
    async def main() -> None:
        async with receiving(hostile.answering()) as receiver:
            with socket.create_server(("127.0.0.1", 0)) as server:
                closed = server.getsockname()[1]
            async with new_client(policy=DEFAULT) as client:
                views = [
                    tenant_view(await client.send(post(f"http://{host}:{port}/")))
                    for port in (receiver.port, closed)
                    for host in ("127.0.0.1", "[::1]", "localhost", "10.0.0.1")
                ]

        assert len(set(views)) == 1
        assert Failure.BLOCKED in views[0]

    run(main())


def test_s11_only_operators_see_the_blocked_address_of_a_name() -> None:
    async def main() -> None:
        async with new_client_with_lookup(lambda host: ["10.1.2.3"]) as client:
            result = await client.send(post("http://name.example/"))

        assert "10.1.2.3" in result.detail
        assert "10.1.2.3" not in str(tenant_view(result))

    run(main())


@pytest.mark.parametrize("addresses", [[], ["nonsense"], ["fe80::1%eth0"]])
def test_a_lookup_without_a_usable_address_fails_the_attempt(
    addresses: list[str],
) -> None:
    async def main() -> None:
        async with new_client_with_lookup(lambda host: addresses) as client:
            result = await client.send(post("http://name.example/"))

        assert result.error in {Failure.DNS, Failure.BLOCKED}

    run(main())


def test_a_name_that_cannot_be_encoded_is_a_dns_failure() -> None:
    def lookup(host: str) -> Sequence[str]:
        raise UnicodeError("label too long")

    async def main() -> None:
        async with new_client_with_lookup(lookup) as client:
            result = await client.send(post("http://name.example/"))

        assert (result.error, result.dispatched) == (Failure.DNS, False)

    run(main())


def test_after_a_refused_connection_the_next_address_is_tried() -> None:
    async def main() -> None:
        async with receiving(hostile.answering()) as receiver:
            addresses = ["127.0.0.9", "127.0.0.1"]
            async with new_client_with_lookup(
                lambda host: addresses, policy=LOCAL
            ) as client:
                result = await client.send(post(receiver.url(host="two.example")))

        assert result.status == 200, result

    run(main())


def test_own_addresses_are_blocked_at_connect_time() -> None:
    async def main() -> None:
        own = frozenset({ip_address("127.0.0.1")})
        policy = AddressPolicy(own_addresses=own)
        async with receiving(hostile.answering()) as receiver:
            async with new_client(policy=policy) as client:
                result = await client.send(post(receiver.url()))
            assert receiver.connections == 0

        assert "own-address" in result.detail

    run(main())


def test_s15_connections_are_reused_for_the_same_origin_only() -> None:
    async def main() -> None:
        async with (
            receiving(hostile.answering()) as one,
            receiving(hostile.answering()) as other,
            new_client() as client,
        ):
            for receiver in (one, other, one, other, one):
                await client.send(post(receiver.url()))

            assert (len(one.requests), one.connections) == (3, 1)
            assert (len(other.requests), other.connections) == (2, 1)

    run(main())


def test_s15_the_limit_of_open_connections_is_kept() -> None:
    async def main() -> None:
        async with (
            receiving(hostile.answering()) as receiver,
            new_client(limit=3) as client,
        ):
            requests = [post(receiver.url()) for _ in range(30)]
            results = await asyncio.gather(*map(client.send, requests))

            assert {result.status for result in results} == {200}
            assert receiver.max_open <= 3

    run(main())


def test_s15_idle_connections_to_many_origins_are_limited() -> None:
    async def main() -> None:
        async with (
            receiving(hostile.answering()) as receiver,
            new_client(limit=2, lookup=lambda host: [INSIDE]) as client,
        ):
            for number in range(40):
                host = f"h{number}.example"
                assert (await client.send(post(receiver.url(host=host)))).status == 200
            await until(lambda: receiver.open_connections <= 4)

            assert receiver.connections == 40

    run(main())


@pytest.mark.parametrize("method", ["POST", "PUT", "GET"])
def test_s04_the_client_never_repeats_a_request(method: str) -> None:
    async def main() -> None:
        async with (
            receiving(hostile.close_without_second_response) as receiver,
            new_client() as client,
        ):
            request = Request(method, receiver.url(), (), b"x", LONG_MS)
            first = await client.send(request)
            second = await client.send(request)

            assert (receiver.connections, len(receiver.requests)) == (1, 2)

        assert first.status == 200
        assert (second.error, second.dispatched) == (Failure.CLOSED, True)

    run(main())


def test_an_idle_connection_is_closed_after_the_keepalive_time() -> None:
    async def main() -> None:
        async with (
            receiving(hostile.answering()) as receiver,
            new_client(keepalive_s=0.05) as client,
        ):
            await client.send(post(receiver.url()))
            await until(lambda: receiver.open_connections == 0)

            assert client.open_connections == 0

    run(main())


def test_a_connection_closed_while_idle_is_not_used_again() -> None:
    async def main() -> None:
        async with (
            receiving(hostile.close_after_response) as receiver,
            new_client() as client,
        ):
            for number in range(20):
                result = await client.send(post(receiver.url()))
                await until(partial(has_ended, receiver, number + 1))
                assert result.status == 200, result

            assert len(receiver.requests) == 20

    run(main())


def has_ended(receiver: Receiver, count: int) -> bool:
    return receiver.ended == count


@pytest.mark.parametrize("at_once", [True, False], ids=["at-once", "later"])
def test_an_unrequested_response_is_not_taken_for_the_next_one(
    at_once: bool,
) -> None:
    async def main() -> None:
        poison = b"HTTP/1.1 299 Poison\r\nContent-Length: 0\r\n\r\n"
        results = list[Result]()
        async with (
            receiving(hostile.sending_unrequested(poison, at_once=at_once)) as receiver,
            receiving(hostile.answering()) as other,
            new_client() as client,
        ):
            for _ in range(3):
                results.append(await client.send(post(receiver.url())))
                receiver.may_continue.set()
                # Give the event loop time to read the unrequested response.
                for _ in range(5):
                    await client.send(post(other.url()))

        assert {result.status for result in results} == {200}

    run(main())


def test_s11_a_failure_after_a_blocked_address_was_skipped_is_not_blocked() -> None:
    async def main() -> None:
        async with receiving(hostile.close_without_response) as receiver:
            blocked = ip_address("127.0.0.9")
            policy = AddressPolicy(
                allow=LOCAL.allow, closed_ports=frozenset({(blocked, receiver.port)})
            )
            addresses = [str(blocked), "127.0.0.1"]
            async with new_client_with_lookup(
                lambda _: addresses, policy=policy
            ) as client:
                result = await client.send(post(receiver.url(host="two.example")))

        assert (result.error, result.dispatched) == (Failure.CLOSED, True)

    run(main())


def test_a_lost_lease_stops_the_request_and_keeps_the_connection() -> None:
    async def main() -> None:
        async with receiving(hostile.answering()) as receiver, new_client() as client:
            request = post(receiver.url())
            lost = await client.send(request, may_write=lambda: False)
            sent = await client.send(request)
            again = await client.send(request, may_write=lambda: False)

            assert (receiver.connections, len(receiver.requests)) == (1, 1)

        assert (lost.error, lost.dispatched) == (Failure.LEASE_LOST, False)
        assert (sent.status, sent.dispatched) == (200, True)
        assert (again.error, again.dispatched) == (Failure.LEASE_LOST, False)

    run(main())


def test_the_lease_is_checked_after_connecting_only() -> None:
    checks = list[int]()

    def may_write() -> bool:
        checks.append(1)
        return True

    async def main() -> None:
        async with new_client() as client:
            with socket.create_server(("127.0.0.1", 0)) as server:
                port = server.getsockname()[1]
            request = post(f"http://127.0.0.1:{port}/")
            result = await client.send(request, may_write=may_write)
            assert (result.error, checks) == (Failure.REFUSED, [])

            async with receiving(hostile.answering()) as receiver:
                await client.send(post(receiver.url()), may_write=may_write)
            assert checks == [1]

    run(main())


def test_concurrent_requests_get_their_own_responses() -> None:
    async def echo(connection: hostile.Connection) -> None:
        while True:
            request = await connection.read_request()
            path = request.split(b" ", 2)[1]
            await asyncio.sleep(random.random() / 500)
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(path)}\r\n\r\n".encode()
            await connection.write(head + path)

    async def main() -> None:
        async with receiving(echo) as receiver, new_client() as client:
            paths = [f"/{number}" for number in range(300)]
            requests = [post(receiver.url(path)) for path in paths]
            results = await asyncio.gather(*map(client.send, requests))

        assert [result.body.decode() for result in results] == paths

    run(main())
