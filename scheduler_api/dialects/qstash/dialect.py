"""The entry of QStash in the registry of dialects."""

from scheduler_api.core.public_ids import PublicIds
from scheduler_api.core.settings.engine import EngineSettings
from scheduler_api.core.settings.limits import OwnerLimits
from scheduler_api.dialects.dialect import Dialect
from scheduler_api.dialects.qstash.credentials import (
    CURRENT_KEY,
    DEVELOPMENT,
    NEXT_KEY,
    ROTATION_EFFECT,
    client_variables,
    new_key,
    rotate_for,
)
from scheduler_api.dialects.qstash.cron_grammar import GRAMMAR
from scheduler_api.dialects.qstash.outbound import QstashOutbound
from scheduler_api.dialects.qstash.parsing.ids import (
    deduplication_names,
    schedule_id,
    stored_id,
)
from scheduler_api.dialects.qstash.parsing.message import labels_of, message_id
from scheduler_api.dialects.qstash.parsing.replays import redraft_with
from scheduler_api.dialects.qstash.settings import QstashSettings
from scheduler_api.dialects.qstash.verification import VERIFICATION

TOKEN = '-H "Authorization: Bearer $QSTASH_TOKEN"'
EXAMPLES = {
    "event": f"curl -sS {{base_url}}/v2/publish/{{destination}} {TOKEN} -d hello",
    "queue": f"curl -sS {{base_url}}/v2/enqueue/mail/{{destination}} {TOKEN} -d hello",
    "flow_key": (
        f"curl -sS {{base_url}}/v2/publish/{{destination}} {TOKEN}"
        " -H 'Upstash-Flow-Control-Key: customer-1'"
        " -H 'Upstash-Flow-Control-Value: rate=10, period=1m' -d hello"
    ),
}


def _owner_limits(settings: EngineSettings) -> OwnerLimits:
    return settings.of(QstashSettings).owner_limits


QSTASH = Dialect(
    name="qstash",
    label="qstash",
    title="QStash",
    settings=QstashSettings,
    grammar=GRAMMAR,
    secrets={CURRENT_KEY: new_key, NEXT_KEY: new_key},
    client_variables=client_variables,
    rotate=rotate_for,
    rotation_effect=ROTATION_EFFECT,
    outbound=QstashOutbound,
    owner_limits=_owner_limits,
    public_ids=PublicIds(
        event=message_id,
        schedule=schedule_id,
        stored=stored_id,
        deduplication=deduplication_names,
    ),
    longest_hold_ms=lambda settings: settings.of(QstashSettings).longest_hold_ms,
    verification=VERIFICATION,
    redraft=redraft_with,
    labels=labels_of,
    development=DEVELOPMENT,
    examples=EXAMPLES,
)
