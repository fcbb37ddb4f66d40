"""The secret of a Scheduler v1 tenant, and the environment variable of its clients."""

import base64
import secrets as random
from scheduler_api.core.delivery.signing import WEBHOOK_SECRET
from scheduler_api.core.settings.engine import EngineSettings
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.core.tenants.secrets import Secrets
from scheduler_api.core.timestamps import to_iso
from scheduler_api.dialects.dialect import RotationEffect, RotationOrder

DIALECT = "events_v1"
SIGNING_SECRET = "events_v1.signing"
GRACE_MS = 86_400_000

ROTATION_EFFECT = RotationEffect(
    "For a day, deliveries have a signature with the old secret, too. Give receivers"
    " the new one within this day; afterwards they refuse deliveries.",
    "Deliveries are signed with the new secret only. Receivers that have the old secret"
    " refuse them until they get the new one; refused events are retried.",
)


def new_signing_secret() -> str:
    """Return a random secret of 256 bits, in the format of Standard Webhooks."""
    return WEBHOOK_SECRET + base64.b64encode(random.token_bytes(32)).decode()


def rotate(_settings: EngineSettings, tenants: Tenants, order: RotationOrder) -> str:
    """Replace the secret; sign with the old one too, by default for a day.

    Raises: NotFound, RotationRefused, WrongSecretKey.
    """
    until_ms = order.switch_ms or order.now_ms + GRACE_MS
    tenants.rotate(
        order.tenant,
        DIALECT,
        lambda *_: {SIGNING_SECRET: new_signing_secret()},
        old_until_ms=until_ms,
        by=order.by,
    )
    if until_ms <= order.now_ms:
        return "Deliveries are signed with the new secret only."
    return (
        f"Until {to_iso(until_ms)}, deliveries also have a signature with the old"
        " secret, and with each older one that is still valid."
    )


def client_variables(
    _tenant_id: str, _token: str, secrets: Secrets, _base_url: str
) -> dict[str, str]:
    """Return the environment variables of a tenant's clients."""
    return {"SCHEDULER_API_SIGNING_SECRET": secrets[SIGNING_SECRET]}
