"""The requests and retries of Postbox. The functions do no I/O."""

from collections.abc import Sequence
from functools import partial
from scheduler_api.core.delivery import retry
from scheduler_api.core.delivery.request import Answer, Decision, Outgoing, content_of
from scheduler_api.core.delivery.signing import hmac_sha256_base64
from scheduler_api.core.model import Begun, Draft
from scheduler_api.core.settings.engine import EngineSettings
from scheduler_api.core.tenants.secrets import Secrets
from scheduler_api.core.tenants.url_groups import Group
from scheduler_api.dialects.postbox.credentials import SIGNING_SECRET

SIGNATURE = "Postbox-Signature"

_next_delay_ms = partial(retry.planned_delay_ms, delays_ms=(1_000,))


class PostboxOutbound:
    """Builds the HTTP requests of Postbox, and decides about retries."""

    def __init__(self, settings: EngineSettings) -> None:
        self._response_cap_bytes = settings.response_log_bytes

    def render(self, begun: Begun, *, secrets: Secrets, now_ms: int) -> Outgoing:
        """Return the signed PUT request of an attempt."""
        content = content_of(begun)
        signature = hmac_sha256_base64(secrets[SIGNING_SECRET], content.body)
        return Outgoing(
            method="PUT",
            url=content.url,
            headers=((SIGNATURE, signature),),
            body=content.body,
            timeout_ms=begun.deadline_ms,
            response_cap_bytes=self._response_cap_bytes,
        )

    def expand(self, _begun: Begun, _group: Group) -> Sequence[Draft]:
        """Return an empty sequence, because Postbox has no groups of destinations."""
        return ()

    def conclude(self, begun: Begun, answer: Answer) -> Decision:
        """Retry an event once, a second after the first failure."""
        return retry.decide(begun, answer, _next_delay_ms)
