"""What all dialects show about an attempt in the same way. Pure."""

from scheduler_api.core.delivery.causes import Cause

# The end of a text that has been cut.
TRUNCATED = "...(truncated)"


def error_fields(found: Cause | None) -> dict[str, str]:
    """Return why the attempt failed, as a sentence and a stable code; {} for None."""
    return {} if found is None else {"error": found.sentence, "errorCode": found.code}


def body_marks(*, incomplete: bool, truncated: bool) -> dict[str, bool]:
    """Return fields that say that the shown body is not the entire body, and why.

    Args:
        incomplete: the receiver's body was cut off, late or malformed.
        truncated: the body is longer than what is kept.
    """
    marks = {}
    if incomplete or truncated:
        marks["bodyIncomplete"] = True
    if truncated:
        marks["bodyTruncated"] = True
    return marks


def kept_start(body: bytes, *, max_bytes: int, is_entire: bool) -> bytes:
    """Return what is kept of a body; if a text is cut, it ends with a full character.

    Args:
        is_entire: the body is not already the start of a longer one.
    """
    if is_entire and len(body) <= max_bytes:
        return body
    start = body[:max_bytes]
    try:
        start.decode()
    except UnicodeDecodeError as err:
        if err.reason == "unexpected end of data":
            return start[: err.start]
    return start
