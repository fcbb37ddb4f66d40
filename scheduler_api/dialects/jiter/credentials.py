"""The secret of a Jiter tenant, and the environment variables of `@jiter/node`."""

import secrets as random
from scheduler_api.core.tenants.accounts import Secrets

SIGNING_SECRET = "jiter.signing"


def new_signing_secret() -> str:
    """Return a random secret of 256 bits."""
    return random.token_urlsafe(32)


def client_variables(
    _tenant_id: str, token: str, secrets: Secrets, base_url: str
) -> dict[str, str]:
    """Return the environment variables of a tenant's clients."""
    return {
        "JITER_URL": f"{base_url}/api",
        "JITER_API_KEY": token,
        "JITER_SIGNING_SECRET": secrets[SIGNING_SECRET],
    }
