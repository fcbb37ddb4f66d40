"""Tests of the certificates and TLS versions that the client accepts (S-22)."""

import asyncio
import pytest
import ssl
from pathlib import Path
from tests.workers.http_client import hostile
from tests.workers.http_client.hostile import receiving
from tests.workers.http_client.sending import new_client, post, run
from time import perf_counter
from typing import Any
from workers.http_client.client import Result, tls_context
from workers.http_client.connection import HttpConnection
from workers.http_client.failures import Failure
from workers.http_client.ramp import Ramp


async def send_tls(
    server: ssl.SSLContext, authority: hostile.Authority, *, name: str
) -> Result:
    def lookup(host: str) -> list[str]:
        return ["127.0.0.1"]

    async with (
        receiving(hostile.answering(), tls=server) as receiver,
        new_client(tls=tls_context(authority.path), lookup=lookup) as client,
    ):
        return await client.send(post(receiver.url(scheme="https", host=name)))


@pytest.mark.parametrize("name", ["hooks.example", "127.0.0.1"])
def test_s22_a_certificate_for_the_host_of_the_url_is_accepted(
    name: str, tmp_path: Path
) -> None:
    authority = hostile.make_authority(tmp_path)
    server, server_names = authority.serve_as(name), list[str | None]()

    def record(_: object, server_name: str | None, __: object) -> None:
        server_names.append(server_name)

    server.sni_callback = record

    async def main() -> None:
        result = await send_tls(server, authority, name=name)

        assert (result.status, result.error) == (200, None), result
        assert server_names == [name if name == "hooks.example" else None]

    run(main())


@pytest.mark.parametrize(
    ("certificate", "code"),
    [
        ({"name": "other.example"}, Failure.TLS_HOST),
        ({"name": "127.0.0.1"}, Failure.TLS_HOST),
        ({"name": "hooks.example", "days_left": -1}, Failure.TLS_EXPIRED),
        ({"name": "hooks.example", "trusted": False}, Failure.TLS_UNTRUSTED),
    ],
    ids=["other-name", "address", "expired", "untrusted"],
)
def test_s22_nothing_is_sent_to_a_receiver_with_a_bad_certificate(
    certificate: dict[str, Any], code: Failure, tmp_path: Path
) -> None:
    authority = hostile.make_authority(tmp_path)
    server = authority.serve_as(**certificate)

    async def main() -> None:
        result = await send_tls(server, authority, name="hooks.example")

        assert result.error is code, result
        assert not result.dispatched

    run(main())


# The first TLS records of three old servers. The first server chooses version 1.1, the
# second chooses version 1.0. The third supports no offered version, and sends an alert.
OLD_TLS = {
    "1.1": bytes.fromhex("160302002a0200002603 02") + bytes(32) + b"\x00\x00\x2f\x00",
    "1.0": bytes.fromhex("160301002a0200002603 01") + bytes(32) + b"\x00\x00\x2f\x00",
    "alert": bytes.fromhex("15030100020246"),
}


@pytest.mark.parametrize("version", OLD_TLS)
def test_s22_versions_before_tls_1_2_are_refused(version: str) -> None:
    async def behave(connection: hostile.Connection) -> None:
        await connection.reader.read(65536)
        await connection.write(OLD_TLS[version])
        await connection.hang()

    async def main() -> None:
        async with receiving(behave) as receiver, new_client() as client:
            result = await client.send(post(receiver.url(scheme="https")))

        assert (result.error, result.dispatched) == (Failure.TLS_VERSION, False), result

    run(main())


def test_a_connection_that_tls_has_lost_may_be_asked_at_any_time(
    tmp_path: Path,
) -> None:
    authority = hostile.make_authority(tmp_path)
    server, tls = authority.serve_as("hooks.example"), tls_context(authority.path)

    async def close(_: hostile.Connection) -> None:
        pass

    async def main() -> None:
        async with receiving(close, tls=server) as receiver:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: HttpConnection(Ramp(1), lambda _: None),
                *("127.0.0.1", receiver.port),
                ssl=tls,
                server_hostname="hooks.example",
            )
            while connection.is_open:
                connection.is_unheard(perf_counter())
                await asyncio.sleep(0)

    run(main())
