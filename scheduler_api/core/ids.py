"""Internal ids: numbers in base 36, and random nonces."""

import secrets

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def to_id(number: int) -> str:
    """The number in base 36, in lower case."""
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = DIGITS[rest] + digits
    return digits or "0"


def to_number(event_id: str) -> int:
    """The number that `to_id` encoded.

    Raises: ValueError.
    """
    return int(event_id, 36)


def nonce() -> str:
    """A random name for a write.

    The name is stored with the write. If the call is retried after a lost reply, the
    store finds the name and does not write again.
    """
    return secrets.token_urlsafe(6)


def typed_id() -> str:
    """A random id for people to type: a `-` at its start would begin an option."""
    return secrets.token_hex(6)


def by_hand_id(schedule_id: str, now_ms: int) -> str:
    """A new id for an occurrence that is run by hand, without a fire time.

    The form is `<schedule id>.<seconds>r<random part>`. The random part distinguishes
    runs in the same second. At most 16 characters follow the dot, because not every
    dialect accepts ids with more.
    """
    random_part = to_id(secrets.randbelow(len(DIGITS) ** 5))
    return f"{schedule_id}.{now_ms // 1000}r{random_part}"
