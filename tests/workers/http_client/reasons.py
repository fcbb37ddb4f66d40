"""Why the client reads some shapes of response as no two of the others do."""

from collections.abc import Iterable, Mapping

LIMITS = "within the limits of the client"
FOLDED = "a line that begins with a blank continues the one before, or is ignored"
EQUAL = "equal lengths are one (RFC 9110, 8.6)"
CODING = "a transfer coding has priority over a length (RFC 9112, 6.3)"
HEAD = "the head is well-formed, so it is the response; the chunks are not"
INTERIM = "interim responses are skipped"
CUT = "the compressed body is incomplete"
PLAIN = "this part of the coding changes nothing"
UNKNOWN = "the client does not have this coding: the body is kept, and marked"

_REASONS: Mapping[str, Iterable[tuple[str, str]]] = {
    "status line": [
        ("bare CR in the reason", "the reason is not used"),
        ("reason of 70,000 bytes", LIMITS),
    ],
    "version": [("RTSP/1.0", "the strict parser takes it")],
    "header line": [
        ("fold with a tab as the first line", FOLDED),
        ("blank name", FOLDED),
    ],
    "header size": [
        ("value of 20 KB", LIMITS),
        ("value of 60 KB", LIMITS),
        ("value of 64 KiB", LIMITS),
        ("150 headers", LIMITS),
        ("250 headers", LIMITS),
        ("1,000 headers", LIMITS),
        ("256 KiB together", LIMITS),
    ],
    "interim": [
        ("100 of HTTP/1.0, then 200", INTERIM),
        ("100 with close, then 200", INTERIM),
        ("100 and 103, then 200", INTERIM),
    ],
    "line end": [
        ("empty line: CR CR LF", "the line is empty but for the CR"),
        ("empty line: blank", FOLDED),
    ],
    "length": [
        ("twice the same", EQUAL),
        ("three times the same", EQUAL),
        ("twice the same, not adjacent", EQUAL),
        ("twice the same, other case", EQUAL),
        ("list '2, 2'", EQUAL),
        ("list '2,2'", EQUAL),
        ("list '2, 2, 2'", EQUAL),
        ("list '2 , 2'", EQUAL),
        ("list '2,'", EQUAL),
        ("list ',2'", EQUAL),
        ("list and the same", EQUAL),
        ("2 and 02", EQUAL),
        ("2 and empty", EQUAL),
    ],
    "transfer coding": [
        ("with the same length", CODING),
        ("after a length", CODING),
        ("before a length", CODING),
        ("with two lengths", CODING),
        ("blank before the colon", "the blank is ignored, as in other headers"),
        ("vertical tab", "the coding is not chunked"),
    ],
    "chunks": [
        ("empty extension", HEAD),
        ("control character in the extension", HEAD),
        ("blank before the size", HEAD),
        ("0x prefix", HEAD),
        ("plus sign", HEAD),
        ("underscore", HEAD),
        ("bare LF after sizes", HEAD),
        ("bad trailer", HEAD),
        ("folded trailer", "trailers are not used; the status is the same"),
        ("length as a trailer", HEAD),
    ],
    "compression": [
        ("gzip and other bytes", "bytes after the compressed body are ignored"),
        ("gzip cut", CUT),
        ("gzip without a checksum", CUT),
        ("gzip and identity", PLAIN),
        ("gzip with a comma", PLAIN),
        ("br", UNKNOWN),
        ("zstd", UNKNOWN),
        ("unknown coding", UNKNOWN),
        ("compress", UNKNOWN),
    ],
}
# The reasons by group and name of the shape.
REASONS = {group: dict(names) for group, names in _REASONS.items()}
