"""Which request headers a publisher may set, and what may stand in them."""

import re
from scheduler_api.core.errors import SchedulerError

# Framing, hop-by-hop and proxy headers: they describe our connection, not the event.
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

# What deliveries say about themselves, in every dialect.
EVENT_ID = "Scheduler-Event-Id"
ATTEMPT = "Scheduler-Attempt"
POSSIBLE_DUPLICATE = "Scheduler-Possible-Duplicate"
OURS = frozenset(name.lower() for name in (EVENT_ID, ATTEMPT, POSSIBLE_DUPLICATE))

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Everything outside printable latin-1, except the tab; 0x80-0x9f are controls too,
# but also the middle of UTF-8 that a server has read as latin-1.
_FORBIDDEN = re.compile(r"[^\t\x20-\x7e\x80-\xff]")


class BadHeader(SchedulerError, ValueError):
    """The header cannot be sent; the message names it and says why."""


def check_outbound(name: str, value: str) -> None:
    """Accept only a header that goes over the wire as one header.

    Raises:
        BadHeader: the name is no token, or the value has a line break, another
            control character, or a character outside latin-1.
    """
    if _TOKEN.fullmatch(name) is None:
        raise BadHeader(f"{name!r} is no header name: use letters, digits and '-'")
    found = _FORBIDDEN.search(value)
    if found is not None:
        raise BadHeader(
            f"header {name} has the character {found.group()!r} in its value: "
            "only printable latin-1 and tabs can be sent"
        )


def is_framing(name: str) -> bool:
    """Tell whether `name` describes our connection: only the sender writes it."""
    lowered = name.lower()
    return lowered in RESERVED or lowered.startswith(RESERVED_PREFIXES)


def is_reserved(name: str, prefixes: tuple[str, ...] = ()) -> bool:
    """Tell whether a publisher must not set `name`.

    Args:
        prefixes: in lower case, those of the headers that a dialect writes itself.
    """
    lowered = name.lower()
    return is_framing(name) or lowered in OURS or lowered.startswith(prefixes)
