"""The registry entry of Scheduler v1."""

from scheduler_api.core.deduplication import idempotency_name
from scheduler_api.core.public_ids import PublicIds
from scheduler_api.dialects.dialect import Dialect
from scheduler_api.dialects.events_v1.credentials import (
    ROTATION_EFFECT,
    SIGNING_SECRET,
    client_variables,
    new_signing_secret,
    rotate,
)
from scheduler_api.dialects.events_v1.cron_grammar import GRAMMAR
from scheduler_api.dialects.events_v1.ids import public_id, stored_id
from scheduler_api.dialects.events_v1.outbound import EventsV1Outbound, labels_of
from scheduler_api.dialects.events_v1.settings import EventsV1Settings
from scheduler_api.dialects.events_v1.verification import VERIFICATION

EVENTS_V1 = Dialect(
    name="events_v1",
    label="v1",
    title="Scheduler v1",
    settings=EventsV1Settings,
    grammar=GRAMMAR,
    secrets={SIGNING_SECRET: new_signing_secret},
    client_variables=client_variables,
    rotate=rotate,
    rotation_effect=ROTATION_EFFECT,
    outbound=EventsV1Outbound,
    public_ids=PublicIds(
        event=public_id,
        schedule=lambda event_id, _name: public_id(event_id),
        stored=stored_id,
        deduplication=lambda key: (idempotency_name(key),),
    ),
    longest_hold_ms=lambda settings: settings.of(EventsV1Settings).longest_hold_ms,
    verification=VERIFICATION,
    labels=labels_of,
)
