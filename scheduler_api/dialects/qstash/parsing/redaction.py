"""What of a message is shown as a mark only; its destination gets the original.

The mark of a value is keyed: a plain hash of a short value could be found by trying.
Equal values of one tenant have equal marks.

Source: https://upstash.com/docs/qstash/features/redaction
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass

PREFIX = "REDACTED:"

_PURPOSE = "scheduler_api redaction 1"


@dataclass(frozen=True)
class Redaction:
    """What is hidden: the body, all headers, or some by name (in lower case)."""

    body: bool = False
    all_headers: bool = False
    headers: tuple[str, ...] = ()

    def hides_header(self, name: str) -> bool:
        """Tell whether a header's value is hidden."""
        return self.all_headers or name.lower() in self.headers

    def shown_body(self, body: bytes, *, key: bytes) -> bytes:
        """The body, or its mark; nothing is shown of an empty one either way."""
        return mark(body, key=key).encode() if self.body and body else body

    def shown_headers(
        self, headers: Iterable[tuple[str, str]], *, key: bytes
    ) -> tuple[tuple[str, str], ...]:
        """The headers, with marks for the values that are hidden."""
        return tuple(
            (name, mark(value.encode(), key=key) if self.hides_header(name) else value)
            for name, value in headers
        )


NOTHING_HIDDEN = Redaction()


def key_of(tenant: str, *, secret_key: str) -> bytes:
    """The key of a tenant's marks; it lasts as long as the installation's secret."""
    context = f"{_PURPOSE} {tenant}".encode()
    return hmac.digest(secret_key.encode(), context, hashlib.sha256)


def mark(value: bytes, *, key: bytes) -> str:
    """`REDACTED:` and 64 hexadecimal digits that stand for a value."""
    return PREFIX + hmac.digest(key, value, hashlib.sha256).hex()
