"""What a callback of Scheduler v1 is, and when it is tried again. Pure."""

from scheduler_api.core.delivery import retry
from scheduler_api.core.delivery.request import (
    Outgoing,
    Reply,
    fetched,
    identity,
    warning,
)
from scheduler_api.core.delivery.signing import standard_webhook
from scheduler_api.core.model import Begun
from scheduler_api.core.tenants.accounts import SigningKeys
from scheduler_api.dialects import outbound_defaults
from scheduler_api.dialects.events_v1.ids import public_id
from scheduler_api.dialects.events_v1.settings import EventsV1Settings

# A strict schedule has no retry that would come after its next fire time.
RETRY_DELAYS_MS = (3_000, 5_000, 10_000)
# What the options of a content call the owner of the event.
OWNER = "e"
CONTENT_TYPE = ("Content-Type", "application/json")

is_success = retry.is_success
group_of, expand = outbound_defaults.group_of, outbound_defaults.expand
response_cap_bytes, kept_headers = (
    outbound_defaults.response_cap_bytes,
    outbound_defaults.kept_headers,
)
follow_ups = outbound_defaults.follow_ups


def render(
    begun: Begun, *, signing: SigningKeys, now_ms: int, settings: EventsV1Settings
) -> Outgoing:
    """The POST of this attempt: the context itself, signed for now.

    Raises: UnreadableRecord, if its content was not fetched.
    """
    content = fetched(begun)
    body, run_id = content.body, public_id(begun.id)
    signed = warning(begun)
    if settings.v1_signature:
        signed |= standard_webhook(
            signing.events_v1, body, message_id=run_id, now_ms=now_ms
        )
    return Outgoing(
        method="POST",
        url=content.url,
        headers=(CONTENT_TYPE, *signed.items(), *identity(begun, event_id=run_id)),
        body=body,
        timeout_ms=begun.deadline_ms,
        signed=signed,
    )


def contact(begun: Begun) -> str:
    """The owner of the event.

    Raises: UnreadableRecord, if its content was not fetched.
    """
    return str(fetched(begun).options[OWNER])


def next_delay_ms(begun: Begun, reply: Reply) -> int | None:
    """The wait after a failed attempt: 3, 5 and 10 s, then None."""
    return retry.next_delay_ms(begun.failures, reply, delays_ms=RETRY_DELAYS_MS)
