"""Verifies a request with the secrets of the tenant whose event it delivers."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from scheduler_api.core.delivery.verification import Part, Received, quoted
from scheduler_api.core.errors import NotFound
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.reads import owner_of_event
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.core.tenants.secrets import Secrets
from scheduler_api.dialects.dialect import Dialect
from scheduler_api.dialects.outbound import DIALECTS
from scheduler_api.dialects.verification import Verification


@dataclass(frozen=True)
class Findings:
    """What a request says about itself, and whether its signature is valid.

    `dialect` is the label of the dialect; None if the request is of none.
    """

    dialect: str | None
    event: str | None
    attempt: int | None
    is_valid: bool
    parts: Sequence[Part]
    sentences: Sequence[str]


SIGNED: Sequence[tuple[Dialect, Verification]] = tuple(
    (dialect, dialect.verification)
    for dialect in DIALECTS
    if dialect.verification is not None
)


def examine(
    received: Received, *, cell: Cell, tenants: Tenants, now_ms: int
) -> Findings:
    """Find the keys by the event's id in the headers, and verify the request.

    The result does not tell whether an event exists, unless a key of its tenant fits.

    Redis: a few round trips.

    Raises: WrongSecretKey.
    """
    headers = received.headers
    found = _find(headers, cell, tenants)
    if found is None:
        return _unsigned(headers)
    dialect, verification, secrets = found
    event = headers.get(verification.id_header.lower())
    keys = verification.keys(secrets) if event is not None else ()
    verdict = verification.verify(received, keys, now_ms)
    sentences, parts = verdict.sentences, [each.part for each in verdict.differences]
    if Part.KEY in parts and verdict.key is None:
        sentences = [*sentences, _where_keys_are_from(verification, event)]
    return Findings(
        dialect=dialect.label,
        event=event,
        attempt=verification.attempt(headers),
        is_valid=verdict.is_valid,
        parts=parts,
        sentences=sentences,
    )


def _find(
    headers: Mapping[str, str], cell: Cell, tenants: Tenants
) -> tuple[Dialect, Verification, Secrets] | None:
    """Return the dialect of a request, and the secrets of the tenant of its event.

    If there is no such event, the secrets are new ones, and the dialect is the one
    whose signature the request has. None: it has none.
    """
    for dialect, verification in SIGNED:
        stored = dialect.public_ids.stored(
            headers.get(verification.id_header.lower(), "")
        )
        owner = owner_of_event(cell, stored) if stored else None
        if owner is not None and owner.dialect == dialect.name:
            with suppress(NotFound):
                return dialect, verification, tenants.secrets(owner.tenant)
    for dialect, verification in SIGNED:
        if verification.signature_header.lower() in headers:
            made = {name: make() for name, make in dialect.secrets.items()}
            return dialect, verification, Secrets(made)
    return None


def _unsigned(headers: Mapping[str, str]) -> Findings:
    names = ", ".join(each.signature_header for _, each in SIGNED)
    attempts = (verification.attempt(headers) for _, verification in SIGNED)
    return Findings(
        dialect=None,
        event=None,
        attempt=next((number for number in attempts if number is not None), None),
        is_valid=False,
        parts=[Part.HEADER],
        sentences=[f"The request has no signature: none of the headers {names}."],
    )


def _where_keys_are_from(verification: Verification, event: str | None) -> str:
    if event is None:
        return (
            f"The header {verification.id_header} is missing, so the tenant and its"
            " keys are not known."
        )
    return (
        f"The keys are those of the tenant with the event {quoted(event)}; if it has"
        " ended and was deleted, or another server sent it, they are not known here."
    )
