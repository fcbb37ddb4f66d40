"""Selects and checks the publisher's headers that are forwarded to the destination.

Headers that publishers may not set are dropped. A header that is invalid in an HTTP
request is an error, so a stored message contains only headers that can be sent.
"""

from collections.abc import Iterable
from scheduler_api.core.headers import (
    BadHeader,
    check_outbound,
    comparable,
    is_reserved,
)
from scheduler_api.dialects.qstash.parsing.header_values import BadValue
from scheduler_api.dialects.qstash.parsing.message import Headers, canonical

HEADERS_MAX = 100
HEADERS_MAX_BYTES = 65_536
CONTENT_TYPE = "Content-Type"

# Headers that publishers may not set. The server sets these headers in deliveries,
# `upstash-region` if a setting says so: receivers choose their keys by it.
DELIVERY_HEADERS = frozenset(
    {
        "user-agent",
        "upstash-caller-ip",
        "upstash-flow-control-key",
        "upstash-flow-control-value",
        "upstash-max-retries",
        "upstash-message-id",
        "upstash-region",
        "upstash-retried",
        "upstash-retries",
        "upstash-retry-delay",
        "upstash-schedule-id",
        "upstash-signature",
        "upstash-topic-name",
    }
)
TELEMETRY = ("upstash-telemetry-",)
# `Upstash-Header-Forward` does not forward what is meant for this API: credentials, the
# tenant for which an operator acts, and headers about the connection. The content type
# is in this list too, because it is forwarded even without that header.
NOT_FORWARDED = frozenset(
    {
        "accept-encoding",
        "authorization",
        "content-type",
        "cookie",
        "forwarded",
        "scheduler-tenant",
        "via",
        "x-api-key",
        "x-real-ip",
    }
)
NOT_FORWARDED_PREFIXES = ("upstash-", "x-forwarded-")

_BLANKS = " \t"


def is_reserved_name(name: str) -> bool:
    """Tell whether publishers may not set a header."""
    return comparable(name) in DELIVERY_HEADERS or is_reserved(name, TELEMETRY)


def outbound_header(name: str, value: str, *, source_name: str) -> tuple[str, str]:
    """Check a header for the destination; return it with a canonical name.

    Args:
        source_name: the name of the publisher's header, for the error message.

    Raises: BadValue, if the header cannot be sent.
    """
    value = value.strip(_BLANKS)
    if len(value) > HEADERS_MAX_BYTES:
        fault = f"should have at most {HEADERS_MAX_BYTES} bytes"
        raise BadValue(canonical(source_name), fault)
    try:
        check_outbound(name, value)
    except BadHeader as err:
        raise BadValue(canonical(source_name), f"cannot be forwarded: {err}") from err
    return canonical(name), value


def forward_all(pairs: Iterable[tuple[str, str]]) -> Headers:
    """Return the headers that `Upstash-Header-Forward: true` forwards.

    Raises: BadValue.
    """
    headers = list(pairs)
    hops = ",".join(value for name, value in headers if name.lower() == "connection")
    dropped = NOT_FORWARDED.union(
        comparable(hop.strip(_BLANKS)) for hop in hops.split(",")
    )
    return tuple(
        outbound_header(name, value, source_name=name)
        for name, value in headers
        if not is_reserved_name(name)
        and comparable(name) not in dropped
        and not comparable(name).startswith(NOT_FORWARDED_PREFIXES)
    )


def merge(base: Headers, forwarded: Headers) -> Headers:
    """Combine headers; forwarded headers replace base headers of the same name.

    Raises: BadValue, if there are more headers than a message may have.
    """
    names = {name for name, _ in forwarded}
    headers = (*(pair for pair in base if pair[0] not in names), *forwarded)
    check_size(headers, "Upstash-Forward-*")
    return headers


def check_size(headers: Headers, name: str) -> None:
    """Refuse more headers than a message may have.

    Raises: BadValue, with `name` as the name of the value.
    """
    size = sum(len(name) + len(value) for name, value in headers)
    if len(headers) > HEADERS_MAX or size > HEADERS_MAX_BYTES:
        limit = f"{HEADERS_MAX} headers and {HEADERS_MAX_BYTES} bytes"
        raise BadValue(name, f"should be at most {limit} in all")
