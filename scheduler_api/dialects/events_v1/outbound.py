"""Renders the requests of Scheduler v1 and decides about retries. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from scheduler_api.core.delivery import retry
from scheduler_api.core.delivery.request import (
    Answer,
    Decision,
    Outgoing,
    content_of,
    duplicate_warning,
    identity_headers,
)
from scheduler_api.core.delivery.signing import standard_webhook
from scheduler_api.core.model import Begun, Draft, Outcome
from scheduler_api.core.settings.engine import EngineSettings
from scheduler_api.core.tenants.secrets import Secrets
from scheduler_api.core.tenants.url_groups import Group
from scheduler_api.dialects.events_v1.credentials import SIGNING_SECRET
from scheduler_api.dialects.events_v1.ids import public_id
from scheduler_api.dialects.events_v1.settings import EventsV1Settings
from typing import Any

RETRY_DELAYS_MS = (3_000, 5_000, 10_000)
# The content option that contains `eventOwner`, an e-mail address.
OWNER = "e"
# The content option that contains the tags.
TAGS = "t"
CONTENT_TYPE = ("Content-Type", "application/json")

_next_delay_ms = partial(retry.planned_delay_ms, delays_ms=RETRY_DELAYS_MS)


def labels_of(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the tags in the options of content, and the owner."""
    return *map(str, options.get(TAGS, ())), str(options.get(OWNER, ""))


class EventsV1Outbound:
    """The outbound half of Scheduler v1."""

    def __init__(self, settings: EngineSettings) -> None:
        self._response_cap_bytes = settings.response_log_bytes
        self._signs = settings.of(EventsV1Settings).signature

    def render(self, begun: Begun, *, secrets: Secrets, now_ms: int) -> Outgoing:
        """Return the POST of this attempt with the context, signed at `now_ms`."""
        content = content_of(begun)
        body, run_id = content.body, public_id(begun.id)
        signed = duplicate_warning(begun)
        if self._signs:
            valid = secrets.at(SIGNING_SECRET, now_ms)
            signed |= standard_webhook(valid, body, message_id=run_id, now_ms=now_ms)
        return Outgoing(
            url=content.url,
            headers=(
                CONTENT_TYPE,
                *signed.items(),
                *identity_headers(begun, event_id=run_id),
            ),
            body=body,
            timeout_ms=begun.deadline_ms,
            response_cap_bytes=self._response_cap_bytes,
            signed=signed,
        )

    def expand(self, _begun: Begun, _group: Group) -> Sequence[Draft]:
        """Return nothing: Scheduler v1 has no groups."""
        return ()

    def conclude(self, begun: Begun, answer: Answer) -> Decision:
        """Retry a failure after 3, 5 and 10 s.

        The contact in the decision is the e-mail address in `eventOwner`.
        """
        decision = retry.decide(begun, answer, _next_delay_ms)
        if decision.outcome is Outcome.DELIVERED:
            return decision
        # A decision to retry has the contact too. If the schedule fires again before
        # the retry, the event becomes dead without another decision. The log line of
        # the dead event then contains this contact.
        return replace(decision, contact=str(content_of(begun).options[OWNER]))
