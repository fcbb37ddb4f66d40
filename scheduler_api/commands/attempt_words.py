"""What became of an attempt, in words and as JSON."""

from scheduler_api.commands.common import to_seconds
from scheduler_api.core.delivery.attempt_fields import error_fields
from scheduler_api.core.delivery.causes import cause_of
from scheduler_api.core.model import Attempt, AttemptKind
from scheduler_api.core.timestamps import duration, to_iso

KINDS = {
    AttemptKind.SETTLED: "settled",
    AttemptKind.INTERRUPTED: "interrupted",
    AttemptKind.LATE: "late",
}


def attempt_words(attempt: Attempt, *, all_times: bool = False) -> str:
    """Return the result of an attempt, how long it took, and when the next one is.

    Args:
        all_times: name also the parts of that time.
    """
    cause = cause_of(attempt)
    words = [f"delivered, status {attempt.status}"]
    if cause is not None:
        words = [f"{cause.sentence} ({cause.code})"]
    times = {"took": attempt.total_ms}
    if all_times:
        times |= {
            "connected after": attempt.connect_ms,
            "first byte after": attempt.first_byte_ms,
        }
    words += [f"{name} {duration(ms)}" for name, ms in times.items() if ms is not None]
    if attempt.next_ms:
        words.append(f"next attempt {to_seconds(attempt.next_ms)}")
    return "; ".join(words)


def attempt_json(attempt: Attempt) -> dict[str, object]:
    """Return an attempt as JSON, without the response; times are ISO 8601."""
    return {
        "number": attempt.number,
        "kind": KINDS[attempt.kind],
        "started": to_iso(attempt.started_ms),
        "ended": to_iso(attempt.ended_ms),
        "next": to_iso(attempt.next_ms) if attempt.next_ms else None,
        "status": attempt.status,
        **error_fields(cause_of(attempt)),
        "connectMs": attempt.connect_ms,
        "firstByteMs": attempt.first_byte_ms,
        "totalMs": attempt.total_ms,
        "possibleDuplicate": attempt.possible_duplicate,
    }
