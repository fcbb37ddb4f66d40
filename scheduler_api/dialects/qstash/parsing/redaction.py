"""Hides values in API answers and logs; the destination still gets the values.

A placeholder replaces each hidden value. The placeholder is a keyed hash, because a
plain hash of a short value could be reversed by trying all short values. Equal values
of one tenant have equal placeholders.

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
    """What to hide: the body, all headers, or the listed headers, in lower case."""

    body: bool = False
    all_headers: bool = False
    headers: tuple[str, ...] = ()

    def hides_header(self, name: str) -> bool:
        """Tell whether a header's value is hidden."""
        return self.all_headers or name.lower() in self.headers

    def redact_body(self, body: bytes, *, key: bytes) -> bytes:
        """Return the body, or a placeholder if the body is hidden and not empty."""
        return placeholder(body, key=key).encode() if self.body and body else body

    def redact_headers(
        self, headers: Iterable[tuple[str, str]], *, key: bytes
    ) -> tuple[tuple[str, str], ...]:
        """Return the headers, with placeholders for hidden values."""
        return tuple(
            (
                name,
                placeholder(value.encode(), key=key)
                if self.hides_header(name)
                else value,
            )
            for name, value in headers
        )


NOTHING_HIDDEN = Redaction()


def key_of(tenant: str, *, secret_key: str) -> bytes:
    """Return a tenant's redaction key, derived from the installation's secret key."""
    context = f"{_PURPOSE} {tenant}".encode()
    return hmac.digest(secret_key.encode(), context, hashlib.sha256)


def placeholder(value: bytes, *, key: bytes) -> str:
    """Return `REDACTED:` and the HMAC-SHA256 of a value, in hexadecimal."""
    return PREFIX + hmac.digest(key, value, hashlib.sha256).hex()
