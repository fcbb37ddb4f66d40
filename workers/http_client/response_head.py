"""Reads the heads of responses that the strict parser refuses, and limits all heads.

llhttp reads nearly all responses. What it refuses is often an answer for other clients:
a folded header, a Content-Length given twice, a control character. `LenientHead` reads
what two of three widely used clients read; docs/responses.md compares them. A
connection whose head had to be read in this way must not be reused, because it is not
certain where the response ends.
"""

import re
from collections.abc import Iterable, Iterator
from scheduler_api.core.delivery.attempt_fields import TRUNCATED
from typing import NamedTuple
from workers.http_client.errors import HeadTooLarge, NotHttp, TlsExpected

RawHeaders = list[tuple[bytes, bytes]]

HEADERS_MAX = 1000
HEADER_MAX_BYTES = 64 * 1024
HEADERS_MAX_BYTES = 256 * 1024
# How much of a name or a value is kept, with the mark.
KEPT_BYTES = 8 * 1024
CUT_END = TRUNCATED.encode()
# A head that is not longer than this needs no check: a header takes at least 4 bytes.
UNCHECKED_BYTES = 4 * HEADERS_MAX
# How many bytes of a malformed response are quoted.
QUOTED_BYTES = 40
LENGTH_MAX_DIGITS = 18

_TLS_ALERT = b"\x15\x03"
_PREFIX = b"HTTP/"
_STATUS = re.compile(rb"HTTP/(?:0\.9|1\.[01]|2\.0) 0*([1-9][0-9]{2})(?: [^\n]*)?")
# Names of header lines may contain blanks; an empty name is ignored.
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z -]*")
_FORBIDDEN = re.compile(rb"[\x00\r]")


def limit_headers(headers: RawHeaders) -> RawHeaders:
    """Return headers with long names and values cut to `KEPT_BYTES`.

    Raises: HeadTooLarge.
    """
    sizes = [(len(name), len(value)) for name, value in headers]
    if len(sizes) > HEADERS_MAX or sum(map(sum, sizes)) > HEADERS_MAX_BYTES:
        raise HeadTooLarge
    if any(max(size) > HEADER_MAX_BYTES for size in sizes):
        raise HeadTooLarge
    return [(_cut(name), _cut(value)) for name, value in headers]


def _cut(raw: bytes) -> bytes:
    if len(raw) <= KEPT_BYTES:
        return raw
    start = raw[: KEPT_BYTES - len(CUT_END)]
    try:
        raw.decode()
    except UnicodeDecodeError:
        return start + CUT_END
    return start.decode(errors="ignore").encode() + CUT_END


class Head(NamedTuple):
    """A response head.

    Attributes:
        framing: the headers that say where the body ends, in their strict form.
        rest: the bytes after the head.
    """

    status: int
    headers: RawHeaders
    framing: RawHeaders
    rest: bytes

    def strict(self) -> bytes:
        """Return a head with the same framing that the strict parser accepts."""
        lines = [b"HTTP/1.1 %d " % self.status, b"Connection: close"]
        lines += [name + b": " + value for name, value in self.framing]
        return b"\r\n".join([*lines, b"", b""])


class LenientHead:
    """Read a response head piece by piece; skip interim responses.

    The time is linear in the number of bytes.
    """

    def __init__(self) -> None:
        self._raw = bytearray()
        self._start = 0  # of the current head
        self._searched = 0
        self.status: int | None = None

    def feed(self, data: bytes) -> Head | None:
        """Return the head once it is complete.

        Raises: NotHttp, TlsExpected.
        """
        self._raw += data
        while (end := self._find_end()) is not None:
            lines = bytes(self._raw[self._start : end]).split(b"\n")[1:]
            self._start = self._searched = end
            status, self.status = self.status, None
            if status is not None and (status >= 200 or status == 101):
                headers = list(_headers(lines))
                rest = bytes(self._raw[end:])
                return Head(status, headers, _framing(headers), rest)
        return None

    def _find_end(self) -> int | None:
        """Return the end of the current head; None if it is not complete."""
        if self.status is None and not self._read_status():
            return None
        ends = [
            found + len(end)
            for end in (b"\n\n", b"\n\r\n", b"\n\r\r\n")
            if (found := self._raw.find(end, self._searched)) >= 0
        ]
        self._searched = max(self._start, len(self._raw) - 3)
        return min(ends, default=None)

    def _read_status(self) -> bool:
        """Read the status line; return whether it is complete."""
        raw = self._raw
        while raw.startswith((b"\r", b"\n"), self._start):
            self._start += 1
        prefix = bytes(raw[self._start : self._start + len(_PREFIX)])
        if not _PREFIX.startswith(prefix):
            raise self._malformed()
        end = raw.find(b"\n", max(self._start, self._searched))
        self._searched = max(self._start, len(raw) - 1)
        if end < 0:
            return False
        line = bytes(raw[self._start : end]).removesuffix(b"\r")
        found = _STATUS.fullmatch(line)
        if found is None:
            raise self._malformed()
        self.status = int(found[1])
        self._searched = end
        return True

    def _malformed(self) -> Exception:
        start = bytes(self._raw[self._start : self._start + QUOTED_BYTES])
        if _TLS_ALERT.startswith(start[:2]):
            return TlsExpected()
        if start.startswith(_PREFIX):
            line = start.partition(b"\r")[0].partition(b"\n")[0]
            return NotHttp(f"the response has a malformed status line: {quote(line)}")
        return NotHttp(f"the response is not HTTP: {quote(start)}")


def quote(raw: bytes) -> str:
    """Return the start of a malformed text, for a message."""
    return ascii(raw[:QUOTED_BYTES].decode("latin-1"))


def _headers(lines: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Read header lines. A line that begins with a blank continues the last one.

    Raises: NotHttp.
    """
    for folded in _unfold(lines):
        name, colon, value = folded[0].partition(b":")
        name = name.rstrip(b" ")
        pieces = [value, *folded[1:]]
        value = b" ".join(piece.strip(b" \t") for piece in pieces).strip(b" ")
        if not colon or not _NAME.fullmatch(name) or _FORBIDDEN.search(value):
            raise NotHttp(f"the response has a malformed header: {quote(folded[0])}")
        if name:
            yield name, value


def _unfold(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Return each header line with the lines that continue it."""
    folded = list[bytes]()
    for line in lines:
        text = line.removesuffix(b"\r")
        if text[:1] in (b" ", b"\t"):
            if folded:
                folded.append(text)
        elif text not in (b"", b"\r"):
            if folded:
                yield folded
            folded = [text]
    if folded:
        yield folded


def _framing(headers: RawHeaders) -> RawHeaders:
    """Return the one header that says where the body ends, if there is one.

    A transfer coding has priority over a length. The lengths must agree in any case.

    Raises: NotHttp.
    """
    length = _length(_values(headers, b"content-length"))
    codings = _values(headers, b"transfer-encoding")
    if codings is not None:
        chunked = codings[-1:] == [b"chunked"]
        return [(b"Transfer-Encoding", b"chunked" if chunked else b"identity")]
    return [] if length is None else [(b"Content-Length", b"%d" % length)]


def _values(headers: RawHeaders, name: bytes) -> list[bytes] | None:
    """Return the members of a list, in lower case; None if there is no such header."""
    found = [value.lower() for key, value in headers if key.lower() == name]
    members = [part.strip(b" \t") for value in found for part in value.split(b",")]
    return [member for member in members if member] if found else None


def _length(values: list[bytes] | None) -> int | None:
    if values is None:
        return None
    if all(value.isdigit() and len(value) <= LENGTH_MAX_DIGITS for value in values):
        lengths = {int(value) for value in values}
        if len(lengths) == 1:
            return lengths.pop()
    raise NotHttp(f"the response has no valid length: {quote(b', '.join(values))}")
