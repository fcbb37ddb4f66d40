"""The body of a response: what the request was, and whether its signature is valid."""

import base64
from collections.abc import Mapping
from scheduler_api.core.delivery.verification import Received
from scheduler_api.core.headers import POSSIBLE_DUPLICATE, to_text
from scheduler_api.receiver.signatures import Findings
from urllib.parse import urlsplit

# The echo has no more of a body.
ECHOED_BODY_BYTES = 16_384
MASKED = "(masked)"
CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})


def describe(
    received: Received, findings: Findings, options: Mapping[str, str]
) -> dict[str, object]:
    """Return the echo; the verdict comes first, because logs keep the beginning.

    Args:
        options: the options in the query, as they were written.
    """
    url = urlsplit(received.url)
    return {
        "signature": {
            "valid": findings.is_valid,
            "dialect": findings.dialect,
            "differs": findings.parts,
            "explanation": findings.sentences,
        },
        "event": findings.event,
        "attempt": findings.attempt,
        "possibleDuplicate": POSSIBLE_DUPLICATE.lower() in received.headers,
        "options": options,
        "method": received.method,
        "path": url.path,
        "query": url.query,
        **_body(received.body),
        "headers": {
            name: MASKED if name in CREDENTIALS else to_text(value)
            for name, value in received.headers.items()
        },
    }


def _body(body: bytes) -> dict[str, object]:
    """Return the body as text, or in base64 if it is not UTF-8; cut if it is long."""
    start = body[:ECHOED_BODY_BYTES]
    is_cut = len(start) < len(body)
    about = {"bodyBytes": len(body), "bodyIsCut": is_cut}
    try:
        body.decode()
    except UnicodeDecodeError:
        return {"bodyBase64": base64.b64encode(start).decode(), **about}
    return {"body": start.decode(errors="ignore"), **about}
