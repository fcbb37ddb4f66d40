"""Fields about an attempt that all dialects show with the same names. Pure."""

from scheduler_api.core.delivery.causes import Cause


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
