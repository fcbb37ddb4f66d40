"""Sends a JSON document to a URL of the operator."""

from collections.abc import Mapping
from scheduler_api.core.delivery.request import Request
from scheduler_api.core.settings.engine import EngineSettings
from workers.bootstrap import address_policy
from workers.http_client.client import HttpClient, Result

TIMEOUT_MS = 10_000
NO_HEADERS: Mapping[str, str] = {}


async def post(
    url: str,
    body: bytes,
    settings: EngineSettings,
    *,
    headers: Mapping[str, str] = NO_HEADERS,
) -> Result:
    """POST a document once, to an address that deliveries may reach.

    Takes at most ten seconds.
    """
    request = Request(
        method="POST",
        url=url,
        headers=(("Content-Type", "application/json"), *headers.items()),
        body=body,
        timeout_ms=TIMEOUT_MS,
    )
    policy = address_policy(settings)
    async with HttpClient(policy, limit=1, body_cap_bytes=1_024) as http_client:
        return await http_client.send(request)


def is_accepted(result: Result) -> bool:
    """Whether the receiver has taken the document."""
    return result.error is None and 200 <= (result.status or 0) < 300
