"""The registry entry of Postbox."""

from scheduler_api.dialects.dialect import Dialect
from scheduler_api.dialects.postbox.credentials import (
    SIGNING_SECRET,
    client_variables,
    new_signing_secret,
)
from scheduler_api.dialects.postbox.cron_grammar import GRAMMAR
from scheduler_api.dialects.postbox.outbound import PostboxOutbound
from scheduler_api.dialects.postbox.settings import PostboxSettings

POSTBOX = Dialect(
    name="postbox",
    label="postbox",
    title="Postbox",
    settings=PostboxSettings,
    grammar=GRAMMAR,
    secrets={SIGNING_SECRET: new_signing_secret},
    client_variables=client_variables,
    outbound=PostboxOutbound,
)
