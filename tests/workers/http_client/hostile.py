"""Receivers that violate HTTP in many ways, on raw sockets.

A behaviour is a coroutine that handles one connection. `receiving` runs a receiver with
a behaviour, records requests and connections, and aborts all connections at the end.
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
# If the receiver stops reading, the kernel's buffers on both sides are full after this
# time, and the client cannot write more. The kernel does not signal this.
BUFFERS_FULL_S = 0.1
BLOCK = bytes(65536)

# How a behaviour ends if the client closes the connection. uvloop raises RuntimeError
# for a write to a closed connection.
ENDED = (ConnectionError, asyncio.IncompleteReadError, RuntimeError)

_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


@dataclass
class Connection:
    """An accepted connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    receiver: "Receiver"

    async def read_request(self) -> bytes:
        """Read a complete request and record it."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await self.reader.readexactly(int(length[1])) if length else b""
        self.receiver.requests.append(head + body)
        return head + body

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def hang(self) -> None:
        """Discard data until the client or the test ends the connection."""
        while await self.reader.read(65536):
            pass


Behaviour = Callable[[Connection], Awaitable[None]]


@dataclass
class Receiver:
    """A running receiver, and what it has recorded."""

    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    ended: int = 0
    max_open: int = 0
    may_continue: asyncio.Event = field(default_factory=asyncio.Event)

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
    """Run a receiver, by default on a free port."""
    receiver = Receiver()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        receiver.connections += 1
        receiver.max_open = max(receiver.max_open, receiver.open_connections)
        try:
            with contextlib.suppress(*ENDED):
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
        # Aborted transports close in the event loop's next iteration.
        await asyncio.sleep(0)


def answering(response: bytes = OK) -> Behaviour:
    """Send the same response to every request of a connection."""

    async def behave(connection: Connection) -> None:
        while True:
            await connection.read_request()
            await connection.write(response)

    return behave


def answering_once(response: bytes, *, then_close: bool = False) -> Behaviour:
    """Respond to the first request, then hang or close the connection."""

    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.write(response)
        if not then_close:
            await connection.hang()

    return behave


def dripping(start: bytes, drop: bytes) -> Behaviour:
    """Write `start`, then repeat `drop` slowly without end."""

    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.write(start)
        while True:
            await connection.write(drop)
            await asyncio.sleep(DRIP_S)

    return behave


def flooding(start: bytes, block: bytes) -> Behaviour:
    """Write `start`, then repeat `block` as fast as possible without end."""

    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.write(start)
        while True:
            await connection.write(block)

    return behave


def sending_unrequested(response: bytes, *, at_once: bool) -> Behaviour:
    """Respond to the first request, then send a response without a request.

    Args:
        at_once: whether to send both responses together. Otherwise, the second response
            waits for `may_continue`.
    """

    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.write(OK + (response if at_once else b""))
        await connection.receiver.may_continue.wait()
        await connection.write(b"" if at_once else response)
        await connection.hang()

    return behave


async def close_without_second_response(connection: Connection) -> None:
    await connection.read_request()
    await connection.write(OK)
    await connection.read_request()


async def accept_only(connection: Connection) -> None:
    await connection.hang()


async def never_respond(connection: Connection) -> None:
    await connection.read_request()
    await connection.hang()


def not_reading(response: bytes, counts: list[int]) -> Behaviour:
    """Read one byte of a request, and write `response`.

    After `may_continue` is set, read the remaining bytes until the client closes the
    connection. Then append the number of these bytes to `counts`.
    """

    async def behave(connection: Connection) -> None:
        await connection.reader.readexactly(1)
        await asyncio.sleep(BUFFERS_FULL_S)
        connection.receiver.requests.append(b"")
        await connection.write(response)
        await connection.receiver.may_continue.wait()
        count = 0
        with contextlib.suppress(ConnectionError):
            while data := await connection.reader.read(65536):
                count += len(data)
        counts.append(count)

    return behave


async def close_without_response(connection: Connection) -> None:
    await connection.read_request()


async def close_after_response(connection: Connection) -> None:
    """Send a response that permits keep-alive, then close the connection."""
    await connection.read_request()
    await connection.write(OK)


def bomb(megabytes: int) -> bytes:
    """A gzip response whose body is a thousand times larger when decompressed."""
    body = gzip.compress(bytes(megabytes * 2**20))
    head = f"Content-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    return b"HTTP/1.1 200 OK\r\n" + head.encode() + body


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition is true."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


@dataclass(frozen=True)
class Authority:
    """A certificate authority for a test."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def path(self) -> str:
        return str(self.folder / "authority.pem")

    def serve_as(
        self, name: str, *, days_left: int = 1, trusted: bool = True
    ) -> ssl.SSLContext:
        """Return a server context with a certificate for a host name or an address."""
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
