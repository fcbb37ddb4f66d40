"""Tests of compressed responses to requests for uncompressed ones (S-13)."""

import gzip
import pytest
import random
import resource
import sys
import zlib
from dataclasses import replace
from tests.workers.http_client import hostile
from tests.workers.http_client.hostile import receiving
from tests.workers.http_client.sending import CAP_BYTES, new_client, post, run, send_to
from workers.http_client.client import Result

PLAIN = b'{"ok": true, "text": "' + b"a" * 3000 + b'"}'
GZIP = gzip.compress(PLAIN, mtime=0)


def raw_deflate(plain: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(plain) + stream.flush()


def response(coding: bytes, body: bytes, *, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = (
        b"HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n"
    )
    return head % (coding, size) + b"\r\n" + body


async def read(coding: bytes, body: bytes, *, length: int | None = None) -> Result:
    data = response(coding, body, length=length)
    return await send_to(hostile.answering_once(data, then_close=True))


@pytest.mark.parametrize(
    ("coding", "body", "plain"),
    [
        (b"gzip", GZIP, PLAIN),
        (b"GZIP", GZIP, PLAIN),
        (b"x-gzip", GZIP, PLAIN),
        (b"deflate", zlib.compress(PLAIN), PLAIN),
        (b"deflate", raw_deflate(PLAIN), PLAIN),
        (b"gzip", GZIP + GZIP, PLAIN + PLAIN),
        (b"gzip", GZIP + bytes(9), PLAIN),
        (b"gzip, gzip", gzip.compress(GZIP), PLAIN),
        (b"deflate, gzip", gzip.compress(zlib.compress(PLAIN)), PLAIN),
        (b"identity, gzip", GZIP, PLAIN),
        (b"gzip", gzip.compress(b""), b""),
    ],
    ids=[
        *("gzip", "upper-case", "x-gzip", "zlib", "raw", "two-parts", "padding"),
        *("twice", "two-codings", "identity", "empty"),
    ],
)
def test_a_compressed_response_is_decompressed(
    coding: bytes, body: bytes, plain: bytes
) -> None:
    async def main() -> None:
        result = await read(coding, body)

        assert result.body == plain
        assert result.headers == (("X-A", "b"),)
        assert (result.status, result.error, result.detail) == (200, None, "")
        assert not (result.body_incomplete or result.body_truncated)

    run(main())


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (b"br", b"\x8b\x05\x80packed\x03"),
        (b"gzip, x-pack", b"packed"),
        (b"gzip", PLAIN),
        (b"deflate", b"\xff" + PLAIN),
        (b"gzip, gzip, gzip, gzip, gzip", GZIP),
    ],
    ids=["br", "unknown", "plain", "plain-deflate", "many"],
)
def test_what_cannot_be_decompressed_is_kept_and_marked(
    coding: bytes, body: bytes
) -> None:
    async def main() -> None:
        result = await read(coding, body)

        assert result.body == body
        assert ("Content-Encoding", coding.decode()) in result.headers
        assert (result.status, result.error, result.body_incomplete) == (
            200,
            None,
            True,
        )
        assert result.detail

    run(main())


@pytest.mark.parametrize("value", [b"identity", b"none", b"UTF-8", b""])
def test_a_coding_that_changes_nothing_is_ignored(value: bytes) -> None:
    async def main() -> None:
        result = await read(value, PLAIN)

        assert (result.body, result.body_incomplete) == (PLAIN, False)
        assert ("Content-Encoding", value.decode()) in result.headers

    run(main())


def test_what_can_be_read_of_a_cut_body_is_kept() -> None:
    noise = gzip.compress(random.Random(1).randbytes(9000))

    async def main() -> None:
        cut = await read(b"gzip", noise[:5000], length=len(noise))
        closed = await read(b"gzip", noise[:5000])
        broken = await read(b"gzip", noise[:-8] + bytes(8))

        for result in (cut, closed, broken):
            assert random.Random(1).randbytes(9000).startswith(result.body)
            assert len(result.body) > 3000
            assert (result.body_incomplete, result.body_truncated) == (True, False)
            assert result.headers == (("X-A", "b"),)

    run(main())


@pytest.mark.parametrize("over", [-1, 0, 1, 10_000])
@pytest.mark.parametrize("coding", [b"gzip", b"deflate"])
def test_s13_a_body_is_decompressed_up_to_the_cap(coding: bytes, over: int) -> None:
    plain = bytes(CAP_BYTES + over)
    body = gzip.compress(plain) if coding == b"gzip" else zlib.compress(plain)

    async def main() -> None:
        result = await read(coding, body)

        assert result.body == plain[:CAP_BYTES]
        assert (result.body_truncated, result.body_incomplete) == (over > 0, False)

    run(main())


def bombs() -> dict[str, tuple[bytes, bytes]]:
    zeros = bytes(16 * 2**20)
    once = gzip.compress(zeros, 1)
    return {
        "gzip": (b"gzip", once),
        "deflate": (b"deflate", zlib.compress(zeros, 1)),
        "raw": (b"deflate", raw_deflate(zeros)),
        "nested": (b"gzip, gzip", gzip.compress(once)),
        "parts": (b"gzip", gzip.compress(b"") * 4000),
        "parts-with-zeros": (b"gzip", gzip.compress(bytes(2**20), 1) * 60),
    }


def test_s13_a_bomb_takes_no_memory() -> None:
    unit = 1 if sys.platform == "darwin" else 1024

    async def main() -> None:
        for coding, body in bombs().values():
            behave = hostile.answering(response(coding, body))
            async with receiving(behave) as receiver, new_client() as client:
                request = replace(post(receiver.url()), response_cap_bytes=2**20)
                await client.send(request)
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                result = await client.send(request)
                after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

            assert (result.status, result.error) == (200, None)
            assert result.body_truncated or result.body_incomplete
            assert len(result.body) <= 2**20
            assert (after - before) * unit < 5 * 2**20

    run(main())
