"""Codes and messages for the ways in which an attempt can fail."""

import errno
import os
import re
import ssl
from enum import StrEnum
from scheduler_api.core.delivery.retry import BLOCKED, GROUP_MISSING
from scheduler_api.core.errors import SchedulerError
from scheduler_api.core.headers import BadHeader
from workers.http_client.errors import (
    OWN_ERRNOS,
    Blocked,
    ConnectionClosed,
    HeadTooLarge,
    IncompleteBody,
    LeaseLost,
    NoAddress,
    NotHttp,
    TlsExpected,
)
from workers.http_client.exchange import HttpExchange, Phase


class Failure(StrEnum):
    """Why an attempt has no response.

    Values are stored, so they must not change.
    """

    BAD_HEADER = "bad-header"
    BAD_URL = "bad-url"
    BLOCKED = BLOCKED
    CLOSED = "connection-closed"  # after the request was sent
    CONNECT = "connect"  # for a reason without a code of its own
    CONNECT_RESET = "connect-reset"
    CONNECT_TIMEOUT = "connect-timeout"
    DNS = "dns"
    DNS_TIMEOUT = "dns-timeout"
    GROUP_MISSING = GROUP_MISSING
    HEADERS_TOO_LARGE = "headers-too-large"
    LEASE_LOST = "lease-lost"
    PROTOCOL = "protocol"
    REFUSED = "refused"
    RESET = "reset"  # after the request was sent
    TIMEOUT = "timeout"  # of the response
    TLS = "tls"
    TLS_EXPECTED = "tls-expected"  # a request without TLS to a port with TLS
    TLS_EXPIRED = "tls-expired"
    TLS_HOST = "tls-host"
    TLS_PLAIN_PORT = "tls-plain-port"  # a request with TLS to a port without TLS
    TLS_TIMEOUT = "tls-timeout"
    TLS_UNTRUSTED = "tls-untrusted"
    TLS_VERSION = "tls-version"
    UNREACHABLE = "unreachable"
    WAIT_TIMEOUT = "wait-timeout"  # in the client, before it connects
    WORKER = "worker-resources"
    WRITE_TIMEOUT = "write-timeout"


# The origin cannot be reached: no request was sent.
ORIGIN_FAILURES = frozenset(
    (
        *(Failure.CONNECT, Failure.CONNECT_RESET, Failure.CONNECT_TIMEOUT),
        *(Failure.DNS, Failure.DNS_TIMEOUT, Failure.REFUSED, Failure.UNREACHABLE),
        *(Failure.TLS, Failure.TLS_EXPIRED, Failure.TLS_HOST, Failure.TLS_PLAIN_PORT),
        *(Failure.TLS_TIMEOUT, Failure.TLS_UNTRUSTED, Failure.TLS_VERSION),
    )
)
# There was no connection to the origin, for a reason that may be this machine's.
CONNECTION_FAILURES = frozenset(
    (
        *(Failure.CONNECT, Failure.CONNECT_RESET, Failure.CONNECT_TIMEOUT),
        *(Failure.DNS, Failure.DNS_TIMEOUT, Failure.REFUSED, Failure.UNREACHABLE),
        Failure.WORKER,
    )
)
# It cannot be told from the failure alone that the receiver, and not this machine, has
# caused it.
UNCERTAIN_FAILURES = CONNECTION_FAILURES | {
    *(Failure.CLOSED, Failure.RESET, Failure.TIMEOUT, Failure.WRITE_TIMEOUT),
    *(Failure.TLS, Failure.TLS_TIMEOUT, Failure.WAIT_TIMEOUT),
}
# The origin took the request, or a part of it, and did not respond properly.
ROUTE_FAILURES = frozenset(
    (
        *(Failure.CLOSED, Failure.PROTOCOL, Failure.RESET, Failure.TIMEOUT),
        *(Failure.TLS_EXPECTED, Failure.WRITE_TIMEOUT),
    )
)

_TIMEOUTS = {
    Phase.WAIT: (Failure.WAIT_TIMEOUT, "no connection was free"),
    Phase.RESOLVE: (Failure.DNS_TIMEOUT, "the name server did not answer"),
    Phase.CONNECT: (
        Failure.CONNECT_TIMEOUT,
        "the receiver did not accept a connection",
    ),
    Phase.TLS: (Failure.TLS_TIMEOUT, "the TLS handshake was not complete"),
    Phase.WRITE: (
        Failure.WRITE_TIMEOUT,
        "the receiver did not read the entire request",
    ),
    Phase.READ: (Failure.TIMEOUT, "the receiver did not answer"),
}
TIMEOUTS = frozenset(failure for failure, _ in _TIMEOUTS.values())

# In the order of significance, for a receiver with several addresses.
_ERRNO = {
    errno.ECONNREFUSED: (
        Failure.REFUSED,
        "the receiver refused the connection: no program listens on this port",
    ),
    **dict.fromkeys(
        (errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE),
        (Failure.CONNECT_RESET, "the receiver reset the connection"),
    ),
    # After the system's own number of attempts to connect.
    errno.ETIMEDOUT: _TIMEOUTS[Phase.CONNECT],
    **dict.fromkeys(
        OWN_ERRNOS, (Failure.WORKER, "the worker has no resources for a connection")
    ),
    **dict.fromkeys(
        (
            *(errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN),
            # No address of this machine can reach the receiver.
            errno.EADDRNOTAVAIL,
        ),
        (Failure.UNREACHABLE, "the receiver cannot be reached"),
    ),
}
_IN_MESSAGE = re.compile(r"\[Errno (\d+)\]")

# A server without TLS may close the connection when it gets something else than HTTP.
_IN_HANDSHAKE = "in the TLS handshake: does it use TLS on this port?"

# Codes whose message needs the system's own message.
_VAGUE = frozenset((Failure.CONNECT, Failure.UNREACHABLE, Failure.WORKER))

# OpenSSL's verify codes: 9 not yet valid, 10 expired, 62 other name, 64 other address.
_VERIFY_CODES = {
    9: Failure.TLS_EXPIRED,
    10: Failure.TLS_EXPIRED,
    62: Failure.TLS_HOST,
    64: Failure.TLS_HOST,
}
# OpenSSL's verify codes for an issuer that is unknown, or was not sent.
_NO_ISSUER = frozenset((20, 21))
# OpenSSL names the alerts of receivers after the version that has introduced them, such
# as SSLV3_ALERT_HANDSHAKE_FAILURE, whatever version is in use.
_ALERT = re.compile(r"(?:SSLV3|TLSV1|TLSV13)_(?:ALERT_)?(?=[A-Z])(\w+)")
_NO_CERTIFICATE = "does it require a client certificate? The scheduler has none"
_ALERT_HINTS = {
    "ACCESS_DENIED": _NO_CERTIFICATE,
    "BAD_CERTIFICATE": _NO_CERTIFICATE,
    "CERTIFICATE_REQUIRED": _NO_CERTIFICATE,
    "HANDSHAKE_FAILURE": (
        "there is no common cipher, or it requires a client certificate"
    ),
    "UNRECOGNIZED_NAME": "it has no certificate for this host name",
}
# OpenSSL's reasons for a version that one side does not have.
_VERSIONS = frozenset(
    (
        *("TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL"),
        *("UNSUPPORTED_SSL_VERSION", "WRONG_SSL_VERSION"),
    )
)
# OpenSSL's reasons for a first record that is not TLS.
_NOT_TLS = frozenset(
    (
        *("HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"),
        "WRONG_VERSION_NUMBER",
    )
)

_FIXED: dict[type[Exception], tuple[Failure, str]] = {
    LeaseLost: (
        Failure.LEASE_LOST,
        "the lease ended before the request was sent",
    ),
    HeadTooLarge: (
        Failure.HEADERS_TOO_LARGE,
        "the response headers are too many or too long",
    ),
    IncompleteBody: (
        Failure.PROTOCOL,
        "the connection ended before the response body was complete",
    ),
    TlsExpected: (
        Failure.TLS_EXPECTED,
        "the receiver expects TLS: use a URL that begins with https://",
    ),
}


# The message of the exception is the message of the failure.
_BY_MESSAGE: dict[type[Exception], Failure] = {
    NoAddress: Failure.DNS,
    NotHttp: Failure.PROTOCOL,
    Blocked: Failure.BLOCKED,
    BadHeader: Failure.BAD_HEADER,
    SchedulerError: Failure.BAD_URL,
}


def explain(err: Exception, exchange: HttpExchange) -> tuple[Failure, str]:
    """Return the code, and a message, for the error of an exchange.

    The message for `Failure.BLOCKED` is for operators only.
    """
    if exchange.refusal is not None:
        return Failure.BLOCKED, exchange.refusal
    fixed = _FIXED.get(type(err))
    if fixed is not None:
        return fixed
    if isinstance(err, ConnectionClosed):
        text = f"the receiver closed the connection {_without(exchange)}"
        return Failure.CLOSED, text
    if isinstance(err, TimeoutError):
        return _explain_timeout(exchange)
    code = next(
        (code for kind, code in _BY_MESSAGE.items() if isinstance(err, kind)), None
    )
    return (code, str(err)) if code else _explain_connection(err, exchange)


def _explain_connection(err: Exception, exchange: HttpExchange) -> tuple[Failure, str]:
    match err:
        case ssl.SSLCertVerificationError():
            return _explain_certificate(err)
        case ssl.SSLError():
            return _explain_tls(err, exchange)
    if exchange.dispatched:
        return _explain_loss(err, exchange)
    number = _errno(err)
    if number:
        return _explain_errno(number, exchange)
    if exchange.phase is Phase.TLS:
        return Failure.TLS, f"the receiver closed the connection {_IN_HANDSHAKE}"
    return Failure.CONNECT, "no address of the receiver accepted a connection"


def _explain_certificate(err: ssl.SSLCertVerificationError) -> tuple[Failure, str]:
    code = _VERIFY_CODES.get(err.verify_code, Failure.TLS_UNTRUSTED)
    text = f"the certificate is not accepted: {err.verify_message.rstrip('.')}"
    if err.verify_code in _NO_ISSUER:
        text += "; does the receiver send the entire chain?"
    return code, text


def _explain_errno(number: int, exchange: HttpExchange) -> tuple[Failure, str]:
    default = Failure.CONNECT, "no connection to the receiver"
    code, text = _ERRNO.get(number, default)
    if code in _VAGUE:
        return code, f"{text}: {os.strerror(number)}"
    if exchange.phase is Phase.TLS:
        return code, f"{text} {_IN_HANDSHAKE}"
    return code, text


def _errno(err: Exception) -> int:
    """Return the number of an error, or the most significant number in its message.

    The message contains several errors if the receiver has several addresses. It also
    contains the addresses, so it must not be shown.
    """
    if isinstance(err, OSError) and err.errno:
        return err.errno
    numbers = [int(found) for found in _IN_MESSAGE.findall(str(err))]
    return next((number for number in _ERRNO if number in numbers), 0)


def _explain_loss(err: Exception, exchange: HttpExchange) -> tuple[Failure, str]:
    """Explain an error after the request was sent."""
    if isinstance(err, ConnectionError):
        text = f"the receiver reset the connection {_without(exchange)}"
        return Failure.RESET, text
    return Failure.CLOSED, f"the connection was lost {_without(exchange)}"


def _without(exchange: HttpExchange) -> str:
    """Say how much of a response there was."""
    if exchange.first_byte_s:
        return "before the response head was complete"
    return "without a response"


def _explain_tls(err: ssl.SSLError, exchange: HttpExchange) -> tuple[Failure, str]:
    reason = err.reason or "unknown error"
    if reason in _NOT_TLS and not exchange.dispatched:
        text = "the receiver does not use TLS on this port: is it an http:// URL?"
        return Failure.TLS_PLAIN_PORT, text
    if reason in _VERSIONS:
        text = (
            "the receiver has no TLS version that the scheduler accepts (1.2 and later)"
        )
        return Failure.TLS_VERSION, text
    part = "connection" if exchange.dispatched else "handshake"
    alert = _ALERT.fullmatch(reason)
    if alert is None:
        return Failure.TLS, f"the TLS {part} failed: {_in_words(reason)}"
    text = f"the receiver ended the TLS {part} ({_in_words(alert[1])})"
    hint = _ALERT_HINTS.get(alert[1])
    return Failure.TLS, f"{text}: {hint}" if hint else text


def _in_words(reason: str) -> str:
    return reason.lower().replace("_", " ")


def _explain_timeout(exchange: HttpExchange) -> tuple[Failure, str]:
    code, text = _TIMEOUTS[exchange.phase]
    if exchange.has_head:
        text = "the response body was not complete"
    elif exchange.first_byte_s:
        text = "the response head was not complete"
    return code, f"{text} within {round(exchange.elapsed_s, 1):g} s"
