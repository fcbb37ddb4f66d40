"""The secret of a Postbox tenant."""

import secrets as random
from scheduler_api.core.tenants.secrets import Secrets

SIGNING_SECRET = "postbox.signing"


def new_signing_secret() -> str:
    """Return a random secret of 128 bits."""
    return random.token_hex(16)


def client_variables(
    _tenant_id: str, _token: str, secrets: Secrets, base_url: str
) -> dict[str, str]:
    """Return the environment variables that clients of a tenant need."""
    return {
        "POSTBOX_URL": f"{base_url}/postbox",
        "POSTBOX_SECRET": secrets[SIGNING_SECRET],
    }
