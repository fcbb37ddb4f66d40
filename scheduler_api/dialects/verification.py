"""How a dialect verifies its own deliveries; for the receiver and other front ends."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from scheduler_api.core.delivery.verification import Key, Received, Verdict
from scheduler_api.core.headers import ATTEMPT, EVENT_ID
from scheduler_api.core.tenants.secrets import Secrets

_NUMBER = re.compile(r"[0-9]{1,9}")


def read_attempt(headers: Mapping[str, str], header: str = ATTEMPT) -> int | None:
    """Return the number in a header, None if there is none; names are in lower case."""
    text = headers.get(header.lower(), "")
    return int(text) if _NUMBER.fullmatch(text) else None


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The signature of a dialect's deliveries, from the side of the receiver. Pure.

    Attributes:
        signature_header: the header that only deliveries of this dialect have.
        keys: takes the secrets of a tenant; returns those that may have signed.
        decode: takes a secret as clients have it; returns the key of the HMAC. Raises
            ValueError.
        verify: takes a request, keys and the time in epoch ms; returns what differs.
            Without keys, all but the key is verified.
        signs_url: whether a signature is valid for one URL only.
        id_header: the header with the id of the event, as clients write it.
        attempt: takes the headers; returns the number of the attempt, from 1, or None
            if they do not say.
    """

    signature_header: str
    keys: Callable[[Secrets], Sequence[Key]]
    verify: Callable[[Received, Sequence[Key], int], Verdict]
    decode: Callable[[str], bytes] = str.encode
    signs_url: bool = False
    id_header: str = EVENT_ID
    attempt: Callable[[Mapping[str, str]], int | None] = read_attempt


def present_and_replaced(
    secrets: Secrets, name: str, *, decode: Callable[[str], bytes] = str.encode
) -> list[Key]:
    """Return a secret and those that it has replaced, as keys.

    Args:
        decode: returns the key of the HMAC for a secret.
    """
    replaced = reversed(secrets.replaced.get(name, ()))
    return [
        Key("the present secret", decode(secrets[name])),
        *(Key("an older secret", decode(old), until_ms) for until_ms, old in replaced),
    ]
