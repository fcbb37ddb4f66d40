"""Decodes host names that clients have percent-encoded.

The SDKs put a destination such as `https://bücher.example/` into the path of a request,
where HTTP clients percent-encode all non-ASCII characters, also those of the host.
"""

import re
from unicodedata import normalize
from urllib.parse import unquote
from yarl import URL

_URL = re.compile(r"(https?://)([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_LABEL = re.compile(r"[a-z0-9_\-\x80-\U0010ffff]+")


def decode_host(url: str) -> str:
    """Return a URL with the escaped labels of its host in their IDNA form.

    A label is decoded only if it is an internationalized name: the escapes of any other
    character, such as of a slash, an at sign or a full-width digit, stay, and the URL
    is then refused for them.
    """
    found = _URL.fullmatch(url) if "%" in url else None
    if found is None or "%" not in found[2]:
        return url
    scheme, authority, rest = found.groups()
    return scheme + ".".join(map(_decode_label, authority.split("."))) + rest


def _decode_label(text: str) -> str:
    """Decode a label, which a port may follow."""
    label, colon, port = text.partition(":")
    if "%" not in label:
        return text
    try:
        name = normalize("NFC", unquote(label, errors="strict").lower())
        if not _is_international(name):
            return text
        encoded = URL.build(scheme="http", host=name).raw_host or ""
    except ValueError:
        return text
    is_label = encoded.startswith("xn--") and "." not in encoded
    return encoded + colon + port if is_label else text


def _is_international(name: str) -> bool:
    """Tell whether a label needs IDNA, and its characters stand only for themselves.

    Compatibility characters stand for others, for example full-width digits for digits.
    """
    return (
        _LABEL.fullmatch(name) is not None
        and not name.isascii()
        and normalize("NFKC", name) == name
    )
