"""Why attempts fail: a stable code and a sentence for each cause. Pure.

All dialects show the same codes and sentences, in lists of attempts, logs, dead letters
and callbacks.
"""

from contextlib import suppress
from http import HTTPStatus
from scheduler_api.core.delivery.retry import BLOCKED, END, EXHAUSTED, GROUP_MISSING
from scheduler_api.core.model import Attempt, AttemptKind
from typing import NamedTuple

DETAIL_MAX_BYTES = 512
INTERRUPTED, LATE = "interrupted", "late"
# A code is this prefix and a status, if the destination has answered.
ANSWERED = "http-"
UNDELIVERABLE, UNREADABLE = "undeliverable", "unreadable"
# The sentence for a code, if the attempt has no sentence of its own.
SENTENCES = {
    "bad-header": "a header of the request cannot be sent",
    "bad-url": "the URL of the destination is not valid",
    BLOCKED: "the scheduler does not send requests to this destination",
    "connect": "the connection to the destination failed",
    "connect-reset": "the receiver reset the connection before the request was sent",
    "connect-timeout": "the receiver did not accept a connection in time",
    "connection-closed": "the receiver closed the connection before it answered",
    "dns": "the host name of the destination has no address",
    "dns-timeout": "the name server did not answer in time",
    GROUP_MISSING: "the url group does not exist",
    "headers-too-large": "the response headers are too many or too long",
    INTERRUPTED: "the attempt was interrupted; the request may have arrived",
    LATE: "the response came after the attempt had been given up as interrupted",
    "lease-lost": "the attempt was given up before the request was sent",
    "protocol": "the response is not valid HTTP/1.1",
    "refused": "the receiver refused the connection",
    "reset": "the receiver reset the connection before it answered",
    "timeout": "the attempt took longer than its time limit",
    "tls": "the TLS handshake with the receiver failed",
    "tls-expected": "the receiver expects TLS: use a URL that begins with https://",
    "tls-expired": "the certificate of the receiver has expired or is not yet valid",
    "tls-host": "the certificate of the receiver is for another host name",
    "tls-plain-port": "the receiver does not use TLS on this port",
    "tls-timeout": "the TLS handshake with the receiver took too long",
    "tls-untrusted": "the certificate of the receiver is not trusted",
    "tls-version": "the receiver and the scheduler have no TLS version in common",
    UNDELIVERABLE: "the scheduler could not build the request",
    UNREADABLE: "the stored event cannot be read",
    "unreachable": "the receiver cannot be reached",
    "wait-timeout": "no connection to the receiver was free in time",
    "worker-resources": "the scheduler has no resources for a connection",
    "write-timeout": "the receiver did not read the entire request in time",
}
# Why no attempt follows the last one: the reason of a dead letter.
ENDS = {
    EXHAUSTED: "no retries were left",
    END: "its schedule ended before the next retry",
    "next": "the next fire time of its schedule came before the next retry",
    "poison": "too many attempts in a row were interrupted",
    BLOCKED: "a retry would have failed in the same way",
    GROUP_MISSING: "a retry would have failed in the same way",
}
# Codes whose details only operators may see: a detail names the address that a host
# name stands for.
PRIVATE = frozenset((BLOCKED,))
REDIRECTS = frozenset((301, 302, 303, 307, 308))


class Cause(NamedTuple):
    """Why an attempt failed: a stable code, and a sentence."""

    code: str
    sentence: str


def cause(status: int | None, error: str | None, detail: str) -> Cause | None:
    """Return the cause of a result; None for a status from 200 to 299 without an error.

    Args:
        error: the code of the failure; None if the receiver has answered.
        detail: a sentence about this failure; empty: use the sentence of the code.
    """
    if error is not None:
        return Cause(str(error), public_detail(error, detail) or _sentence(error))
    if status is None or 200 <= status < 300:
        return None
    return Cause(f"{ANSWERED}{status}", _answered(status))


def cause_of(attempt: Attempt) -> Cause | None:
    """Return why an attempt failed; None if it succeeded in time."""
    if attempt.kind is AttemptKind.INTERRUPTED:
        return Cause(INTERRUPTED, _sentence(INTERRUPTED))
    found = cause(attempt.status, attempt.error, attempt.detail)
    if found is None and attempt.kind is AttemptKind.LATE:
        return Cause(LATE, _sentence(LATE))
    return found


def end_of(reason: str) -> str:
    """Return why a dead letter has no further attempt, given its stored reason."""
    return ENDS.get(reason, reason)


def public_detail(error: str, detail: str) -> str:
    """Return the part of a detail that tenants may see, at most `DETAIL_MAX_BYTES`."""
    if error in PRIVATE:
        return ""
    start = detail.encode("utf-8", "replace")[:DETAIL_MAX_BYTES]
    return start.decode("utf-8", "ignore")


def sentence_of(code: str) -> str:
    """Return the sentence for the code of a cause."""
    status = code.removeprefix(ANSWERED)
    if status != code and status.isdigit():
        return _answered(int(status))
    return _sentence(code)


def _sentence(code: str) -> str:
    return SENTENCES.get(code, code)


def _answered(status: int) -> str:
    sentence = f"the destination answered {status}"
    with suppress(ValueError):
        sentence += f" ({HTTPStatus(status).phrase})"
    if status in REDIRECTS:
        sentence += "; redirects are not followed"
    return sentence
