"""Which request headers a publisher may set, and what their values are.

The value of a header for a destination is a string with one character per byte: U+0000
to U+00FF, as WSGI passes headers on. So a delivery has the bytes of the publisher.
"""

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

_NOT_ALPHANUMERIC = re.compile(r"[^a-z0-9]")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# All characters except the tab, printable ASCII, and the bytes from 0x80 on.
_FORBIDDEN = re.compile(r"[^\t\x20-\x7e\x80-\xff]")


# Marks a stored value that is not UTF-8. No value contains this character.
_NOT_UTF8 = "\uffff"


class BadHeader(SchedulerError, ValueError):
    """The header cannot be sent; the message says which header and why."""


def check_outbound(name: str, value: str) -> None:
    """Check that a header can be sent, and that its value adds no further header.

    Raises:
        BadHeader: the name is not an HTTP token, or the value has a line break, another
            control character, or a character that is no byte.
    """
    if _TOKEN.fullmatch(name) is None:
        raise BadHeader(f"{name!r} is not a header name: use letters, digits and '-'")
    found = _FORBIDDEN.search(value)
    if found is not None:
        raise BadHeader(
            f"header {name} has the character {found.group()!r} in its value: "
            "control characters cannot be sent, and each character must be a byte"
        )


def comparable(name: str) -> str:
    """Return the same name for all names that a receiver may confuse.

    A CGI or WSGI program gets `X-Y` and `X_Y` as the same variable. For some servers,
    so are `X.Y` and all other separators.
    """
    return _NOT_ALPHANUMERIC.sub("-", name.lower())


def is_framing(name: str) -> bool:
    """Whether the header describes the connection: only the HTTP client may set it."""
    lowered = name.lower()
    return lowered in RESERVED or lowered.startswith(RESERVED_PREFIXES)


def is_reserved(name: str, prefixes: tuple[str, ...] = ()) -> bool:
    """Whether publishers must not set the header, nor one that is read like it.

    Args:
        prefixes: prefixes, in lower case, of headers that the dialect itself sets.
    """
    compared = comparable(name)
    is_set_by_us = compared in DELIVERY_HEADERS or compared.startswith(prefixes)
    return is_framing(compared) or is_set_by_us


def from_text(text: str) -> str:
    """Return the value for a text in JSON: latin-1 if it fits, else UTF-8.

    `fetch` of browsers and Node sends a text in a header as latin-1.
    """
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return _utf8(text)
    return text


def to_text(value: str) -> str:
    """Return a value as people read it: as UTF-8 if it is valid, else as latin-1."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def to_stored(value: str) -> str:
    """Return a value for the store."""
    return value if from_stored(value) == value else _NOT_UTF8 + value


def from_stored(stored: str) -> str:
    """Return a value from the store.

    Older versions stored a text without a mark, and sent it as UTF-8.
    """
    if stored.isascii():
        return stored
    if stored.startswith(_NOT_UTF8):
        return stored[1:]
    return _utf8(to_text(stored))


def _utf8(text: str) -> str:
    return text.encode().decode("latin-1")
