"""Shapes of responses: what servers and proxies send, in good and in bad form.

The tables below are combined into bytes by `all_shapes`.
"""

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

OK = b"HTTP/1.1 200 OK\r\n"
TWO = b"Content-Length: 2\r\n"


@dataclass(frozen=True)
class Shape:
    """The bytes of a response.

    Attributes:
        group: what the shape varies.
        name: what is special about the shape.
        ends: whether the receiver closes the connection after the response.
    """

    group: str
    name: str
    data: bytes
    ends: bool = False
    method: str = "POST"


STATUS_LINES = {
    "no reason": b"HTTP/1.1 200\r\n",
    "no reason, but a blank": b"HTTP/1.1 200 \r\n",
    "two blanks before the status": b"HTTP/1.1  200 OK\r\n",
    "tab before the status": b"HTTP/1.1\t200 OK\r\n",
    "two blanks before the reason": b"HTTP/1.1 200  OK\r\n",
    "tab before the reason": b"HTTP/1.1 200\tOK\r\n",
    "blank before the line": b" HTTP/1.1 200 OK\r\n",
    "empty line before": b"\r\nHTTP/1.1 200 OK\r\n",
    "empty lines before": b"\r\n\r\n\r\nHTTP/1.1 200 OK\r\n",
    "bare LF before": b"\nHTTP/1.1 200 OK\r\n",
    "bare CR before": b"\rHTTP/1.1 200 OK\r\n",
    "text before": b"x\r\nHTTP/1.1 200 OK\r\n",
    "byte order mark before": b"\xef\xbb\xbfHTTP/1.1 200 OK\r\n",
    "UTF-8 reason": "HTTP/1.1 200 Très bien\r\n".encode(),
    "latin-1 reason": "HTTP/1.1 200 Très bien\r\n".encode("latin-1"),
    "control character in the reason": b"HTTP/1.1 200 O\x01K\r\n",
    "NUL in the reason": b"HTTP/1.1 200 O\x00K\r\n",
    "DEL in the reason": b"HTTP/1.1 200 O\x7fK\r\n",
    "bare CR in the reason": b"HTTP/1.1 200 O\rK\r\n",
    "colon in the reason": b"HTTP/1.1 200 OK: fine\r\n",
    "blank after the reason": b"HTTP/1.1 200 OK \r\n",
    "status 2 digits": b"HTTP/1.1 20 OK\r\n",
    "status 4 digits": b"HTTP/1.1 2000 OK\r\n",
    "status 1 digit": b"HTTP/1.1 2 OK\r\n",
    "status 0200": b"HTTP/1.1 0200 OK\r\n",
    "status -200": b"HTTP/1.1 -200 OK\r\n",
    "status +200": b"HTTP/1.1 +200 OK\r\n",
    "status 20x": b"HTTP/1.1 20x OK\r\n",
    "status x00": b"HTTP/1.1 x00 OK\r\n",
    "status 2_0": b"HTTP/1.1 2_0 OK\r\n",
    "status 200.0": b"HTTP/1.1 200.0 OK\r\n",
    "status without a blank": b"HTTP/1.1 200OK\r\n",
    "no status": b"HTTP/1.1 \r\n",
    "no status, no blank": b"HTTP/1.1\r\n",
    "only a reason": b"HTTP/1.1 OK\r\n",
    "empty line": b"\r\n",
    "fullwidth digits": "HTTP/1.1 \uff12\uff10\uff10 OK\r\n".encode(),
}
VERSIONS = {
    "HTTP/1.0": b"HTTP/1.0",
    "HTTP/0.9": b"HTTP/0.9",
    "HTTP/1.2": b"HTTP/1.2",
    "HTTP/1.9": b"HTTP/1.9",
    "HTTP/2": b"HTTP/2",
    "HTTP/2.0": b"HTTP/2.0",
    "HTTP/3.0": b"HTTP/3.0",
    "HTTP/9.9": b"HTTP/9.9",
    "HTTP/1": b"HTTP/1",
    "HTTP/1.": b"HTTP/1.",
    "HTTP/1.10": b"HTTP/1.10",
    "HTTP/01.1": b"HTTP/01.1",
    "HTTP/1,1": b"HTTP/1,1",
    "HTTP/x.y": b"HTTP/x.y",
    "http/1.1": b"http/1.1",
    "Http/1.1": b"Http/1.1",
    "HTTP 1.1": b"HTTP 1.1",
    "HTTP/ 1.1": b"HTTP/ 1.1",
    "HTTP": b"HTTP",
    "HTTPS/1.1": b"HTTPS/1.1",
    "HTTP/1.1.1": b"HTTP/1.1.1",
    "ICY": b"ICY",
    "RTSP/1.0": b"RTSP/1.0",
    "SIP/2.0": b"SIP/2.0",
    "XHTTP/1.1": b"XHTTP/1.1",
}
STATUSES = (
    *(199, 201, 202, 203, 205, 206, 207, 226, 299, 300, 301, 302, 304, 305, 307, 308),
    *(399, 400, 401, 407, 408, 421, 426, 429, 431, 451, 489, 499, 500, 503, 511, 599),
    *(600, 799, 900, 999),
)
LENGTHS = {
    "twice the same": TWO + TWO,
    "three times the same": TWO + TWO + TWO,
    "twice the same, not adjacent": TWO + b"X-A: b\r\n" + TWO,
    "twice the same, other case": TWO + b"CONTENT-LENGTH: 2\r\n",
    "list '2, 2'": b"Content-Length: 2, 2\r\n",
    "list '2,2'": b"Content-Length: 2,2\r\n",
    "list '2, 2, 2'": b"Content-Length: 2, 2, 2\r\n",
    "list '2 , 2'": b"Content-Length: 2 , 2\r\n",
    "list '2,'": b"Content-Length: 2,\r\n",
    "list ',2'": b"Content-Length: ,2\r\n",
    "list and the same": b"Content-Length: 2, 2\r\n" + TWO,
    "2 and 3": TWO + b"Content-Length: 3\r\n",
    "3 and 2": b"Content-Length: 3\r\n" + TWO,
    "list '2, 3'": b"Content-Length: 2, 3\r\n",
    "2 and 02": TWO + b"Content-Length: 02\r\n",
    "2 and 0": TWO + b"Content-Length: 0\r\n",
    "2 and empty": TWO + b"Content-Length:\r\n",
    "02": b"Content-Length: 02\r\n",
    "000000000000000000002": b"Content-Length: 000000000000000000002\r\n",
    "+2": b"Content-Length: +2\r\n",
    "-2": b"Content-Length: -2\r\n",
    "2.0": b"Content-Length: 2.0\r\n",
    "2e0": b"Content-Length: 2e0\r\n",
    "0x2": b"Content-Length: 0x2\r\n",
    "2;": b"Content-Length: 2;\r\n",
    "'2 2'": b"Content-Length: 2 2\r\n",
    "'\"2\"'": b'Content-Length: "2"\r\n',
    "two": b"Content-Length: two\r\n",
    "2_0": b"Content-Length: 2_0\r\n",
    "fullwidth": "Content-Length: \uff12\r\n".encode(),
    "empty": b"Content-Length:\r\n",
    "blank": b"Content-Length: \r\n",
    "no blank": b"Content-Length:2\r\n",
    "blank before the colon": b"Content-Length : 2\r\n",
    "tab before the value": b"Content-Length:\t2\r\n",
    "many blanks": b"Content-Length:    2   \r\n",
    "folded": b"Content-Length:\r\n 2\r\n",
    "20 digits": b"Content-Length: 18446744073709551618\r\n",
    "40 digits": b"Content-Length: " + b"9" * 40 + b"\r\n",
    "longer than the body": b"Content-Length: 5\r\n",
    "shorter than the body": b"Content-Length: 1\r\n",
    "0 and a body": b"Content-Length: 0\r\n",
    "none": b"",
    "underscore name": b"Content_Length: 2\r\n",
}
CHUNKED = b"Transfer-Encoding: chunked\r\n"
BODY = b"2\r\nok\r\n0\r\n\r\n"
CODINGS = {
    "chunked": CHUNKED,
    "Chunked": b"Transfer-Encoding: Chunked\r\n",
    "CHUNKED": b"TRANSFER-ENCODING: CHUNKED\r\n",
    "twice": CHUNKED + CHUNKED,
    "list 'chunked, chunked'": b"Transfer-Encoding: chunked, chunked\r\n",
    "with the same length": CHUNKED + b"Content-Length: 12\r\n",
    "after a length": b"Content-Length: 2\r\n" + CHUNKED,
    "before a length": CHUNKED + b"Content-Length: 2\r\n",
    "with two lengths": CHUNKED + TWO + TWO,
    "with lengths that differ": CHUNKED + TWO + b"Content-Length: 3\r\n",
    "with a bad length": CHUNKED + b"Content-Length: x\r\n",
    "identity, then chunked": b"Transfer-Encoding: identity, chunked\r\n",
    "chunked, then identity": b"Transfer-Encoding: chunked, identity\r\n",
    "gzip, then chunked": b"Transfer-Encoding: gzip, chunked\r\n",
    "two headers: gzip, chunked": b"Transfer-Encoding: gzip\r\n" + CHUNKED,
    "two headers: chunked, gzip": CHUNKED + b"Transfer-Encoding: gzip\r\n",
    "quoted": b'Transfer-Encoding: "chunked"\r\n',
    "with a parameter": b"Transfer-Encoding: chunked;a=b\r\n",
    "with a comma": b"Transfer-Encoding: chunked,\r\n",
    "with a leading comma": b"Transfer-Encoding: ,chunked\r\n",
    "blank before the colon": b"Transfer-Encoding : chunked\r\n",
    "vertical tab": b"Transfer-Encoding: \x0bchunked\r\n",
    "tab": b"Transfer-Encoding:\tchunked\r\n",
    "trailing blanks": b"Transfer-Encoding: chunked  \r\n",
    "folded": b"Transfer-Encoding:\r\n chunked\r\n",
    "misspelt": b"Transfer-Encoding: xchunked\r\n",
    "misspelt too": b"Transfer-Encoding: chunkedx\r\n",
    "underscore name": b"Transfer_Encoding: chunked\r\n",
}
CHUNKS = {
    "two chunks": b"1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
    "extension": b"2;a=b\r\nok\r\n0\r\n\r\n",
    "extension without a value": b"2;a\r\nok\r\n0\r\n\r\n",
    "quoted extension": b'2;a="b;c"\r\nok\r\n0\r\n\r\n',
    "empty extension": b"2;\r\nok\r\n0\r\n\r\n",
    "blank before the extension": b"2 ;a=b\r\nok\r\n0\r\n\r\n",
    "control character in the extension": b"2;a=\x01\r\nok\r\n0\r\n\r\n",
    "extension of 10 KB": b"2;a=" + b"b" * 10_000 + b"\r\nok\r\n0\r\n\r\n",
    "blanks after the size": b"2  \r\nok\r\n0\r\n\r\n",
    "blank before the size": b" 2\r\nok\r\n0\r\n\r\n",
    "tab after the size": b"2\t\r\nok\r\n0\r\n\r\n",
    "leading zeros": b"0002\r\nok\r\n0\r\n\r\n",
    "many leading zeros": b"0" * 30 + b"2\r\nok\r\n0\r\n\r\n",
    "many zeros at the end": b"2\r\nok\r\n0000\r\n\r\n",
    "0x prefix": b"0x2\r\nok\r\n0\r\n\r\n",
    "plus sign": b"+2\r\nok\r\n0\r\n\r\n",
    "minus sign": b"-2\r\nok\r\n0\r\n\r\n",
    "underscore": b"0_2\r\nok\r\n0\r\n\r\n",
    "capital digit": b"A\r\n0123456789\r\n0\r\n\r\n",
    "small digit": b"a\r\n0123456789\r\n0\r\n\r\n",
    "bare LF after sizes": b"2\nok\r\n0\n\r\n",
    "bare LF after data": b"2\r\nok\n0\r\n\r\n",
    "bare LF everywhere": b"2\nok\n0\n\n",
    "bare CR after sizes": b"2\rok\r\n0\r\r\n",
    "nothing after data": b"2\r\nok0\r\n\r\n",
    "empty size": b"\r\nok\r\n0\r\n\r\n",
    "no hexadecimal digit": b"x\r\nok\r\n0\r\n\r\n",
    "data longer than the size": b"1\r\nok\r\n0\r\n\r\n",
    "data shorter than the size": b"3\r\nok\r\n0\r\n\r\n",
    "17 digits": b"1" + b"0" * 16 + b"\r\nok\r\n0\r\n\r\n",
    "only an end": b"0\r\n\r\n",
    "trailer": b"2\r\nok\r\n0\r\nX-T: 1\r\n\r\n",
    "bad trailer": b"2\r\nok\r\n0\r\nX T 1\r\n\r\n",
    "folded trailer": b"2\r\nok\r\n0\r\nX-T: 1\r\n 2\r\n\r\n",
    "length as a trailer": b"2\r\nok\r\n0\r\nContent-Length: 9\r\n\r\n",
    "no empty line at the end": b"2\r\nok\r\n0\r\n",
    "no end": b"2\r\nok\r\n",
    "cut in a chunk": b"5\r\nok",
    "cut in a size": b"2\r\nok\r\n",
    "no chunks at all": b"ok",
    "nothing": b"",
    "data after the end": b"2\r\nok\r\n0\r\n\r\nmore",
}
LINES = {
    "folded with a blank": b"X-A: b\r\n c\r\n",
    "folded with blanks": b"X-A: b\r\n    c\r\n",
    "folded with a tab": b"X-A: b\r\n\tc\r\n",
    "folded twice": b"X-A: b\r\n c\r\n d\r\n",
    "folded after an empty value": b"X-A:\r\n b\r\n",
    "folded with a colon": b"X-A: b\r\n c: d\r\n",
    "folded, then nothing": b"X-A: b\r\n \r\n",
    "folded cookie": b"Set-Cookie: a=b;\r\n\tpath=/\r\n",
    "folded with bare LF": b"X-A: b\n c\r\n",
    "fold as the first line": b" X-A: b\r\n",
    "fold with a tab as the first line": b"\tX-A: b\r\n",
    "control character": b"X-A: b\x01c\r\n",
    "bell": b"X-A: b\x07c\r\n",
    "escape": b"X-A: b\x1bc\r\n",
    "DEL": b"X-A: b\x7fc\r\n",
    "NUL": b"X-A: b\x00c\r\n",
    "vertical tab": b"X-A: b\x0bc\r\n",
    "form feed": b"X-A: b\x0cc\r\n",
    "tab": b"X-A: b\tc\r\n",
    "bare CR": b"X-A: b\rc\r\n",
    "bare CR at the end": b"X-A: b\r\r\n",
    "bare LF": b"X-A: b\nX-B: c\r\n",
    "C1 control character": b"X-A: b\x85c\r\n",
    "UTF-8": "X-A: bücher\r\n".encode(),
    "latin-1": "X-A: bücher\r\n".encode("latin-1"),
    "no UTF-8": b"X-A: \xff\xfe\r\n",
    "every obsolete byte": b"X-A: " + bytes(range(0x80, 0x100)) + b"\r\n",
    "no value": b"X-A:\r\n",
    "only blanks": b"X-A:   \r\n",
    "no blank": b"X-A:b\r\n",
    "tab before the value": b"X-A:\tb\r\n",
    "blanks around the value": b"X-A:   b   \r\n",
    "no colon": b"X-A b\r\n",
    "no colon, no blank": b"X-A\r\n",
    "text without a colon": b"this is no header\r\n",
    "empty name": b": b\r\n",
    "blank name": b" : b\r\n",
    "only a colon": b":\r\n",
    "blank before the colon": b"X-A : b\r\n",
    "tab before the colon": b"X-A\t: b\r\n",
    "blank in the name": b"X A: b\r\n",
    "blank before the name": b"X-Z: y\r\n X-A: b\r\n",
    "UTF-8 name": "X-Ä: b\r\n".encode(),
    "latin-1 name": "X-Ä: b\r\n".encode("latin-1"),
    "control character in the name": b"X\x01A: b\r\n",
    "NUL in the name": b"X\x00A: b\r\n",
    "DEL in the name": b"X\x7fA: b\r\n",
    "bare CR in the name": b"X\rA: b\r\n",
    "parentheses in the name": b"X(A): b\r\n",
    "slash in the name": b"X/A: b\r\n",
    "at sign in the name": b"X@A: b\r\n",
    "brackets in the name": b"X[A]: b\r\n",
    "quotes in the name": b'"X-A": b\r\n',
    "comma in the name": b"X,A: b\r\n",
    "equals in the name": b"X=A: b\r\n",
    "semicolon in the name": b"X;A: b\r\n",
    "question mark in the name": b"X?A: b\r\n",
    "backslash in the name": b"X\\A: b\r\n",
    "braces in the name": b"X{A}: b\r\n",
    "angle brackets in the name": b"<X-A>: b\r\n",
    "every token character in the name": b"!#$%&'*+-.^_`|~: b\r\n",
    "underscore in the name": b"X_A: b\r\n",
    "digits as the name": b"123: b\r\n",
    "the name is a status line": b"HTTP/1.1 200 OK\r\n",
    "header twice": b"X-A: b\r\nX-A: c\r\n",
    "many cookies": b"Set-Cookie: a=b\r\n" * 60,
    "URL value": b"X-A: http://a:b@c/d?e#f\r\n",
    "JSON value": b'X-A: {"a": "b, c"}\r\n',
    "unclosed quote": b'X-A: "b\r\n',
    "Upgrade": b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    "Upgrade to h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n",
    "Upgrade without Connection": b"Upgrade: h2,h2c\r\n",
    "Alt-Svc": b'Alt-Svc: h3=":443"; ma=86400\r\n',
    "Trailer": b"Trailer: X-T\r\n",
    "Date of no kind": b"Date: yesterday\r\n",
    "two Content-Types": b"Content-Type: a/b\r\nContent-Type: c/d\r\n",
    "Content-Type of no kind": b"Content-Type: ;;;\r\n",
    "unknown charset": b"Content-Type: text/plain; charset=nonsense\r\n",
    "Content-Range": b"Content-Range: bytes 0-1/2\r\n",
    "Location of no kind": b"Location: http://[::1\r\n",
    "Set-Cookie of no kind": b"Set-Cookie: ;;;=\x80\r\n",
    "Connection of no kind": b"Connection: ,,,\r\n",
    "two Connections": b"Connection: close\r\nConnection: keep-alive\r\n",
    "Proxy-Connection": b"Proxy-Connection: keep-alive\r\n",
    "Keep-Alive of no kind": b"Keep-Alive: timeout=x, max=\r\n",
    "Keep-Alive 0": b"Keep-Alive: timeout=0\r\n",
    "Keep-Alive below 0": b"Keep-Alive: timeout=-1\r\n",
    "Keep-Alive of 40 digits": b"Keep-Alive: timeout=" + b"9" * 40 + b"\r\n",
}
SIZES = {
    "value of 4 KiB": b"X-A: " + b"b" * 4096 + b"\r\n",
    "value of 8,190 bytes": b"X-A: " + b"b" * 8190 + b"\r\n",
    "value of 9 KB": b"X-A: " + b"b" * 9000 + b"\r\n",
    "value of 15 KB": b"X-A: " + b"b" * 15_000 + b"\r\n",
    "value of 20 KB": b"X-A: " + b"b" * 20_000 + b"\r\n",
    "value of 60 KB": b"X-A: " + b"b" * 60_000 + b"\r\n",
    "value of 64 KiB": b"X-A: " + b"b" * 65_536 + b"\r\n",
    "value above 64 KiB": b"X-A: " + b"b" * 65_537 + b"\r\n",
    "value of 1 MiB": b"X-A: " + b"b" * 2**20 + b"\r\n",
    "name of 4 KiB": b"X" * 4096 + b": b\r\n",
    "name of 9 KB": b"X" * 9000 + b": b\r\n",
    "name of 70 KB": b"X" * 70_000 + b": b\r\n",
    "99 headers": b"X-A: b\r\n" * 98,
    "100 headers": b"X-A: b\r\n" * 99,
    "101 headers": b"X-A: b\r\n" * 100,
    "150 headers": b"X-A: b\r\n" * 149,
    "250 headers": b"X-A: b\r\n" * 249,
    "1,000 headers": b"X-A: b\r\n" * 999,
    "1,001 headers": b"X-A: b\r\n" * 1000,
    "5,000 headers": b"X-A: b\r\n" * 4999,
    "256 KiB together": (b"X-A: " + b"b" * 32_740 + b"\r\n") * 8,
    "300 KB together": (b"X-A: " + b"b" * 30_000 + b"\r\n") * 10,
    "folded over 100 lines": b"X-A: b\r\n" + b" c\r\n" * 99,
    "folded over 2,000 lines": b"X-A: b\r\n" + b" c\r\n" * 1999,
}
LONG_REASONS = (100, 5000, 9000, 20_000, 70_000)
INTERIM = {
    "100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "100 without a reason": b"HTTP/1.1 100\r\n\r\n",
    "100 with headers": b"HTTP/1.1 100 Continue\r\nX-I: 1\r\n\r\n",
    "100 with a length": b"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n",
    "100 with the length of the answer": b"HTTP/1.1 100 Continue\r\n" + TWO + b"\r\n",
    "100 chunked": b"HTTP/1.1 100 Continue\r\n" + CHUNKED + b"\r\n",
    "100 twice": b"HTTP/1.1 100 Continue\r\n\r\n" * 2,
    "100 twenty times": b"HTTP/1.1 100 Continue\r\n\r\n" * 20,
    "100 of HTTP/1.0": b"HTTP/1.0 100 Continue\r\n\r\n",
    "100 with close": b"HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n",
    "100 with bare LF": b"HTTP/1.1 100 Continue\n\n",
    "102": b"HTTP/1.1 102 Processing\r\n\r\n",
    "103": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
    "103 twice": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 2,
    "103 with a folded header": b"HTTP/1.1 103 E\r\nLink: </a>;\r\n rel=x\r\n\r\n",
    "104": b"HTTP/1.1 104 Upload Resumption\r\n\r\n",
    "199": b"HTTP/1.1 199 Odd\r\n\r\n",
    "100 and 103": b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\nLink: </a>\r\n\r\n",
    "101 without an upgrade": b"HTTP/1.1 101 Switching\r\n\r\n",
    "101 with Upgrade": b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
}
ALONE = {
    "nothing": b"",
    "one byte": b"H",
    "half a status line": b"HTTP/1.1 20",
    "status line only": b"HTTP/1.1 200 OK\r\n",
    "status line without an end": b"HTTP/1.1 200 OK",
    "head without an end": b"HTTP/1.1 200 OK\r\nX-A: b\r\n",
    "head cut in a header": b"HTTP/1.1 200 OK\r\nX-A",
    "head with one CR at the end": b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r",
    "100 only": b"HTTP/1.1 100 Continue\r\n\r\n",
    "103 only": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "101 only": b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "HTML only": b"<html><body>It works!</body></html>",
    "JSON only": b'{"ok": true}',
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "SMTP": b"220 mail.example ESMTP\r\n",
    "FTP": b"220 FTP\r\n530 Please login\r\n",
    "Redis": b"-ERR unknown command\r\n",
    "MySQL": b"J\x00\x00\x00\x0a8.0.36\x00",
    "TLS alert": bytes.fromhex("15030100020246"),
    "HTTP/2 settings": bytes.fromhex("000000040000000000"),
    "zeros": bytes(1000),
    "empty lines": b"\r\n" * 100,
    "a request": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
}
NO_BODY = {
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "204 with a length": b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
    "204 with a length of 2": b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n",
    "204 with a body": b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
    "204 chunked": b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
    "204 chunked, with an end": b"HTTP/1.1 204 N\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "204 with keep-alive": b"HTTP/1.1 204 N\r\nConnection: Keep-Alive\r\n\r\n",
    "204 of HTTP/1.0": b"HTTP/1.0 204 No Content\r\n\r\n",
    "205": b"HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n",
    "304": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "304 with a length": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
    "200 with length 0": OK + b"Content-Length: 0\r\n\r\n",
    "200 chunked and empty": OK + CHUNKED + b"\r\n0\r\n\r\n",
}
CLOSING = {
    "Connection: close": OK + b"Connection: close\r\n\r\nok",
    "no Connection": OK + b"\r\nok",
    "no header at all": OK + b"\r\n",
    "length and close": OK + TWO + b"Connection: close\r\n\r\nok",
    "length, close, and more": OK + TWO + b"Connection: close\r\n\r\nok, and more",
    "length, and more": OK + TWO + b"\r\nok, and more",
    "length, and a second response": OK + TWO + b"\r\nok" + OK + TWO + b"\r\nno",
    "length, and an empty line": OK + TWO + b"\r\nok\r\n",
    "body cut": OK + b"Content-Length: 9\r\n\r\nshort",
    "body missing": OK + b"Content-Length: 9\r\n\r\n",
    "500, body cut": b"HTTP/1.1 500 E\r\nContent-Length: 9\r\n\r\nshort",
    "HTTP/1.0, no length": b"HTTP/1.0 200 OK\r\n\r\nhello",
    "HTTP/1.0, no body": b"HTTP/1.0 200 OK\r\n\r\n",
    "HTTP/1.0, length": b"HTTP/1.0 200 OK\r\n" + TWO + b"\r\nok",
    "HTTP/1.0, keep-alive": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nok",
    "HTTP/1.0, keep-alive and length": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"
    + TWO
    + b"\r\nok",
    "HTTP/1.0, chunked": b"HTTP/1.0 200 OK\r\n" + CHUNKED + b"\r\n" + BODY,
    "identity": OK + b"Transfer-Encoding: identity\r\n\r\nok",
    "gzip as a transfer coding": OK + b"Transfer-Encoding: gzip\r\n\r\nok",
    "events": OK + b"Content-Type: text/event-stream\r\n\r\ndata: a\n\n",
    "multipart": OK + b"Content-Type: multipart/byteranges; boundary=a\r\n\r\n--a--",
}
PLAIN = b'{"ok": true}'
GZIP = gzip.compress(PLAIN, mtime=0)
DEFLATE = zlib.compress(PLAIN)
_RAW = zlib.compressobj(wbits=-15)
RAW_DEFLATE = _RAW.compress(PLAIN) + _RAW.flush()
COMPRESSIONS = {
    "gzip": (b"gzip", GZIP),
    "GZIP": (b"GZIP", GZIP),
    "x-gzip": (b"x-gzip", GZIP),
    "gzip of two members": (b"gzip", GZIP + GZIP),
    "gzip and zeros": (b"gzip", GZIP + bytes(20)),
    "gzip and other bytes": (b"gzip", GZIP + b"more"),
    "gzip cut": (b"gzip", GZIP[:-10]),
    "gzip without a checksum": (b"gzip", GZIP[:-8]),
    "gzip, wrong checksum": (b"gzip", GZIP[:-8] + bytes(8)),
    "gzip, but it is plain": (b"gzip", PLAIN),
    "gzip, but it is empty": (b"gzip", b""),
    "gzip, but it is deflate": (b"gzip", DEFLATE),
    "deflate": (b"deflate", DEFLATE),
    "deflate without a head": (b"deflate", RAW_DEFLATE),
    "deflate, but it is gzip": (b"deflate", GZIP),
    "deflate, but it is plain": (b"deflate", PLAIN),
    "identity": (b"identity", PLAIN),
    "none": (b"none", PLAIN),
    "empty coding": (b"", PLAIN),
    "utf-8": (b"UTF-8", PLAIN),
    "gzip twice": (b"gzip, gzip", gzip.compress(GZIP, mtime=0)),
    "deflate, then gzip": (b"deflate, gzip", gzip.compress(DEFLATE, mtime=0)),
    "gzip and identity": (b"gzip, identity", GZIP),
    "gzip with a comma": (b"gzip,", GZIP),
    "br": (b"br", bytes.fromhex("8b05807b226f6b223a20747275657d03")),
    "zstd": (
        b"zstd",
        bytes.fromhex("28b52ffd200c6100007b226f6b223a20747275657d"),
    ),
    "unknown coding": (b"x-pack", b"packed"),
    "compress": (b"compress", b"\x1f\x9d\x90"),
}


def all_shapes() -> list[Shape]:
    """Return all shapes, in the order of the table."""
    return [*_heads(), *_bodies(), *_others()]


def _heads() -> Iterator[Shape]:
    rest = TWO + b"\r\nok"
    for name, line in STATUS_LINES.items():
        yield Shape("status line", name, line + rest)
    for size in LONG_REASONS:
        line = b"HTTP/1.1 200 " + b"x" * size + b"\r\n"
        yield Shape("status line", f"reason of {size:,} bytes", line + rest)
    for name, version in VERSIONS.items():
        yield Shape("version", name, version + b" 200 OK\r\n" + rest)
    for status in STATUSES:
        head = b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status
        yield Shape("status", str(status), head)
    for name, lines in LINES.items():
        yield Shape("header line", name, OK + lines + rest)
    for name, lines in SIZES.items():
        yield Shape("header size", name, OK + lines + rest)
    for name, head in INTERIM.items():
        yield Shape("interim", f"{name}, then 200", head + OK + rest)
    for name, lines in (("all lines", TWO), ("with a fold", b"X: a\r\n b\r\n" + TWO)):
        for end in (b"\n", b"\r"):
            data = (OK + lines + b"\r\n").replace(b"\r\n", end) + b"ok"
            yield Shape("line end", f"{name}: {end!r}"[:-1].replace("b'", ""), data)
    data = OK + TWO[:-2] + b"\n\r\nok"
    yield Shape("line end", "one header: LF", data)
    yield Shape("line end", "empty line: LF", OK + TWO + b"\nok")
    yield Shape("line end", "status line: LF", OK[:-2] + b"\n" + rest)
    yield Shape("line end", "empty line: CR CR LF", OK + TWO + b"\r\r\nok")
    yield Shape("line end", "empty line: blank", OK + TWO + b" \r\n\r\nok")


def _bodies() -> Iterator[Shape]:
    for name, lines in LENGTHS.items():
        yield Shape("length", name, OK + lines + b"\r\nok", ends=True)
    for name, lines in CODINGS.items():
        yield Shape("transfer coding", name, OK + lines + b"\r\n" + BODY, ends=True)
    for name, chunks in CHUNKS.items():
        yield Shape("chunks", name, OK + CHUNKED + b"\r\n" + chunks, ends=True)
    for name, (coding, body) in COMPRESSIONS.items():
        coded = b"Content-Encoding: %b\r\nContent-Length: %d\r\n" % (coding, len(body))
        yield Shape("compression", name, OK + coded + b"\r\n" + body)


def _others() -> Iterator[Shape]:
    for name, data in ALONE.items():
        yield Shape("not a response", name, data, ends=True)
    for name, data in NO_BODY.items():
        yield Shape("no body", name, data)
    for name, data in CLOSING.items():
        yield Shape("closing", name, data, ends=True)
