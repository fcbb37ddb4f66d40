"""Puts a name to each way in which sending can fail."""

import os
import ssl
from aiohttp import (
    ClientConnectionError,
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientPayloadError,
    ClientResponseError,
    InvalidURL,
    ServerDisconnectedError,
)
from aiohttp.http_exceptions import LineTooLong
from enum import StrEnum
from scheduler_api.core.errors import SchedulerError
from scheduler_api.core.headers import BadHeader
from workers.wire import (
    Attempt,
    Blocked,
    ConnectionGone,
    HeadTooLarge,
    LeaseLost,
)


class Failure(StrEnum):
    """Why an attempt has no complete response; the values are stable."""

    BAD_HEADER = "bad-header"
    BAD_URL = "bad-url"
    BLOCKED = "blocked"
    CLOSED = "connection-closed"
    CONNECT = "connect"
    DNS = "dns"
    GROUP_MISSING = "group-missing"
    HEADERS_TOO_LARGE = "headers-too-large"
    LEASE_LOST = "lease-lost"
    PROTOCOL = "protocol"
    TIMEOUT = "timeout"
    TLS = "tls"
    TLS_EXPIRED = "tls-expired"
    TLS_HOST = "tls-host"
    TLS_UNTRUSTED = "tls-untrusted"


# OpenSSL's verdicts: 10 expired, 9 not yet valid; 62 and 64 another name or address.
_VERDICTS = {
    9: Failure.TLS_EXPIRED,
    10: Failure.TLS_EXPIRED,
    62: Failure.TLS_HOST,
    64: Failure.TLS_HOST,
}
_TOO_MANY_HEADERS = "Too many headers"

# The first row that fits decides: aiohttp's classes are subclasses of one another.
_FIXED: tuple[tuple[type[Exception], Failure, str], ...] = (
    (InvalidURL, Failure.BLOCKED, "not-an-address"),
    (LeaseLost, Failure.LEASE_LOST, "the lease ended before the request was written"),
    (HeadTooLarge, Failure.HEADERS_TOO_LARGE, "the response head does not end"),
    (ClientConnectorDNSError, Failure.DNS, "the host name has no address"),
    (ConnectionGone, Failure.CLOSED, "the receiver closed the connection"),
    (ServerDisconnectedError, Failure.CLOSED, "the receiver closed the connection"),
    (ClientPayloadError, Failure.PROTOCOL, "the response body is broken off"),
)


def explain(err: Exception, attempt: Attempt) -> tuple[Failure, str]:
    """Return the code and the operator's text for what ended `attempt`."""
    if attempt.refusal is not None:
        return Failure.BLOCKED, attempt.refusal
    for kind, failure, text in _FIXED:
        if isinstance(err, kind):
            return failure, text
    if isinstance(err, SchedulerError):
        return _explain_own(err)
    if isinstance(err, TimeoutError):
        return _explain_timeout(attempt)
    if isinstance(err, ClientConnectionError):
        return _explain_connection(err)
    return _explain_response(err, attempt)


def _explain_own(err: SchedulerError) -> tuple[Failure, str]:
    if isinstance(err, Blocked):
        return Failure.BLOCKED, str(err)
    if isinstance(err, BadHeader):
        return Failure.BAD_HEADER, str(err)
    return Failure.BAD_URL, str(err)


def _explain_connection(err: ClientConnectionError) -> tuple[Failure, str]:
    match err:
        case ClientConnectorCertificateError():
            return _explain_certificate(err.certificate_error)
        case ClientConnectorSSLError():
            return Failure.TLS, _reason(err.os_error, "the TLS handshake failed")
        case ClientConnectorError():
            return Failure.CONNECT, _reason(err.os_error, "no address answered")
    return Failure.CLOSED, "the connection broke"


def _explain_certificate(err: Exception) -> tuple[Failure, str]:
    if not isinstance(err, ssl.SSLCertVerificationError):
        return Failure.TLS_HOST, str(err)
    code = _VERDICTS.get(err.verify_code, Failure.TLS_UNTRUSTED)
    return code, f"the certificate is refused: {err.verify_message}"


def _explain_timeout(attempt: Attempt) -> tuple[Failure, str]:
    missing = "response body"
    if attempt.head_open:
        missing = "response head" if attempt.dispatched else "connection"
    return Failure.TIMEOUT, f"{missing} not complete within the deadline"


def _explain_response(err: Exception, attempt: Attempt) -> tuple[Failure, str]:
    if not attempt.dispatched:
        return Failure.CONNECT, f"no connection: {type(err).__name__}"
    if not isinstance(err, ClientResponseError):
        return Failure.PROTOCOL, f"the response cannot be read: {type(err).__name__}"
    source = err.__cause__.__cause__ if err.__cause__ is not None else None
    if isinstance(source, LineTooLong) or _TOO_MANY_HEADERS in err.message:
        return Failure.HEADERS_TOO_LARGE, "too many or too long response headers"
    return Failure.PROTOCOL, "the response is no valid HTTP/1.1"


def _reason(err: OSError, otherwise: str) -> str:
    """Return the system's word for `err`, without the address that it may name."""
    if isinstance(err, ssl.SSLError):
        return err.reason or otherwise
    return os.strerror(err.errno) if err.errno else otherwise
