"""Internal ids: numbers in base 36, nonces, and ids derived from them. Pure."""

import secrets

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def to_id(number: int) -> str:
    """The id of a number: base 36, lower case."""
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = DIGITS[rest] + digits
    return digits or "0"


def to_number(event_id: str) -> int:
    """The number of an id.

    Raises: ValueError.
    """
    return int(event_id, 36)


def nonce() -> str:
    """Names one creation or change, so that a repeated call recognises its own."""
    return secrets.token_urlsafe(6)


def by_hand_id(schedule_id: str, now_ms: int) -> str:
    """The id of an occurrence that somebody asks for: no fire time of its own.

    What is drawn tells apart those of one second; behind the dot stand at most 16
    letters, as many as dialects read there.
    """
    drawn = to_id(secrets.randbelow(len(DIGITS) ** 5))
    return f"{schedule_id}.{now_ms // 1000}r{drawn}"
