"""Receivers that behave as no receiver should; raw sockets, so that nothing is tidied.

A behaviour is a coroutine that owns one connection. `receiving` starts a receiver for
it, counts what arrives, and cuts every connection off at the end.
"""

import asyncio
import contextlib
import datetime
import gzip
import ipaddress
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from dataclasses import dataclass, field
from pathlib import Path

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n"
DRIP_S = 0.02
# Until both kernels' buffers are full and the client cannot write any more; nothing
# tells when that is.
STUCK_S = 0.1
BLOCK = bytes(65536)

_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


@dataclass
class Connection:
    """One accepted connection, as its behaviour sees it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    receiver: "Receiver"

    async def read_request(self) -> bytes:
        """Read one whole request, and count it."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await self.reader.readexactly(int(length[1])) if length else b""
        self.receiver.requests.append(head + body)
        return head + body

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def hang(self) -> None:
        """Do nothing until the other side, or the test, ends the connection."""
        while await self.reader.read(65536):
            pass


Behaviour = Callable[[Connection], Awaitable[None]]


@dataclass
class Receiver:
    """What a receiver has seen."""

    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    ended: int = 0
    most_at_once: int = 0
    given_up: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def open_connections(self) -> int:
        return self.connections - self.ended

    def url(
        self, path: str = "/hook", *, scheme: str = "http", host: str = "127.0.0.1"
    ) -> str:
        return f"{scheme}://{host}:{self.port}{path}"


@contextlib.asynccontextmanager
async def receiving(
    behave: Behaviour,
    *,
    tls: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
) -> AsyncIterator[Receiver]:
    """Run a receiver on a port of its own."""
    receiver = Receiver()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        receiver.connections += 1
        receiver.most_at_once = max(receiver.most_at_once, receiver.open_connections)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await behave(Connection(reader, writer, receiver))
        finally:
            receiver.ended += 1
            writer.transport.abort()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, host, port, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # What was aborted is closed in the loop's next round.
        await asyncio.sleep(0)


def answering(response: bytes = OK) -> Behaviour:
    """Answer every request of a connection with the same bytes."""

    async def behave(connection: Connection) -> None:
        while True:
            await connection.read_request()
            await connection.write(response)

    return behave


def answering_once(response: bytes, *, then_close: bool = False) -> Behaviour:
    """Answer the first request, then hang or close."""

    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.write(response)
        if not then_close:
            await connection.hang()

    return behave


def dripping(start: bytes, drop: bytes) -> Behaviour:
    """Write `start`, then `drop` again and again, slowly, for ever."""

    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.write(start)
        while True:
            await connection.write(drop)
            await asyncio.sleep(DRIP_S)

    return behave


def flooding(start: bytes, block: bytes) -> Behaviour:
    """Write `start`, then `block` as fast as it is taken, for ever."""

    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.write(start)
        while True:
            await connection.write(block)

    return behave


def shouting(shout: bytes, *, at_once: bool) -> Behaviour:
    """Answer the first request, then, or when told, say what nobody asked for."""

    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.write(OK + (shout if at_once else b""))
        await connection.receiver.given_up.wait()
        await connection.write(b"" if at_once else shout)
        await connection.hang()

    return behave


async def close_second_unanswered(connection: Connection) -> None:
    await connection.read_request()
    await connection.write(OK)
    await connection.read_request()


async def accept_only(connection: Connection) -> None:
    await connection.hang()


async def never_answer(connection: Connection) -> None:
    await connection.read_request()
    await connection.hang()


def not_reading(answer: bytes, counted: list[int]) -> Behaviour:
    """Write `answer`, read a byte; count the rest once the other side has given up.

    The count ends with the connection, so it is there only if that was cut off.
    """

    async def behave(connection: Connection) -> None:
        await connection.reader.readexactly(1)
        await asyncio.sleep(STUCK_S)
        connection.receiver.requests.append(b"")
        await connection.write(answer)
        await connection.receiver.given_up.wait()
        count = 0
        with contextlib.suppress(ConnectionError):
            while data := await connection.reader.read(65536):
                count += len(data)
        counted.append(count)

    return behave


async def close_unanswered(connection: Connection) -> None:
    await connection.read_request()


async def close_after_answer(connection: Connection) -> None:
    """Promise to keep the connection, and close it."""
    await connection.read_request()
    await connection.write(OK)


def bomb(megabytes: int) -> bytes:
    """A response whose body grows a thousandfold when it is unpacked."""
    body = gzip.compress(bytes(megabytes * 2**20))
    head = f"Content-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    return b"HTTP/1.1 200 OK\r\n" + head.encode() + body


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition that other tasks bring about."""
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.002)


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the test's own."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def path(self) -> str:
        return str(self.folder / "authority.pem")

    def serve_as(
        self, name: str, *, days_left: int = 1, trusted: bool = True
    ) -> ssl.SSLContext:
        """Return a server's context with a certificate for `name`, host or address."""
        key = ec.generate_private_key(ec.SECP256R1())
        signer = self.key if trusted else ec.generate_private_key(ec.SECP256R1())
        certificate = _certify(key, name, signer=signer, days_left=days_left)
        path = self.folder / f"{certificate.serial_number}.pem"
        path.write_bytes(_pem(key) + certificate.public_bytes(_PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


_PEM = serialization.Encoding.PEM
_ISSUER = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])


def make_authority(folder: Path) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certify(key, None, signer=key, days_left=1)
    authority = Authority(folder, key, certificate)
    Path(authority.path).write_bytes(certificate.public_bytes(_PEM))
    return authority


def _certify(
    key: ec.EllipticCurvePrivateKey,
    name: str | None,
    *,
    signer: ec.EllipticCurvePrivateKey,
    days_left: int,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    subject = _ISSUER
    if name is not None:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(_ISSUER)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=30))
        .not_valid_after(now + datetime.timedelta(days=days_left))
        .add_extension(x509.BasicConstraints(name is None, None), critical=True)
    )
    if name is not None:
        builder = builder.add_extension(_alternative(name), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _alternative(name: str) -> x509.SubjectAlternativeName:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return x509.SubjectAlternativeName([x509.DNSName(name)])
    return x509.SubjectAlternativeName([x509.IPAddress(address)])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
