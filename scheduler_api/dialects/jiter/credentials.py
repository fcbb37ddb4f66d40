"""The secret of a Jiter tenant, and the environment variables of `@jiter/node`."""

import secrets as random
from scheduler_api.core.settings.engine import EngineSettings
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.core.tenants.secrets import Secrets
from scheduler_api.core.timestamps import to_iso
from scheduler_api.dialects.dialect import RotationEffect, RotationOrder

DIALECT = "jiter"
SIGNING_SECRET = "jiter.signing"

ROTATION_EFFECT = RotationEffect(
    "Deliveries have one signature, made with the new secret from the rotation on."
    " Receivers that have the old secret refuse them until they get the new one;"
    " refused events are retried."
)


def new_signing_secret() -> str:
    """Return a random secret of 256 bits."""
    return random.token_urlsafe(32)


def rotate(_settings: EngineSettings, tenants: Tenants, order: RotationOrder) -> str:
    """Replace the secret; the new one signs from `switch_ms` on, by default at once.

    A delivery has one signature, so there is no time in which both secrets verify.

    Raises: NotFound, RotationRefused, WrongSecretKey.
    """
    switch_ms = order.switch_ms or order.now_ms
    tenants.rotate(
        order.tenant,
        DIALECT,
        lambda *_: {SIGNING_SECRET: new_signing_secret()},
        old_until_ms=switch_ms,
        by=order.by,
    )
    if switch_ms <= order.now_ms:
        return "Deliveries are signed with the new secret from now on."
    return (
        f"Deliveries are signed with the old secret until {to_iso(switch_ms)}, then"
        " with the new secret."
    )


def client_variables(
    _tenant_id: str, token: str, secrets: Secrets, base_url: str
) -> dict[str, str]:
    """Return the environment variables of a tenant's clients."""
    return {
        "JITER_URL": f"{base_url}/api",
        "JITER_API_KEY": token,
        "JITER_SIGNING_SECRET": secrets[SIGNING_SECRET],
    }
