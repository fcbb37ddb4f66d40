"""Which of a publisher's headers go on to the destination.

What nobody may set is dropped, what cannot be sent is refused: neither is ever stored.
"""

from collections.abc import Iterable
from scheduler_api.core.headers import BadHeader, check_outbound, is_reserved
from scheduler_api.dialects.qstash.parsing.header_values import BadValue
from scheduler_api.dialects.qstash.parsing.message import Headers, canonical

HEADERS_MAX = 100
HEADERS_MAX_BYTES = 65_536
CONTENT_TYPE = "Content-Type"

# Every delivery writes these itself. The region chooses the keys that a receiver
# checks signatures with.
OWN = frozenset(
    {
        "user-agent",
        "upstash-caller-ip",
        "upstash-message-id",
        "upstash-region",
        "upstash-retried",
        "upstash-schedule-id",
        "upstash-signature",
        "upstash-topic-name",
    }
)
TELEMETRY = ("upstash-telemetry-",)
# Of a request that is passed on as a whole: credentials for this API, and what clients
# and proxies say about their connection to it.
NOT_PASSED_ON = frozenset(
    {
        "accept-encoding",
        "authorization",
        "content-type",
        "cookie",
        "forwarded",
        "via",
        "x-real-ip",
    }
)
NOT_PASSED_ON_PREFIXES = ("upstash-", "x-forwarded-")

_BLANKS = " \t"


def is_ours(name: str) -> bool:
    """Tell whether no publisher may set a header."""
    return name.lower() in OWN or is_reserved(name, TELEMETRY)


def checked(name: str, value: str, *, shown: str) -> tuple[str, str]:
    """A header for the destination, its name in canonical form.

    Args:
        shown: the name that the publisher wrote.

    Raises: BadValue.
    """
    value = value.strip(_BLANKS)
    try:
        check_outbound(name, value)
    except BadHeader as err:
        raise BadValue(canonical(shown), f"cannot be forwarded: {err}") from err
    return canonical(name), value


def passed_on(pairs: Iterable[tuple[str, str]]) -> Headers:
    """The headers of a request that go on although nothing is written before them.

    Raises: BadValue.
    """
    listed = list(pairs)
    hops = ",".join(value for name, value in listed if name.lower() == "connection")
    dropped = NOT_PASSED_ON.union(hop.strip(_BLANKS) for hop in hops.lower().split(","))
    return tuple(
        checked(name, value, shown=name)
        for name, value in listed
        if not is_ours(name)
        and name.lower() not in dropped
        and not name.lower().startswith(NOT_PASSED_ON_PREFIXES)
    )


def merged(base: Headers, forwarded: Headers) -> Headers:
    """Both, where a forwarded header replaces those of its name.

    Raises: BadValue, for more than is kept with a message.
    """
    names = {name for name, _ in forwarded}
    headers = (*(pair for pair in base if pair[0] not in names), *forwarded)
    size = sum(len(name) + len(value) for name, value in headers)
    if len(headers) > HEADERS_MAX or size > HEADERS_MAX_BYTES:
        limit = f"{HEADERS_MAX} headers and {HEADERS_MAX_BYTES} bytes"
        raise BadValue("Upstash-Forward-*", f"should be at most {limit} in all")
    return headers
