"""Which request headers a publisher may set, and which characters they may contain."""

import re
from scheduler_api.core.errors import SchedulerError

# Framing, hop-by-hop and proxy headers. They describe the connection, so publishers may
# not set them.
RESERVED = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
RESERVED_PREFIXES = ("proxy-",)

# Headers that every dialect adds to its deliveries.
EVENT_ID = "Scheduler-Event-Id"
ATTEMPT = "Scheduler-Attempt"
POSSIBLE_DUPLICATE = "Scheduler-Possible-Duplicate"
DELIVERY_HEADERS = frozenset(
    name.lower() for name in (EVENT_ID, ATTEMPT, POSSIBLE_DUPLICATE)
)

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# All characters except printable latin-1 and the tab. 0x80 to 0x9f are allowed although
# they are control characters, because UTF-8 text that a server decoded as latin-1
# contains them.
_FORBIDDEN = re.compile(r"[^\t\x20-\x7e\x80-\xff]")


class BadHeader(SchedulerError, ValueError):
    """The header cannot be sent; the message says which header and why."""


def check_outbound(name: str, value: str) -> None:
    """Check that a header can be sent, and that its value adds no further header.

    Raises:
        BadHeader: the name is not an HTTP token, or the value has a line break, another
            control character, or a character outside latin-1.
    """
    if _TOKEN.fullmatch(name) is None:
        raise BadHeader(f"{name!r} is not a header name: use letters, digits and '-'")
    found = _FORBIDDEN.search(value)
    if found is not None:
        raise BadHeader(
            f"header {name} has the character {found.group()!r} in its value: "
            "only printable latin-1 and tabs can be sent"
        )


def is_framing(name: str) -> bool:
    """Whether the header describes the connection: only the HTTP client may set it."""
    lowered = name.lower()
    return lowered in RESERVED or lowered.startswith(RESERVED_PREFIXES)


def is_reserved(name: str, prefixes: tuple[str, ...] = ()) -> bool:
    """Whether publishers must not set the header.

    Args:
        prefixes: prefixes, in lower case, of headers that the dialect itself sets.
    """
    lowered = name.lower()
    is_set_by_us = lowered in DELIVERY_HEADERS or lowered.startswith(prefixes)
    return is_framing(name) or is_set_by_us
