"""Says in words whether a request has the signature it needs, and what differs. Pure.

Each dialect has its own signature; this module has what they share.
"""

import base64
import binascii
import hmac
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from scheduler_api.core.timestamps import to_iso

DIGEST_BYTES = 32
# Larger bodies are not encoded again to find out how the signed body was written.
REENCODED_MAX_BYTES = 262_144
# How much of a value from the request a sentence quotes.
MAX_QUOTED = 300


class Part(StrEnum):
    """The part of a request in which a difference was found."""

    HEADER = "header"  # a header is missing
    FORMAT = "format"  # the signature is malformed
    ALGORITHM = "algorithm"
    KEY = "key"
    URL = "url"
    BODY = "body"
    TIME = "time"
    CLAIM = "claim"


@dataclass(frozen=True, slots=True)
class Received:
    """A request as a receiver got it; the names of headers are in lower case."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Key:
    """A key that a signature may have been made with.

    Attributes:
        name: what the key is, as in "the current key".
        ended_ms: the time from which on nothing is signed with it; None: no such time.
    """

    name: str
    secret: bytes = field(repr=False)
    ended_ms: int | None = None

    def signs(self, message: bytes, digest: bytes) -> bool:
        """Whether a digest is the HMAC-SHA256 of a message with this key.

        The time does not depend on where they differ.
        """
        expected = hmac.digest(self.secret, message, "sha256")
        return hmac.compare_digest(expected, digest)


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs, and a sentence about it."""

    part: Part
    sentence: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a verification: valid if there is no difference.

    `key` is the name of the secret that the signature was made with, if it was found.
    """

    differences: tuple[Difference, ...]
    key: str | None = None

    @property
    def is_valid(self) -> bool:
        """Whether a receiver with the secrets of the tenant accepts the request."""
        return not self.differences

    @property
    def sentences(self) -> list[str]:
        """Return the result in words."""
        if self.is_valid:
            return [f"The signature is valid; it was made with {self.key}."]
        return [difference.sentence for difference in self.differences]


def failed(part: Part, sentence: str) -> Verdict:
    """Return a verdict with a single difference, and without a key."""
    return Verdict((Difference(part, sentence),))


def missing(header: str) -> Verdict:
    """Return the verdict about a request without a header."""
    return failed(
        Part.HEADER,
        f"The request has no header {header}: it is no delivery, or something on the"
        " way has removed the header.",
    )


@dataclass(frozen=True, slots=True)
class Signed:
    """What a signature in headers was made of, but for the body.

    Attributes:
        prefix: the signed bytes before the body.
        digests: the signatures of the request; one that fits is enough.
        at_ms: when the request was signed.
        names: the headers in `prefix`, as in "the header X".
    """

    prefix: bytes
    digests: Sequence[bytes]
    at_ms: int
    names: str


def judge(
    body: bytes, signed: Signed, keys: Sequence[Key], *, now_ms: int, tolerance_ms: int
) -> Verdict:
    """Verify an HMAC over headers and body; list all differences.

    Args:
        tolerance_ms: how far the time of the signature may be from `now_ms`.
    """

    def signer(body: bytes) -> Key | None:
        message = signed.prefix + body
        pairs = ((key, digest) for key in keys for digest in signed.digests)
        return next((key for key, digest in pairs if key.signs(message, digest)), None)

    key, found = signer(body), list[Difference]()
    if key is None:
        changed = body_difference(body, lambda variant: signer(variant) is not None)
        found.append(changed or unknown_key(keys, f"the body or {signed.names}"))
    else:
        found += _ended(key, signed.at_ms)
    found += _off_by_too_much(signed.at_ms, now_ms, tolerance_ms=tolerance_ms)
    return Verdict(tuple(found), key.name if key else None)


def unknown_key(keys: Sequence[Key], changed: str) -> Difference:
    """Return that no key fits.

    Args:
        changed: what may have been changed instead.
    """
    names = " or ".join(key.name for key in keys if key.ended_ms is None)
    return Difference(
        Part.KEY,
        f"The signature was not made with {names or 'a known key'}: it was made with"
        f" another key, or {changed} was changed.",
    )


def _ended(key: Key, signed_ms: int) -> list[Difference]:
    """Return that a key had ended when it signed; nothing if it had not."""
    if key.ended_ms is None or signed_ms < key.ended_ms:
        return []
    return [
        Difference(
            Part.KEY,
            f"The signature was made with {key.name}, which ended at"
            f" {to_iso(key.ended_ms)}: receivers now refuse it.",
        )
    ]


def _off_by_too_much(
    signed_ms: int, now_ms: int, *, tolerance_ms: int
) -> list[Difference]:
    """Return that a request was signed too long ago, or in the future."""
    if abs(now_ms - signed_ms) <= tolerance_ms:
        return []
    allowed = f"receivers allow {seconds(tolerance_ms)}"
    if now_ms > signed_ms:
        sentence = (
            f"The request was signed {seconds(now_ms - signed_ms)} ago, {allowed}: it"
            " is old, or a clock is wrong."
        )
    else:
        sentence = (
            f"The request was signed {seconds(signed_ms - now_ms)} in the future,"
            f" {allowed}: a clock is wrong."
        )
    return [Difference(Part.TIME, sentence)]


def seconds(duration_ms: int) -> str:
    """Write a duration in seconds, with tenths if it is short."""
    if duration_ms < 10_000 and duration_ms % 1000:
        return f"{duration_ms / 1000:.1f} s"
    return f"{duration_ms // 1000} s"


def quoted(text: str) -> str:
    """Quote a value from a request; cut it if it is long."""
    if len(text) > MAX_QUOTED:
        return f"{text[:MAX_QUOTED]!r}…"
    return repr(text)


def read_digest(text: str, *, url_safe: bool = False) -> bytes | None:
    """Decode an HMAC-SHA256 in base64; None if it is malformed or has another length.

    Args:
        url_safe: whether it has the URL-safe alphabet, without padding.
    """
    raw = read_base64(text, url_safe=url_safe)
    return raw if raw is not None and len(raw) == DIGEST_BYTES else None


def read_base64(text: str, *, url_safe: bool = False) -> bytes | None:
    """Decode base64, URL-safe without padding or with it; None if it is malformed."""
    try:
        encoded = text.encode("ascii")
        if not url_safe:
            return base64.b64decode(encoded, validate=True)
        padded = encoded + b"=" * (-len(encoded) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None


def body_difference(
    body: bytes, is_signed: Callable[[bytes], bool], *, expected: str = ""
) -> Difference | None:
    """Return how a body was written when it was signed; None if that was not found.

    Frameworks that parse a body and write it again change its bytes.

    Args:
        is_signed: tells whether the signature fits a body.
        expected: more about the signed body, for the sentence.
    """
    for name, variant in _variants(body):
        if variant != body and is_signed(variant):
            return Difference(
                Part.BODY,
                f"The body was changed after it was signed: the signed one is {name}."
                f" Verify the bytes as they arrived.{expected}",
            )
    return None


def _variants(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Return other ways to write a body, each with its name."""
    yield "empty", b""
    yield "the same without the white space at its ends", body.strip()
    yield "the same with a line break at its end", body + b"\n"
    if len(body) > REENCODED_MAX_BYTES:
        return
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return
    if isinstance(value, str):
        yield "the text in the JSON string", value.encode("utf-8", "surrogatepass")
    compact, usual = (",", ":"), (", ", ": ")
    for name, separators, is_ascii, indent in (
        ("compact JSON, as JSON.stringify writes it", compact, False, None),
        ("compact JSON with escapes, as PHP writes it", compact, True, None),
        ("JSON as json.dumps of Python writes it", usual, True, None),
        ("JSON with blanks after , and :", usual, False, None),
        ("JSON indented by two blanks", (",", ": "), False, 2),
        ("JSON indented by four blanks", (",", ": "), False, 4),
    ):
        text = json.dumps(
            value, separators=separators, ensure_ascii=is_ascii, indent=indent
        )
        yield name, text.encode("utf-8", "surrogatepass")
