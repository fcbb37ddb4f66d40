"""Decompresses response bodies, up to a limit of bytes.

The client asks for uncompressed responses, but some receivers compress all the same.
"""

import zlib
from collections.abc import Sequence
from typing import NamedTuple
from workers.http_client.response_head import RawHeaders

# How many codings, one inside the other, and how many parts of a gzip body are read.
# Parts may be empty, so the size of the body does not limit their number.
CODINGS_MAX = 4
PARTS_MAX = 100
# Decompressed at once. After an error, the result of the earlier pieces is kept.
PIECE_BYTES = 1024
GZIP = frozenset((b"gzip", b"x-gzip"))
_CODING = b"content-encoding"
_NAME_LENGTH = len(_CODING)
_COMPRESSED = frozenset((_CODING, b"content-length"))
# Values that some receivers send with an uncompressed body.
_PLAIN = frozenset((b"", b"identity", b"none", b"utf-8"))
_MAGIC = b"\x1f\x8b"
# Values of `wbits`: gzip, zlib, and deflate without the head of zlib.
_GZIP, _ZLIB, _RAW = 31, 15, -15


class Inflated(NamedTuple):
    """A body, or the part of it that could be read.

    Attributes:
        truncated: whether the body is longer than the limit.
        problem: why the body is incomplete; empty if it is complete.
    """

    body: bytes
    truncated: bool = False
    problem: str = ""


class CannotInflate(Exception):
    """The body cannot be decompressed; the message says why."""


def is_compressed(headers: RawHeaders) -> bool:
    """Whether a header says that the body is compressed, or encoded otherwise."""
    for name, _ in headers:
        # The length is compared first because that is faster.
        if len(name) == _NAME_LENGTH and name.lower() == _CODING:
            return True
    return False


def decoded_body(
    headers: RawHeaders, body: Inflated, cap_bytes: int
) -> tuple[RawHeaders, Inflated]:
    """Decompress a body; drop the headers that describe the compressed body.

    If it cannot be decompressed, both are returned as they are, with the problem.
    """
    codings = _codings(headers)
    if not codings:
        return headers, body
    try:
        found = inflate(body.body, codings, cap_bytes)
    except CannotInflate as err:
        return headers, body._replace(problem=body.problem or str(err))
    truncated = body.truncated or found.truncated
    # A body that the client itself has cut is not incomplete.
    problem = body.problem or ("" if truncated else found.problem)
    kept = [header for header in headers if header[0].lower() not in _COMPRESSED]
    return kept, Inflated(found.body, truncated, problem)


def _codings(headers: RawHeaders) -> list[bytes]:
    values = [value.lower() for name, value in headers if name.lower() == _CODING]
    codings = [part.strip() for value in values for part in value.split(b",")]
    return [coding for coding in codings if coding not in _PLAIN]


def inflate(body: bytes, codings: Sequence[bytes], cap_bytes: int) -> Inflated:
    """Decompress a body.

    Args:
        codings: in lower case, in the order in which they were applied.

    Raises: CannotInflate, if there is an unknown coding, or no byte can be read.
    """
    unknown = [coding for coding in codings if coding not in (*GZIP, b"deflate")]
    if unknown or len(codings) > CODINGS_MAX:
        names = b", ".join(unknown or codings).decode("latin-1")
        raise CannotInflate(f"the response body has an unknown coding: {names!a}")
    result = Inflated(body)
    for coding in reversed(codings):
        layer = _gunzip if coding in GZIP else _undo_deflate
        inflated = layer(result.body, cap_bytes)
        result = Inflated(
            inflated.body,
            truncated=result.truncated or inflated.truncated,
            problem=result.problem or inflated.problem,
        )
    return result


def _gunzip(body: bytes, cap_bytes: int) -> Inflated:
    """Decompress the parts of a gzip body; ignore other bytes after a part."""
    read = bytearray()
    for _ in range(PARTS_MAX):
        piece, rest = _inflate_part(body, _GZIP, cap_bytes - len(read))
        read += piece.body
        if piece.truncated or piece.problem:
            return Inflated(bytes(read), piece.truncated, piece.problem)
        if not rest.startswith(_MAGIC):
            return Inflated(bytes(read))
        body = rest
    return Inflated(bytes(read), problem="the response body has too many gzip parts")


def _undo_deflate(body: bytes, cap_bytes: int) -> Inflated:
    """Decompress a body that has, or has not, the head of zlib around deflate."""
    try:
        return _inflate_part(body, _ZLIB, cap_bytes)[0]
    except CannotInflate:
        return _inflate_part(body, _RAW, cap_bytes)[0]


def _inflate_part(body: bytes, wbits: int, cap_bytes: int) -> tuple[Inflated, bytes]:
    """Decompress one stream; return the result, and the bytes after the stream."""
    stream = zlib.decompressobj(wbits)
    read, at = bytearray(), 0
    problem = "the compressed response body is cut off"
    try:
        while at < len(body) and not stream.eof and len(read) <= cap_bytes:
            # One byte more than the limit shows that the body is longer.
            room = cap_bytes + 1 - len(read)
            read += stream.decompress(body[at : at + PIECE_BYTES], room)
            at += PIECE_BYTES
    except zlib.error as err:
        problem = f"the response body cannot be decompressed: {err}"
        if not read:
            raise CannotInflate(problem) from err
    if len(read) > cap_bytes:
        return Inflated(bytes(read[:cap_bytes]), truncated=True), b""
    if stream.eof:
        return Inflated(bytes(read)), stream.unused_data + body[at:]
    return Inflated(bytes(read), problem=problem), b""
