"""The request of the next attempt of an event, without secrets, for people."""

import re
from collections.abc import Mapping
from dataclasses import replace
from scheduler_api.core.delivery.request import Outgoing
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import Begun, Event
from scheduler_api.core.tenants.secrets import Secrets
from scheduler_api.dialects.dialect import Outbound
from scheduler_api.dialects.outbound import SECRETS

MASKED = "(masked)"
# Names of headers whose values nobody should copy.
CREDENTIALS = re.compile(
    r"authorization|cookie|password|secret|signature|token|api-?key", re.IGNORECASE
)


def next_request(
    event: Event, outbound: Mapping[str, Outbound], *, now_ms: int
) -> Outgoing | None:
    """Return the request of an event's next attempt; its signatures are masked.

    None if there is no such request: the event names a group, or cannot be read.
    """
    outgoing, other = (
        _render(outbound[event.owner.dialect], event, now_ms) for _ in range(2)
    )
    if outgoing is None or other is None or outgoing.group:
        return None
    # The two requests were signed with different secrets.
    headers = tuple(
        (name, MASKED if value != again or CREDENTIALS.search(name) else value)
        for (name, value), (_, again) in zip(
            outgoing.headers, other.headers, strict=True
        )
    )
    return replace(outgoing, headers=headers)


def _render(outbound: Outbound, event: Event, now_ms: int) -> Outgoing | None:
    secrets = Secrets({name: make() for name, make in SECRETS.items()})
    begun = Begun(
        id=event.id,
        token="",
        attempt=event.attempts + 1,
        failures=event.attempts,
        interruptions=0,
        wanted_ms=event.wanted_ms,
        created_ms=event.created_ms,
        deadline_ms=event.deadline_ms,
        owner=event.owner,
        content_key="",
        content=event.content,
        schedule=event.schedule,
    )
    try:
        return outbound.render(begun, secrets=secrets, now_ms=now_ms)
    except UnreadableRecord:
        return None
