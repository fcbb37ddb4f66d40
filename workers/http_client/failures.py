"""Puts a name to each way in which sending can fail."""

import os
import ssl
from enum import StrEnum
from scheduler_api.core.errors import SchedulerError
from scheduler_api.core.headers import BadHeader
from scheduler_api.core.tenants.url_groups import GROUP_MISSING
from workers.http_client.connection import HttpExchange
from workers.http_client.errors import (
    Blocked,
    BrokenOff,
    ConnectionGone,
    HeadTooLarge,
    LeaseLost,
    NoAddress,
    NotHttp,
)


class Failure(StrEnum):
    """Why an attempt has no complete response; the values are stable."""

    BAD_HEADER = "bad-header"
    BAD_URL = "bad-url"
    BLOCKED = "blocked"
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


# OpenSSL's verdicts: 10 expired, 9 not yet valid; 62 and 64 another name or address.
_VERDICTS = {
    9: Failure.TLS_EXPIRED,
    10: Failure.TLS_EXPIRED,
    62: Failure.TLS_HOST,
    64: Failure.TLS_HOST,
}

_FIXED: dict[type[Exception], tuple[Failure, str]] = {
    LeaseLost: (
        Failure.LEASE_LOST,
        "the lease ended before the request was written",
    ),
    HeadTooLarge: (
        Failure.HEADERS_TOO_LARGE,
        "too many, too long or endless response headers",
    ),
    NoAddress: (Failure.DNS, "the host name has no address"),
    ConnectionGone: (Failure.CLOSED, "the receiver closed the connection"),
    BrokenOff: (Failure.PROTOCOL, "the response body is broken off"),
    NotHttp: (Failure.PROTOCOL, "the response is no valid HTTP/1.1"),
}


def explain(err: Exception, exchange: HttpExchange) -> tuple[Failure, str]:
    """Return the code and the operator's text for what ended `exchange`."""
    if exchange.refusal is not None:
        return Failure.BLOCKED, exchange.refusal
    fixed = _FIXED.get(type(err))
    if fixed is not None:
        return fixed
    if isinstance(err, SchedulerError):
        return _explain_own(err)
    if isinstance(err, TimeoutError):
        return _explain_timeout(exchange)
    return _explain_connection(err, exchange)


def _explain_connection(err: Exception, exchange: HttpExchange) -> tuple[Failure, str]:
    match err:
        case ssl.SSLCertVerificationError():
            code = _VERDICTS.get(err.verify_code, Failure.TLS_UNTRUSTED)
            return code, f"the certificate is refused: {err.verify_message}"
        case ssl.SSLError():
            return Failure.TLS, err.reason or "the TLS handshake failed"
    if exchange.dispatched:
        return Failure.CLOSED, "the connection broke"
    return Failure.CONNECT, _reason(err)


def _explain_own(err: SchedulerError) -> tuple[Failure, str]:
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


def _reason(err: Exception) -> str:
    """Return the system's word for `err`, without the address that it may name."""
    if isinstance(err, OSError) and err.errno:
        return os.strerror(err.errno)
    return "no address answered"
