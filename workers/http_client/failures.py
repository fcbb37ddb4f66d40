"""Codes for the ways in which an attempt can fail."""

import os
import ssl
from enum import StrEnum
from scheduler_api.core.delivery.retry import BLOCKED, GROUP_MISSING
from scheduler_api.core.errors import SchedulerError
from scheduler_api.core.headers import BadHeader
from workers.http_client.connection import HttpExchange
from workers.http_client.errors import (
    Blocked,
    BodyTimeout,
    ConnectionClosed,
    HeadTooLarge,
    IncompleteBody,
    LeaseLost,
    NoAddress,
    NotHttp,
)


class Failure(StrEnum):
    """Why an attempt has no complete response.

    Values are stored, so they must not change.
    """

    BAD_HEADER = "bad-header"
    BAD_URL = "bad-url"
    BLOCKED = BLOCKED
    CLOSED = "connection-closed"
    CONNECT = "connect"
    DNS = "dns"
    GROUP_MISSING = GROUP_MISSING
    HEADERS_TOO_LARGE = "headers-too-large"
    LEASE_LOST = "lease-lost"
    PROTOCOL = "protocol"
    TIMEOUT = "timeout"
    TLS = "tls"
    TLS_EXPIRED = "tls-expired"
    TLS_HOST = "tls-host"
    TLS_UNTRUSTED = "tls-untrusted"


# OpenSSL's verify codes: 9 not yet valid, 10 expired, 62 other name, 64 other address.
_VERIFY_CODES = {
    9: Failure.TLS_EXPIRED,
    10: Failure.TLS_EXPIRED,
    62: Failure.TLS_HOST,
    64: Failure.TLS_HOST,
}

_FIXED: dict[type[Exception], tuple[Failure, str]] = {
    LeaseLost: (
        Failure.LEASE_LOST,
        "the lease ended before the request was sent",
    ),
    HeadTooLarge: (
        Failure.HEADERS_TOO_LARGE,
        "the response headers are too many or too long",
    ),
    NoAddress: (Failure.DNS, "the host name has no address"),
    ConnectionClosed: (Failure.CLOSED, "the receiver closed the connection"),
    BodyTimeout: (Failure.TIMEOUT, "the response body is not complete after 10 s"),
    IncompleteBody: (Failure.PROTOCOL, "the response body is incomplete"),
    NotHttp: (Failure.PROTOCOL, "the response is not valid HTTP/1.1"),
}


def explain(err: Exception, exchange: HttpExchange) -> tuple[Failure, str]:
    """Return the code, and a message for operators, for the error of an exchange."""
    if exchange.refusal is not None:
        return Failure.BLOCKED, exchange.refusal
    fixed = _FIXED.get(type(err))
    if fixed is not None:
        return fixed
    if isinstance(err, SchedulerError):
        return _explain_refusal(err)
    if isinstance(err, TimeoutError):
        return _explain_timeout(exchange)
    return _explain_connection(err, exchange)


def _explain_connection(err: Exception, exchange: HttpExchange) -> tuple[Failure, str]:
    match err:
        case ssl.SSLCertVerificationError():
            code = _VERIFY_CODES.get(err.verify_code, Failure.TLS_UNTRUSTED)
            return code, f"the certificate is not accepted: {err.verify_message}"
        case ssl.SSLError():
            return Failure.TLS, err.reason or "the TLS handshake failed"
    if exchange.dispatched:
        return Failure.CLOSED, "the connection was lost"
    return Failure.CONNECT, _system_message(err)


def _explain_refusal(err: SchedulerError) -> tuple[Failure, str]:
    if isinstance(err, Blocked):
        return Failure.BLOCKED, str(err)
    if isinstance(err, BadHeader):
        return Failure.BAD_HEADER, str(err)
    return Failure.BAD_URL, str(err)


def _explain_timeout(exchange: HttpExchange) -> tuple[Failure, str]:
    missing = "response body"
    if not exchange.has_head:
        missing = "response head" if exchange.dispatched else "connection"
    return Failure.TIMEOUT, f"{missing} not complete within the deadline"


def _system_message(err: Exception) -> str:
    """Return the operating system's message, without the address in `str(err)`."""
    if isinstance(err, OSError) and err.errno:
        return os.strerror(err.errno)
    return "no address answered"
