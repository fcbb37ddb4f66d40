"""The secret of a Scheduler v1 tenant, and the environment variable of its clients."""

import base64
import secrets as random
from scheduler_api.core.delivery.signing import WEBHOOK_SECRET
from scheduler_api.core.tenants.accounts import Secrets

SIGNING_SECRET = "events_v1.signing"


def new_signing_secret() -> str:
    """Return a random secret of 256 bits, in the format of Standard Webhooks."""
    return WEBHOOK_SECRET + base64.b64encode(random.token_bytes(32)).decode()


def client_variables(
    _tenant_id: str, _token: str, secrets: Secrets, _base_url: str
) -> dict[str, str]:
    """Return the environment variables of a tenant's clients."""
    return {"SCHEDULER_API_SIGNING_SECRET": secrets[SIGNING_SECRET]}
