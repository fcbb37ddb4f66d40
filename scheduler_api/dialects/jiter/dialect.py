"""The registry entry of Jiter."""

from scheduler_api.core.deduplication import idempotency_name
from scheduler_api.core.public_ids import PublicIds
from scheduler_api.dialects.dialect import Dialect
from scheduler_api.dialects.jiter.credentials import (
    ROTATION_EFFECT,
    SIGNING_SECRET,
    client_variables,
    new_signing_secret,
    rotate,
)
from scheduler_api.dialects.jiter.cron_grammar import GRAMMAR
from scheduler_api.dialects.jiter.ids import public_id, stored_id
from scheduler_api.dialects.jiter.outbound import JiterOutbound
from scheduler_api.dialects.jiter.replays import redraft_with
from scheduler_api.dialects.jiter.settings import JiterSettings
from scheduler_api.dialects.jiter.verification import VERIFICATION

JITER = Dialect(
    name="jiter",
    label="jiter",
    title="Jiter",
    settings=JiterSettings,
    grammar=GRAMMAR,
    secrets={SIGNING_SECRET: new_signing_secret},
    client_variables=client_variables,
    rotate=rotate,
    rotation_effect=ROTATION_EFFECT,
    outbound=JiterOutbound,
    owner_quotas=lambda settings: settings.of(JiterSettings).owner_quotas,
    public_ids=PublicIds(
        event=public_id,
        schedule=lambda cron_id, _name: public_id(cron_id),
        stored=stored_id,
        deduplication=lambda key: (idempotency_name(key),),
    ),
    longest_hold_ms=lambda settings: settings.of(JiterSettings).longest_hold_ms,
    verification=VERIFICATION,
    redraft=redraft_with,
)
